//! Every form, posted as by a browser without JavaScript: success redirects, and errors are shown on the form's
//! page with the entries.

use crate::support::{Answer, App, Client, client::PASSWORD, on_both_engines, path};
use model::ids::OrderId;
use serde_json::{Value, json};

/// The target of a redirect.
#[track_caller]
fn redirect_target(answer: &Answer) -> String {
    assert!(
        [302, 303].contains(&answer.status),
        "{} {}",
        answer.status,
        answer.text
    );
    answer.header("location").to_owned()
}

/// The page of a refused form, which shows the errors.
async fn follow_refusal(client: &Client, answer: &Answer, page: &str) -> String {
    assert_eq!(redirect_target(answer), page);
    let shown = client.page(page).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert!(
        shown.text.contains("role=\"alert\""),
        "no error is shown: {}",
        shown.text
    );
    assert!(shown.text.contains("<title>Error: "), "{}", shown.text);
    shown.text
}

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

/// Reserves these tickets and pays them with a test card. Returns the order's page.
async fn buy(buyer: &Client, tickets: &[&Value], card: &str) -> String {
    let order = buyer.reserve(tickets).await.expect(201);
    buyer.pay(&order, card).await.expect(201);
    path("orders", &order).replace("/api", "")
}

on_both_engines! {
    async fn accounts_are_created_renamed_and_signed_in_and_out(app) {
        let ann = app.anonymous();
        let fields = [("email", "ann@example.com"), ("password", "short"), ("name", "Ann <b>")];
        let answer = ann.form("/fn/accounts/sign_up", "/signup?next=/sell", &fields).await;
        let page = follow_refusal(&ann, &answer, "/signup?next=/sell").await;
        assert!(page.contains("ann@example.com") && page.contains("Ann &lt;b&gt;"), "{page}");
        assert!(!page.contains("\"short\""), "a password is never sent back");
        let again = ann.page("/signup?next=/sell").await.text;
        assert!(!again.contains("role=\"alert\"") && !again.contains("Error: "), "an error is shown once");

        let fields = [("email", "ann@example.com"), ("password", PASSWORD), ("next", "/sell")];
        let answer = ann.form("/fn/accounts/sign_up", "/signup", &fields).await;
        assert_eq!(redirect_target(&answer), "/sell");
        assert!(ann.page("/sell").await.text.contains("Welcome, ann"));

        let answer = ann.form("/fn/accounts/rename", "/account", &[("name", "")]).await;
        follow_refusal(&ann, &answer, "/account").await;
        let answer = ann.form("/fn/accounts/rename", "/account", &[("name", "Ann B")]).await;
        assert_eq!(redirect_target(&answer), "/account");
        assert!(ann.page("/account").await.text.contains("Ann B"));

        let answer = ann.form("/fn/accounts/sign_out", "/account", &[]).await;
        assert_eq!(redirect_target(&answer), "/");
        assert_eq!(redirect_target(&ann.page("/account").await), "/signin?next=/account");
        let fields = [("email", "ann@example.com"), ("password", "wrong one"), ("next", "/account")];
        let answer = ann.form("/fn/accounts/sign_in", "/signin?next=/account", &fields).await;
        follow_refusal(&ann, &answer, "/signin?next=/account").await;
        let fields = [("email", "ann@example.com"), ("password", PASSWORD), ("next", "//evil.example")];
        let answer = ann.form("/fn/accounts/sign_in", "/signin", &fields).await;
        assert_eq!(redirect_target(&answer), "/", "only paths of this site are followed");
    }

    async fn a_refused_form_links_to_its_fields(app) {
        let ann = app.anonymous();
        let answer = ann.form("/fn/accounts/sign_up", "/signup", &[]).await;
        let page = follow_refusal(&ann, &answer, "/signup").await;
        for field in ["email", "password"] {
            let (link, id) = (format!("href=\"#sign-up-{field}\""), format!("id=\"sign-up-{field}\""));
            assert!(page.contains(&link) && page.contains(&id), "{field}: {page}");
        }
        assert!(page.contains("autofocus") && page.contains("novalidate"), "{page}");
    }

    async fn changing_a_password_ending_sessions_and_deleting_an_account(app) {
        let ann = app.user("ann").await;
        let other = app.anonymous();
        let fields = [("email", ann.email.as_str()), ("password", PASSWORD)];
        other.form("/fn/accounts/sign_in", "/signin", &fields).await;

        let answer = ann.form("/fn/accounts/change_password", "/account", &[]).await;
        let page = follow_refusal(&ann, &answer, "/account").await;
        for field in ["current_password", "new_password"] {
            assert!(page.contains(&format!("id=\"password-{field}-error\"")), "{field}: {page}");
        }
        let listed = ann.get("/api/user/sessions").await.expect(200);
        let fields = [("session_id", listed["sessions"][1]["id"].as_str().unwrap())];
        let answer = ann.form("/fn/accounts/end_session", "/account", &fields).await;
        assert_eq!(redirect_target(&answer), "/account");
        assert_eq!(redirect_target(&other.page("/account").await), "/signin?next=/account");
        let answer = ann.form("/fn/accounts/end_other_sessions", "/account", &[]).await;
        assert_eq!(redirect_target(&answer), "/account");
        let fields = [("current_password", PASSWORD), ("new_password", "a rather better one")];
        let answer = ann.form("/fn/accounts/change_password", "/account", &fields).await;
        assert_eq!(redirect_target(&answer), "/account");
        assert!(ann.page("/account").await.text.contains("Your password is changed"));

        let fields = [("token", "none"), ("password", PASSWORD)];
        let answer = ann.form("/fn/accounts/reset", "/reset?token=none", &fields).await;
        assert_eq!(redirect_target(&answer), "/reset?token=none");
        assert!(ann.page("/reset?token=none").await.text.contains("Ask for a new link"));

        let answer = ann.form("/fn/accounts/delete", "/account/delete", &[]).await;
        follow_refusal(&ann, &answer, "/account/delete").await;
        let fields = [("password", "a rather better one")];
        let answer = ann.form("/fn/accounts/delete", "/account/delete", &fields).await;
        assert_eq!(redirect_target(&answer), "/");
        assert!(ann.page("/").await.text.contains("Your account is deleted"));
        let fields = [("password", PASSWORD)];
        let answer = ann.form("/fn/accounts/delete", "/account/delete", &fields).await;
        assert_eq!(redirect_target(&answer), "/signin?next=/account/delete");
    }

    async fn creating_an_event_and_listing_tickets(app) {
        let seller = app.user("seller").await;
        let valid = [("title", "Late Show"), ("venue", "Old Hall"), ("city", "Leeds"), ("country", "GB"),
            ("date", "2031-05-01"), ("time", "20:30"), ("time_zone", "Europe/London"),
            ("currency", "GBP"), ("description", "")];
        for (field, invalid) in [("title", ""), ("date", "soon"), ("time", ""), ("date", "2020-01-01"),
            ("time_zone", "Leeds"), ("currency", "Pounds"), ("country", "Wessex")]
        {
            let fields: Vec<(&str, &str)> = valid.iter()
                .map(|(name, value)| (*name, if *name == field { invalid } else { *value }))
                .collect();
            let answer = seller.form("/fn/events/create", "/sell", &fields).await;
            let page = follow_refusal(&seller, &answer, "/sell").await;
            assert!(page.contains(&format!("id=\"event-{field}-error\"")), "{field}: {page}");
            assert!(page.contains("Old Hall"), "the entered values are kept");
        }
        assert_eq!(app.count("events").await, 0);
        let answer = seller.form("/fn/events/create", "/sell", &valid).await;
        let picture = redirect_target(&answer);
        let event = picture.strip_prefix("/events/").unwrap().strip_suffix("/picture").unwrap();
        let sell = format!("/sell?event={event}");
        let offered = seller.page(&picture).await.text;
        assert!(offered.contains("A picture of your own") && offered.contains(&sell), "{offered}");
        let made = seller.get(&format!("/api/events/{event}")).await.expect(200);
        assert_eq!(made["startsAt"], "2031-05-01T19:30:00Z");

        for (field, fields) in [
            ("price", [("price", "cheap"), ("quantity", "1"), ("row", "")]),
            ("price", [("price", "0"), ("quantity", "1"), ("row", "")]),
            ("price", [("price", "1.234"), ("quantity", "1"), ("row", "")]),
            ("quantity", [("price", "25"), ("quantity", "many"), ("row", "")]),
            ("quantity", [("price", "25"), ("quantity", "0"), ("row", "")]),
        ] {
            let mut all = vec![("event_id", event)];
            all.extend(fields);
            let answer = seller.form("/fn/tickets/put_on_sale", &sell, &all).await;
            let page = follow_refusal(&seller, &answer, &sell).await;
            assert!(page.contains(&format!("id=\"list-{field}-error\"")), "{field}: {page}");
        }
        assert_eq!(app.count("tickets").await, 0);
        let fields = [("event_id", event), ("price", "25,50"), ("face_value", "30"), ("section", "Stalls"),
            ("quantity", "3")];
        let answer = seller.form("/fn/tickets/put_on_sale", &sell, &fields).await;
        let done = redirect_target(&answer);
        assert_eq!(done, format!("{sell}&step=done"));
        let shown = seller.page(&done).await.text;
        assert!(shown.contains("Your 3 tickets are on sale.") && shown.contains("3 on sale"), "{shown}");
        let selling = seller.page("/selling").await.text;
        assert!(selling.contains("Stalls") && selling.contains("£25.50"), "{selling}");
        assert!(seller.page("/tickets").await.text.contains("3 on sale"));
    }

    async fn country_time_zone_and_currency_of_a_new_event_are_derived_from_its_city(app) {
        let seller = app.user("seller").await;
        let send = async |changes: &[(&'static str, &str)]| {
            let mut fields = vec![("title", "Late Show"), ("venue", "Halle"), ("city", "Berlin"), ("country", ""),
                ("date", "2031-05-01"), ("time", "20:30"), ("time_zone", ""), ("currency", "")];
            for (name, value) in changes {
                fields.retain(|(known, _)| known != name);
                fields.push((name, value));
            }
            seller.form("/fn/events/create", "/sell", &fields).await
        };
        let chosen = |page: &str| -> Vec<String> {
            let chosen = page.split("<option value=\"").filter(|option| {
                let tag = option.split('>').next().unwrap_or_default();
                tag.contains("selected")
            });
            chosen.map(|option| option.split('"').next().unwrap().to_owned()).collect()
        };
        let confirmation_in = |page: &str| page.split("name=\"sure\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned());

        // Derived from the city alone: the values are shown first, and a second submission creates the event.
        assert_eq!(send(&[]).await.header("location"), "/sell");
        let page = seller.page("/sell").await.text;
        assert!(page.contains("Check these fields, and press the button again") && !page.contains("role=\"alert\""), "{page}");
        assert_eq!(chosen(&page), ["DE", "Europe/Berlin", "EUR"], "{page}");
        assert_eq!(app.count("events").await, 0);
        let filled = [("country", "DE"), ("time_zone", "Europe/Berlin"), ("currency", "EUR")];
        let confirmed = confirmation_in(&page).unwrap();
        assert!(redirect_target(&send(&[&filled[..], &[("sure", &confirmed)]].concat()).await).ends_with("/picture"));
        assert_eq!(app.count("events").await, 1);

        // Unusual values are accepted after a confirmation.
        let unusual = [("title", "Later Show"), ("country", "DE"), ("time_zone", "Europe/London"), ("currency", "GBP")];
        assert_eq!(send(&unusual).await.header("location"), "/sell");
        let page = seller.page("/sell").await.text;
        for said in ["Europe/London is not a time zone of Germany.", "Prices in Germany are usually in EUR, not in GBP."] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let confirmed = confirmation_in(&page).unwrap();
        // A confirmation is valid only for the values that it was given for.
        let other = [&unusual[..3], &[("currency", "USD"), ("sure", &*confirmed)]].concat();
        assert_eq!(send(&other).await.header("location"), "/sell");
        seller.page("/sell").await;
        let created = redirect_target(&send(&[&unusual[..], &[("sure", &*confirmed)]].concat()).await);
        let event = created.strip_prefix("/events/").unwrap().strip_suffix("/picture").unwrap();
        let made = seller.get(&format!("/api/events/{event}")).await.expect(200);
        assert_eq!((&made["timeZone"], &made["currency"]), (&json!("Europe/London"), &json!("GBP")));

        for (field, changes) in [
            ("country", [("city", "Chipping Norton"), ("country", "")]),
            ("time_zone", [("city", "Springfield"), ("country", "US")]),
        ] {
            let answer = send(&changes).await;
            let page = follow_refusal(&seller, &answer, "/sell").await;
            assert!(page.contains(&format!("id=\"event-{field}-error\"")), "{field}: {page}");
        }
        assert_eq!(app.count("events").await, 2);
    }

    async fn editing_and_withdrawing_a_listing(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let edit = |price: &'static str, version: &'static str| {
            let fields = [("ticket_id", id(&ticket).to_owned()), ("version", version.to_owned()),
                ("price", price.to_owned()), ("section", "Circle".to_owned())];
            let seller = &seller;
            async move {
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                seller.form("/fn/tickets/edit", "/selling", &fields).await
            }
        };
        let page = follow_refusal(&seller, &edit("free", "1").await, "/selling").await;
        assert!(page.contains(&format!("id=\"listing-{}-price-error\"", id(&ticket))), "{page}");
        assert_eq!(redirect_target(&edit("27", "1").await), "/selling");
        let page = follow_refusal(&seller, &edit("28", "1").await, "/selling").await;
        assert!(page.contains("changed in the meantime"), "{page}");
        let now = seller.ticket_now(&ticket).await;
        assert_eq!((&now["priceMinor"], &now["section"]), (&json!(2700), &json!("Circle")));

        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let withdraw = [("ticket_id", id(&ticket))];
        let answer = seller.form("/fn/tickets/withdraw", "/selling", &withdraw).await;
        follow_refusal(&seller, &answer, "/selling").await;
        assert_eq!(buyer.cancel(&order).await.status, 204);
        let answer = seller.form("/fn/tickets/withdraw", "/selling", &withdraw).await;
        assert_eq!(redirect_target(&answer), "/selling");
        assert_eq!(seller.ticket_now(&ticket).await["status"], "withdrawn");
    }

    async fn reserving_cancelling_and_paying(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 5, 2500).await;
        let page = format!("/events/{}", id(&event));
        let fields = [("event_id", id(&event)), ("quantity", "2"), ("attempt", "one")];

        let visitor = app.anonymous();
        let answer = visitor.form("/fn/orders/reserve", &page, &fields).await;
        assert!(redirect_target(&answer).starts_with("/checkout?choice="), "{}", redirect_target(&answer));

        let answer = buyer.form("/fn/orders/reserve", &page, &fields).await;
        let order_page = redirect_target(&answer);
        let again = buyer.form("/fn/orders/reserve", &page, &fields).await;
        assert_eq!(redirect_target(&again), order_page, "submitted twice, reserved once");
        assert_eq!(app.count("orders").await, 1);
        let order_id = order_page.strip_prefix("/orders/").unwrap().to_owned();
        let order = json!({"id": order_id});

        let own = seller.form("/fn/orders/reserve", &page, &fields).await;
        follow_refusal(&seller, &own, &page).await;
        let many = [("event_id", id(&event)), ("quantity", "4"), ("attempt", "two")];
        let answer = buyer.form("/fn/orders/reserve", &page, &many).await;
        follow_refusal(&buyer, &answer, &page).await;

        let pay = |token: &'static str| [("order_id", order_id.clone()), ("token", token.to_owned())];
        let send = |fields: [(&'static str, String); 2]| {
            let (buyer, page) = (&buyer, &order_page);
            async move {
                let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
                buyer.form("/fn/payments/pay", page, &fields).await
            }
        };
        let declined = send(pay("pm_card_chargeDeclined")).await;
        let shown = follow_refusal(&buyer, &declined, &order_page).await;
        assert!(shown.contains("declined"), "{shown}");

        let bank_url = redirect_target(&send(pay("pm_card_threeDSecure2Required")).await);
        assert!(bank_url.contains("/stripe-double/bank/pi_"), "{bank_url}");
        let bank = bank_url.strip_prefix(&app.base).unwrap();
        assert!(buyer.page(bank).await.text.contains("Is this you?"));
        let (bank_path, secret) = bank.split_once("?client_secret=").unwrap();
        let answer = buyer.form(bank_path, bank, &[("client_secret", secret), ("answer", "approve")]).await;
        let back = redirect_target(&answer);
        let back = back.strip_prefix(&app.base).unwrap();
        assert!(back.starts_with(&order_page), "{back}");
        assert_eq!(redirect_target(&buyer.page(back).await), order_page, "the redirect removes the secret from the URL");
        let paid = buyer.page(&order_page).await.text;
        assert!(paid.contains("The tickets are yours"), "{paid}");
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(app.captured_minor(), 5000);

        let one = [("event_id", id(&event)), ("quantity", "1"), ("attempt", "three")];
        let second = redirect_target(&buyer.form("/fn/orders/reserve", &page, &one).await);
        let cancel = [("order_id", second.strip_prefix("/orders/").unwrap())];
        assert_eq!(redirect_target(&buyer.form("/fn/orders/cancel", &second, &cancel).await), second);
        assert!(buyer.page(&second).await.text.contains("cancelled"));
        app.assert_sound().await;
    }

    async fn single_seats_are_reserved_together(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let mut seats = Vec::new();
        for seat in ["10", "9"] {
            let body = json!({"eventId": event["id"], "priceMinor": 4000, "row": "A", "seat": seat});
            seats.push(seller.post("/api/tickets", body).await.expect(201));
        }
        let page = format!("/events/{}", id(&event));
        let shown = buyer.page(&page).await.text;
        let (nine, ten) = (shown.find("Seat 9").unwrap(), shown.find("Seat 10").unwrap());
        assert!(shown.contains("ticket_ids[]") && nine < ten, "{shown}");
        let none = buyer.form("/fn/orders/reserve_seats", &page, &[]).await;
        follow_refusal(&buyer, &none, &page).await;
        let both = [("ticket_ids[]", id(&seats[0])), ("ticket_ids[]", id(&seats[1]))];
        let order = redirect_target(&buyer.form("/fn/orders/reserve_seats", &page, &both).await);
        let order = buyer.get(&format!("/api{order}")).await.expect(200);
        assert_eq!(order["totalMinor"], 8000);
        assert_eq!(order["tickets"][0]["seat"], "9");
    }

    async fn refunding_a_buyer(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 3500).await;
        let page = format!("/tickets/{}/refund", id(&ticket));
        let fields = [("ticket_id", id(&ticket))];

        let shown = seller.page(&page).await;
        assert!(shown.text.contains("This ticket is not sold"), "{}", shown.text);
        let answer = seller.form("/fn/refunds/ask", &page, &fields).await;
        let shown = follow_refusal(&seller, &answer, &page).await;
        assert_eq!(shown.matches("This ticket is not sold").count(), 1, "shown once: {shown}");

        let order = buy(&buyer, &[&ticket], "pm_card_visa").await;
        let tickets = seller.page("/selling").await.text;
        assert!(tickets.contains("Owed to you: £35.00."), "{tickets}");
        assert!(tickets.contains(&format!("href=\"{page}\"")), "{tickets}");
        let code: OrderId = order.rsplit('/').next().unwrap().parse().unwrap();
        let code = code.code();
        assert!(tickets.contains(&format!("Order {code}")), "the buyer uses this code: {tickets}");
        let refund_page = seller.page(&page).await.text;
        assert!(refund_page.contains("Refund £35.00") && refund_page.contains(&format!("order {code}")), "{refund_page}");

        for other in [&buyer, &app.user("other").await] {
            assert_eq!(other.page(&page).await.status, 404, "the ticket of another seller");
            let answer = other.form("/fn/refunds/ask", "/tickets", &fields).await;
            assert_eq!(redirect_target(&answer), "/tickets");
        }
        let visitor = app.anonymous();
        assert_eq!(redirect_target(&visitor.page(&page).await), format!("/signin?next={page}"));
        let answer = visitor.form("/fn/refunds/ask", &page, &fields).await;
        assert_eq!(redirect_target(&answer), format!("/signin?next={page}"));
        for invalid in ["", "x"] {
            let answer = seller.form("/fn/refunds/ask", &page, &[("ticket_id", invalid)]).await;
            follow_refusal(&seller, &answer, &page).await;
        }
        assert_eq!(app.count("refunds").await, 0);

        let answer = seller.form("/fn/refunds/ask", &page, &fields).await;
        assert_eq!(redirect_target(&answer), "/selling");
        let tickets = seller.page("/selling").await.text;
        assert!(tickets.contains("£35.00 is on its way back to the buyer."), "{tickets}");
        assert!(!tickets.contains("Owed to you") && !tickets.contains(&page), "{tickets}");
        assert!(seller.page(&page).await.text.contains("£35.00 went back to the buyer"));

        let shown = buyer.page(&order).await.text;
        for words in ["This order was refunded.", "Refunded £35.00; banks take 5–10 days",
            "What happened", "You reserved 1 ticket.", "You paid £35.00", "A refund of £35.00 began.",
            "You were refunded £35.00."]
        {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let tickets = buyer.page("/tickets").await.text;
        assert!(tickets.contains("You have no tickets yet."), "{tickets}");
        assert!(tickets.contains("Refunded £35.00; banks take 5–10 days"), "{tickets}");
        app.refunds_were_days_ago(31).await;
        assert!(!buyer.page("/tickets").await.text.contains("Refunded £35.00"), "31 days ago");
        let kept = buyer.page(&order).await;
        assert!(kept.text.contains("Refunded £35.00"), "{} {}", kept.status, kept.text);

        let answer = seller.form("/fn/refunds/ask", &page, &fields).await;
        follow_refusal(&seller, &answer, &page).await;
        assert_eq!(app.count("refunds").await, 1);
        app.assert_sound().await;
    }

    async fn a_pending_refund_is_shown_and_not_started_twice(app) {
        let (seller, other, buyer) =
            (app.user("seller").await, app.user("other").await, app.user("buyer").await);
        let event = seller.event().await;
        let (ticket, others) = (seller.ticket(&event, 3500).await, other.ticket(&event, 2000).await);
        let order = buy(&buyer, &[&ticket, &others], "pm_card_pendingRefund").await;
        let page = format!("/tickets/{}/refund", id(&ticket));
        let fields = [("ticket_id", id(&ticket))];
        let answer = seller.form("/fn/refunds/ask", &page, &fields).await;
        assert_eq!(redirect_target(&answer), "/selling");

        let answer = seller.form("/fn/refunds/ask", &page, &fields).await;
        let shown = follow_refusal(&seller, &answer, &page).await;
        assert!(shown.contains("This ticket is being refunded already."), "{shown}");
        assert!(shown.contains("£35.00 is on its way back to the buyer"), "{shown}");
        assert!(!shown.contains("/fn/refunds/ask"), "the form is not shown");
        assert!(!seller.page("/selling").await.text.contains(&page));

        let shown = buyer.page(&order).await.text;
        for words in ["A part of this order is being refunded.", "2 tickets are still yours.",
            "Refund on its way: £35.00", "−£35.00", "£20.00"]
        {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(buyer.page("/tickets").await.text.contains("Refund on its way: £35.00"));

        app.clock.advance(5);
        app.webhooks_arrive().await;
        let shown = buyer.page(&order).await.text;
        for words in ["A part of this order was refunded.", "1 ticket is still yours.",
            "Refunded £35.00; banks take 5–10 days", "What remains", "No longer yours"]
        {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(other.page("/tickets").await.text.contains("Owed to you: £20.00."));
        assert_eq!(app.count("refunds").await, 1);
    }

    async fn a_failed_refund_is_shown_to_buyer_and_seller(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 3500).await;
        let order = buy(&buyer, &[&ticket], "pm_card_refundFail").await;
        let page = format!("/tickets/{}/refund", id(&ticket));
        let answer = seller.form("/fn/refunds/ask", &page, &[("ticket_id", id(&ticket))]).await;
        assert_eq!(redirect_target(&answer), "/selling");
        app.clock.advance(5);
        app.webhooks_arrive().await;

        let words = "The refund didn't get through; we're looking into it";
        let shown = buyer.page(&order).await.text;
        assert!(shown.contains("The tickets are yours.") && shown.contains(words), "{shown}");
        assert!(shown.contains("The refund of £35.00 didn't get through."), "{shown}");
        assert!(buyer.page("/tickets").await.text.contains(words));
        let tickets = seller.page("/selling").await.text;
        assert!(tickets.contains(words) && tickets.contains(&page), "{tickets}");
        assert!(tickets.contains("Owed to you: £35.00."), "{tickets}");
    }

    async fn a_sellers_own_offer_is_marked_and_has_no_button(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 3, 2500).await;
        let page = format!("/events/{}", id(&event));
        let shown = seller.page(&page).await.text;
        assert!(shown.contains("your own") && !shown.contains("/fn/orders/reserve"), "{shown}");
        let shown = buyer.page(&page).await.text;
        assert!(!shown.contains("your own") && shown.contains("/fn/orders/reserve"), "{shown}");
    }

    async fn a_description_keeps_its_line_breaks_and_links_its_urls(app) {
        let seller = app.user("seller").await;
        let text = "Doors at 7.\r\nSee https://a.example/x?y=1&z=2.\n\n<b>Bring</b> a coat.";
        let event = seller.event_with(json!({"description": text})).await;
        let page = seller.page(&path("events", &event)[4..]).await.text;
        for shown in [
            "Doors at 7.", "<br>", "href=\"https://a.example/x?y=1&amp;z=2\"", "rel=\"nofollow ugc noopener\"",
            "&lt;b&gt;Bring&lt;/b&gt; a coat.",
        ] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
    }

    async fn user_input_cannot_close_the_title_element(app) {
        let seller = app.user("seller").await;
        let title = "</title><meta http-equiv=refresh content=0> & Co";
        let event = seller.event_with(json!({"title": title})).await;
        let page = format!("/events/{}", id(&event));
        for page in [page.as_str(), "/?q=%3C/title%3E%3Cmeta%20http-equiv%3Drefresh%20content%3D0%3E"] {
            let shown = seller.page(page).await.text;
            assert!(!shown.contains("<meta http-equiv"), "{shown}");
            assert!(shown.contains("<title>") && shown.contains("&lt;/title&gt;&lt;meta"), "{shown}");
        }
    }

    async fn pages_have_the_right_http_status(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let order_page = path("orders", &order).replace("/api", "");
        for page in ["/", "/signin", "/signup", "/?q=late&city=Leeds", "/?cursor=nonsense"] {
            assert_eq!(app.anonymous().page(page).await.status, 200, "{page}");
        }
        for page in ["/sell", "/selling", "/orders", "/tickets", "/account", &order_page] {
            assert_eq!(buyer.page(page).await.status, 200, "{page}");
            let location = redirect_target(&app.anonymous().page(page).await);
            assert!(location.starts_with("/signin?next=/"), "{location}");
            assert_eq!(app.anonymous().get(page).await.status, 302, "for any Accept header: {page}");
        }
        let others = seller.page(&order_page).await;
        assert_eq!(others.status, 404, "an order of another user is not found");
        for page in ["/nothing", "/events/x", "/events/00000000-0000-7000-8000-000000000000", "/fn/none"] {
            let missing = buyer.page(page).await;
            assert_eq!(missing.status, 404, "{page}");
            assert!(missing.text.contains("There is nothing here"), "{page}: {}", missing.text);
        }
        let headers = app.anonymous().page("/").await;
        let policy = headers.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("'nonce-"), "{policy}");
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert!(headers.text.contains(&format!("nonce=\"{nonce}\"")), "the scripts have the nonce");
        assert!(!headers.text.contains(" style=\""), "no inline styles under this policy");
    }
}
