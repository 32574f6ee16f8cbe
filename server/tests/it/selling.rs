//! Selling: counts, bulk changes concurrent with reservations, sales by day, sales as CSV, and the
//! steps of selling.

use crate::support::{App, Client, on_both_engines};
use futures::future::join_all;
use model::ids::OrderId;
use serde_json::{Value, json};

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

async fn reprice(seller: &Client, event: &Value, price_minor: i64) -> Value {
    let body = json!({"eventId": event["id"], "priceMinor": price_minor});
    let done = seller.post("/api/selling/reprice", body).await;
    done.expect(200)
}

/// All of a seller's tickets for an event.
async fn list_tickets(seller: &Client, event: &Value) -> Vec<Value> {
    let path = format!("/api/tickets?eventId={}&sellerId=me&limit=100", id(event));
    seller.get(&path).await.expect(200)["tickets"]
        .as_array()
        .unwrap()
        .clone()
}

/// One group of `GET /api/selling`.
async fn get_group(seller: &Client, event: &Value) -> Value {
    let groups = seller.get("/api/selling").await.expect(200)["groups"].clone();
    let groups = groups.as_array().unwrap();
    let found = groups.iter().find(|group| group["eventId"] == event["id"]);
    found.unwrap().clone()
}

/// Lists one ticket and sells it to a new buyer.
async fn sell_ticket(
    app: &App,
    seller: &Client,
    event: &Value,
    price_minor: i64,
) -> (Client, Value, Value) {
    let buyer = app.user("buyer").await;
    let ticket = seller.ticket(event, price_minor).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    (buyer, ticket, order)
}

on_both_engines! {
    async fn a_new_price_applies_to_all_unsold_tickets_that_are_not_held(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 3, 2500).await;
        let stalls = json!({"eventId": event["id"], "priceMinor": 4000, "quantity": 2, "section": "Stalls"});
        seller.post("/api/tickets/batch", stalls).await.expect(201);
        let order = buyer.reserve_any(&event, 1).await.expect(201);
        let held = &order["tickets"][0];

        assert_eq!(reprice(&seller, &event, 3000).await, json!({"changed": 4, "held": 1}));
        assert_eq!(buyer.ticket_now(held).await["priceMinor"], 2500);
        assert_eq!(reprice(&seller, &event, 3000).await, json!({"changed": 0, "held": 1}));
        let body = |section: &str| json!({"eventId": event["id"], "section": section, "priceMinor": 5000});
        let stalls = seller.post("/api/selling/reprice", body("Stalls")).await.expect(200);
        assert_eq!(stalls, json!({"changed": 2, "held": 0}));
        let none = seller.post("/api/selling/reprice", body("")).await.expect(200);
        assert_eq!(none, json!({"changed": 2, "held": 1}));

        buyer.pay(&order, "pm_card_visa").await.expect(201);
        let body = json!({"eventId": event["id"]});
        let withdrawal = seller.post("/api/selling/withdraw", body).await.expect(200);
        assert_eq!(withdrawal, json!({"changed": 4, "held": 0}));
        assert_eq!(
            get_group(&seller, &event).await["counts"],
            json!({"available": 0, "reserved": 0, "sold": 1, "withdrawn": 4})
        );
        app.assert_sound().await;
    }

    async fn bulk_changes_of_other_users_or_with_an_invalid_price_are_refused(app) {
        let (seller, other) = (app.user("seller").await, app.user("other").await);
        let starts_at = jiff::Timestamp::from_second(app.clock_seconds() + 7200).unwrap();
        let event = seller.event_with(json!({"startsAt": starts_at.to_string()})).await;
        let ticket = seller.ticket(&event, 2500).await;
        let body = json!({"eventId": event["id"], "priceMinor": 100});
        other.post("/api/selling/reprice", body.clone()).await.refused(404, "not_found");
        other.post("/api/selling/withdraw", json!({"eventId": event["id"]})).await.refused(404, "not_found");
        app.anonymous().post("/api/selling/reprice", body.clone()).await.refused(401, "sign_in_required");
        for wrong in [0, -1, 100_000_000] {
            let body = json!({"eventId": event["id"], "priceMinor": wrong});
            seller.post("/api/selling/reprice", body).await.invalid("priceMinor");
        }
        assert_eq!(seller.ticket_now(&ticket).await["version"], 1);
        // After the start, prices cannot be changed, but tickets can be withdrawn.
        app.clock.advance(7200);
        seller.post("/api/selling/reprice", body).await.refused(409, "event_over");
        let withdrawal = seller.post("/api/selling/withdraw", json!({"eventId": event["id"]})).await;
        assert_eq!(withdrawal.expect(200)["changed"], 1);
    }

    /// For each ticket, the first transaction succeeds: the price of a held ticket does not change.
    async fn a_new_price_for_all_changes_no_ticket_reserved_concurrently(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        seller.batch(&event, 24, 2500).await;
        let buyers = join_all((0..8).map(|number| {
            let name = format!("buyer{number}");
            async move { app.user(&name).await }
        })).await;
        let reserve = join_all(buyers.iter().map(|buyer| buyer.reserve_any(&event, 2)));
        let prices = join_all([3000, 3500].map(|price| reprice(&seller, &event, price)));
        let (orders, changes) = futures::join!(reserve, prices);
        let mut held = 0;
        for (buyer, order) in buyers.iter().zip(orders) {
            let order = order.expect(201);
            let mut total = 0;
            for ticket in order["tickets"].as_array().unwrap() {
                let now = buyer.ticket_now(ticket).await;
                assert_eq!(now["priceMinor"], ticket["priceMinor"], "the price of a held ticket changed");
                total += ticket["priceMinor"].as_i64().unwrap();
                held += 1;
            }
            assert_eq!(order["totalMinor"], total);
        }
        assert_eq!(held, 16);
        for change in changes {
            let (changed, held_then) = (change["changed"].as_i64().unwrap(), change["held"].as_i64().unwrap());
            assert!(changed >= 8 && changed + held_then <= 24, "{change}");
        }
        app.assert_sound().await;
    }

    async fn withdrawing_all_leaves_tickets_that_are_reserved_concurrently(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        seller.batch(&event, 20, 2500).await;
        let buyers = join_all((0..6).map(|number| {
            let name = format!("buyer{number}");
            async move { app.user(&name).await }
        })).await;
        let reserve = join_all(buyers.iter().map(|buyer| buyer.reserve_any(&event, 2)));
        let body = json!({"eventId": event["id"]});
        let (orders, withdrawal) = futures::join!(reserve, seller.post("/api/selling/withdraw", body));
        let withdrawal = withdrawal.expect(200);
        let got = orders.iter().filter(|order| order.status == 201).count();
        for order in &orders {
            assert!([201, 409].contains(&order.status), "{}", order.text);
        }
        let counts = get_group(&seller, &event).await["counts"].clone();
        assert_eq!(counts["reserved"], 2 * got);
        assert_eq!(counts["withdrawn"], withdrawal["changed"]);
        app.assert_sound().await;
    }

    async fn listings_are_counted_by_event_and_filtered_by_status(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        for price in [2500, 2600, 2700, 2800] {
            seller.ticket(&event, price).await;
        }
        let tickets = list_tickets(&seller, &event).await;
        let order = buyer.reserve(&[&tickets[1], &tickets[2]]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        seller.delete(&format!("/api/tickets/{}", id(&tickets[3]))).await;
        let held = buyer.reserve(&[&tickets[0]]).await.expect(201);
        let now = get_group(&seller, &event).await;
        assert_eq!(now["counts"], json!({"available": 0, "reserved": 1, "sold": 2, "withdrawn": 1}));
        assert_eq!((&now["revenueMinor"], &now["currency"]), (&json!(5300), &json!("GBP")));
        // The hold has ended, and no job has expired the order.
        app.clock.advance(901);
        assert_eq!(get_group(&seller, &event).await["counts"]["available"], 1);
        assert_eq!(buyer.order(&held).await["status"], "expired");

        for (status, found) in [("available", 1), ("reserved", 0), ("sold", 1), ("withdrawn", 1)] {
            let groups = seller.get(&format!("/api/selling?status={status}")).await.expect(200);
            assert_eq!(groups["groups"].as_array().unwrap().len(), found, "{status}");
            let page = seller.page(&format!("/selling?event={}&status={status}", id(&event))).await;
            assert_eq!(page.status, 200);
        }
        seller.refund(&[&tickets[1]]).await.expect(201);
        let now = get_group(&seller, &event).await;
        assert_eq!((&now["counts"]["withdrawn"], &now["revenueMinor"]), (&json!(2), &json!(2700)));
        assert_eq!(buyer.get("/api/selling").await.expect(200)["groups"], json!([]));
        assert_eq!(buyer.page(&format!("/selling?event={}", id(&event))).await.status, 404);
        assert!(buyer.page("/selling").await.text.contains("You are not selling anything."));
    }

    async fn events_and_tickets_are_paginated(app) {
        let seller = app.user("seller").await;
        for day in 10..22 {
            let starts = format!("2031-05-{day}T19:30:00Z");
            let event = seller.event_with(json!({"startsAt": starts, "title": format!("Night {day}")})).await;
            seller.ticket(&event, 2500).await;
        }
        let first = seller.get("/api/selling").await.expect(200);
        assert_eq!((first["groups"].as_array().unwrap().len(), &first["more"]), (10, &json!(true)));
        assert_eq!(first["groups"][0]["title"], "Night 10");
        let second = seller.get("/api/selling?page=2").await.expect(200);
        assert_eq!((second["groups"].as_array().unwrap().len(), &second["more"]), (2, &json!(false)));
        seller.get("/api/selling?page=0").await.invalid("page");
        let page = seller.page("/selling").await.text;
        assert!(page.contains("Night 10") && !page.contains("Night 21"), "{page}");
        assert!(page.contains("href=\"/selling?page=2\""), "{page}");
        let page = seller.page("/selling?page=2").await.text;
        assert!(page.contains("Night 21") && page.contains("href=\"/selling\""), "{page}");

        let big = seller.event().await;
        seller.batch(&big, 60, 2500).await;
        let page = seller.page(&format!("/selling?event={}", id(&big))).await.text;
        assert_eq!(page.matches("class=\"listing\"").count(), 50);
        let next = page.split("Next page").next().unwrap();
        let next = next.rsplit("href=\"").next().unwrap().split('"').next().unwrap().replace("&amp;", "&");
        let page = seller.page(&next).await.text;
        assert_eq!(page.matches("class=\"listing\"").count(), 10, "{next}");
    }

    async fn the_csv_file_contains_each_sale_and_no_formula(app) {
        let seller = app.user("seller").await;
        let event = seller.event_with(json!({"title": "=Hit, \"the\" Show"})).await;
        let (_, kept, order) = sell_ticket(app, &seller, &event, 2550).await;
        app.clock.advance(60);
        let (_, refunded, _) = sell_ticket(app, &seller, &event, 3000).await;
        seller.refund(&[&refunded]).await.expect(201);
        seller.ticket(&event, 100).await;

        let file = seller.get("/api/tickets/sales.csv").await;
        assert_eq!(file.status, 200);
        assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
        assert!(file.header("content-disposition").contains("sales.csv"));
        let rows: Vec<&str> = file.text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
        assert_eq!(rows.len(), 3, "{}", file.text);
        let head = "ticket,event,section,row,seat,price,currency,status,sold at,refunded at,payout,order";
        assert_eq!(rows[0].trim_start_matches('\u{feff}'), head);
        let order: OrderId = id(&order).parse().unwrap();
        assert!(rows[1].ends_with(&format!(",{}", order.code())), "{}", rows[1]);
        let title = "\"'=Hit, \"\"the\"\" Show\"";
        let first = format!("{},{title},,,,25.50,GBP,sold,", id(&kept));
        assert!(rows[1].starts_with(&first) && rows[1].contains("Z,,25.50,"), "{}", rows[1]);
        let second = format!("{},{title},,,,30.00,GBP,refunded,", id(&refunded));
        assert!(rows[2].starts_with(&second) && rows[2].contains("Z,0.00,"), "{}", rows[2]);

        assert_eq!(seller.page("/selling/sales.csv").await.text, file.text);
        let nothing = app.user("other").await.get("/api/tickets/sales.csv").await;
        assert_eq!(nothing.text.lines().count(), 1);
        app.anonymous().get("/api/tickets/sales.csv").await.refused(401, "sign_in_required");
        let guest = app.anonymous().page("/selling/sales.csv").await;
        assert_eq!((guest.status, guest.header("location")), (303, "/signin?next=/selling"));
    }

    async fn sales_are_counted_by_day_and_currency_for_a_month(app) {
        let seller = app.user("seller").await;
        let (pounds, yen) =
            (seller.event().await, seller.event_with(json!({"currency": "JPY"})).await);
        assert!(!seller.page("/selling").await.text.contains("Sales in the last 30 days"));
        sell_ticket(app, &seller, &pounds, 9900).await;
        app.sales_were_days_ago(20).await;
        sell_ticket(app, &seller, &pounds, 2500).await;
        sell_ticket(app, &seller, &pounds, 2600).await;
        sell_ticket(app, &seller, &yen, 4000).await;
        let (_, refunded, _) = sell_ticket(app, &seller, &pounds, 700).await;
        seller.refund(&[&refunded]).await.expect(201);
        let sales = seller.get("/api/selling/days").await.expect(200);
        assert_eq!(sales["days"].as_array().unwrap().len(), 3, "{sales}");
        let today = &sales["to"];
        let day = |tickets: i64, minor: i64, currency: &str| {
            json!({"day": today, "tickets": tickets, "revenueMinor": minor, "currency": currency})
        };
        assert_eq!(sales["days"][1], day(2, 5100, "GBP"));
        assert_eq!(sales["days"][2], day(1, 4000, "JPY"));
        let page = seller.page("/selling").await.text;
        for words in ["role=\"img\"", "Tickets sold", "£150.00", "¥4,000", "The same as a table"] {
            assert!(page.contains(words), "{words}: {page}");
        }
        app.sales_were_days_ago(15).await;
        let sales = seller.get("/api/selling/days").await.expect(200);
        assert_eq!(sales["days"].as_array().unwrap().len(), 2, "the first sale is 35 days old");
    }

    async fn the_steps_of_selling_keep_typed_values_and_show_errors_at_their_fields(app) {
        let (seller, other) = (app.user("seller").await, app.user("other").await);
        let event = seller.event().await;
        let stalls = json!({"eventId": event["id"], "priceMinor": 1800, "section": "Stalls"});
        other.post("/api/tickets", stalls).await.expect(201);
        other.ticket(&event, 1500).await;
        let step = |rest: &str| format!("/sell?event={}{rest}", id(&event));

        let shown = seller.page(&step("&step=price&quantity=0&section=Pit&face_value=x")).await.text;
        for words in ["What do you sell?", "id=\"list-quantity-error\"", "id=\"list-face_value-error\"", "Pit"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let shown = seller.page(&step("&step=price&quantity=2&section=stalls&face_value=20")).await.text;
        for words in ["What should each cost?", "aria-current=\"step\"", "£18.00", "£15.00", "£20.00",
            "2 tickets of other sellers"]
        {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let shown = seller.page(&step("&step=check&quantity=2&section=Stalls&price=cheap")).await.text;
        assert!(shown.contains("id=\"list-price-error\"") && shown.contains("value=\"cheap\""), "{shown}");
        let check = step("&step=check&quantity=2&section=Stalls&price=24");
        let shown = seller.page(&check).await.text;
        assert!(shown.contains("You are paid £24.00 for each ticket, £48.00 for all."), "{shown}");
        assert!(shown.contains("/fn/tickets/put_on_sale"), "{shown}");

        // An error found only when listing leads to its step, with all values kept.
        let seat = json!({"eventId": event["id"], "priceMinor": 100, "row": "C", "seat": "7"});
        seller.post("/api/tickets", seat).await.expect(201);
        let fields = [("event_id", id(&event)), ("quantity", "1"), ("row", "C"), ("seat", "7"), ("price", "31")];
        let answer = seller.form("/fn/tickets/put_on_sale", &check, &fields).await;
        let shown = seller.page(answer.header("location")).await.text;
        assert!(shown.contains("id=\"list-seat-error\"") && shown.contains("name=\"price\" value=\"31\""), "{shown}");
        let early = seller.page(&step("&step=price&row=C&seat=7")).await.text;
        assert!(early.contains("id=\"list-seat-error\""), "{early}");

        // A repeated submission lists the tickets once.
        let fields = [("event_id", id(&event)), ("quantity", "2"), ("price", "24"), ("attempt", "once")];
        for _ in 0..2 {
            let answer = seller.form("/fn/tickets/put_on_sale", &check, &fields).await;
            assert_eq!(answer.header("location"), step("&step=done"));
        }
        let other = [("event_id", id(&event)), ("quantity", "3"), ("price", "24"), ("attempt", "once")];
        let answer = seller.form("/fn/tickets/put_on_sale", &check, &other).await;
        assert_eq!(answer.header("location"), step("&step=done"), "changed values are a new listing");

        let done = seller.page(&step("&step=done")).await.text;
        for words in ["Your tickets for Late Show: 6 on sale.", "Share this link", "List another"] {
            assert!(done.contains(words), "{words}: {done}");
        }
        let nothing = app.user("new").await.page(&step("&step=done")).await;
        let at_first = step("&step=tickets&quantity=1&attempt=");
        assert!(nothing.header("location").starts_with(&at_first), "{}", nothing.header("location"));
    }

    async fn forms_change_many_listings(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 3, 2500).await;
        buyer.reserve_any(&event, 1).await.expect(201);
        let page = format!("/selling?event={}", id(&event));
        let wrong = [("event_id", id(&event)), ("price", "cheap")];
        let answer = seller.form("/fn/selling/reprice", &page, &wrong).await;
        assert_eq!(answer.header("location"), page);
        let shown = seller.page(&page).await.text;
        assert!(shown.contains(&format!("id=\"reprice-{}-price-error\"", id(&event))), "{shown}");
        let right = [("event_id", id(&event)), ("price", "30")];
        let answer = seller.form("/fn/selling/reprice", &page, &right).await;
        assert_eq!(answer.header("location"), page);
        let shown = seller.page(&page).await.text;
        assert!(shown.contains("2 tickets now cost £30.00. 1 is held by a buyer who is paying"), "{shown}");
        let answer = seller.form("/fn/selling/take_back", &page, &[("event_id", id(&event)), ("which", "=")]).await;
        assert_eq!(answer.header("location"), page);
        assert!(seller.page(&page).await.text.contains("2 tickets are off sale."));
        let answer = buyer.form("/fn/selling/reprice", "/selling", &right).await;
        assert_eq!(answer.header("location"), "/selling");
        let guest = app.anonymous().form("/fn/selling/take_back", &page, &right).await;
        assert!(guest.header("location").starts_with("/signin?next="), "{}", guest.text);
        app.assert_sound().await;
    }
}
