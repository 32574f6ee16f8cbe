//! The waiting list: addresses are confirmed, entries are notified in order, and not of tickets that are sold
//! before the mail is sent.

use crate::{
    mail::{
        letters, mailer,
        post::{Letter, Postbox},
    },
    support::{Answer, App, Client, client::PASSWORD, on_both_engines},
};
use platform::limits::Limits;
use serde_json::{Value, json};
use shop::waiting::{WaitingListNotifier, WaitingService};
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

fn list_path(event: &Value) -> String {
    format!("/api/events/{}/waiting-list", id(event))
}

async fn join(client: &Client, event: &Value, body: Value) -> Answer {
    client.post(&list_path(event), body).await
}

fn notifier(app: &App) -> WaitingListNotifier {
    WaitingListNotifier::new(app.db.clone(), app.clock.clone())
}

async fn notify(app: &App) -> usize {
    notifier(app).notify_due().await.unwrap()
}

async fn delete_old(app: &App) -> usize {
    let limits = Arc::new(Limits::new(app.clock.clone(), false, None));
    let list = WaitingService::new(app.db.clone(), app.clock.clone(), limits);
    list.delete_old().await.unwrap()
}

/// Asserts that only one mail is due, to this address.
#[track_caller]
fn assert_only_to<'l>(letters: &'l [Letter], email: &str) -> &'l Letter {
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].headers["to"].contains(email), "{letters:?}");
    &letters[0]
}

fn link_token(letter: &Letter) -> String {
    letter.token("/waiting-list").unwrap()
}

fn page_path(token: &str) -> String {
    format!("/waiting-list?token={token}")
}

async fn read_state(app: &App, email: &str) -> String {
    let sql = format!("SELECT state FROM waiting WHERE email = '{email}'");
    let row = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(app.db.reads())
        .await
        .unwrap();
    row.get("state")
}

/// Adds a confirmed address without an account. Returns the token of its link.
async fn add_confirmed(app: &App, event: &Value, email: &str, quantity: i64) -> String {
    let body = json!({"email": email, "quantity": quantity});
    join(&app.anonymous(), event, body).await.expect(202);
    let letters = letters(app).await;
    let token = link_token(assert_only_to(&letters, email));
    let body = json!({"token": token});
    let entry = app
        .anonymous()
        .post("/api/waiting-list/confirm", body)
        .await;
    assert_eq!(entry.expect(200)["state"], "waiting");
    app.clock.advance(1);
    token
}

/// Sends due mails. Returns the addresses notified of tickets, sorted.
async fn send_notifications(app: &App) -> Vec<String> {
    let mut addresses: Vec<String> = letters(app)
        .await
        .iter()
        .filter(|letter| letter.headers["subject"].starts_with("There are tickets for"))
        .map(|letter| letter.headers["to"].trim_matches(['<', '>']).to_owned())
        .collect();
    addresses.sort();
    addresses
}

on_both_engines! {
    async fn an_address_joins_the_list_once_it_is_confirmed(app) {
        let event = app.user("seller").await.event().await;
        let guest = app.anonymous();
        let body = json!({"email": " Guest@example.com", "quantity": 2});
        assert_eq!(join(&guest, &event, body).await.expect(202), json!({"confirmed": false}));
        let letters = letters(app).await;
        let letter = assert_only_to(&letters, "Guest@example.com");
        letter.says(&["confirm with the button", "within two days", "If it was not you"]);
        let token = link_token(letter);
        assert_eq!(app.count_where("waiting_mails", "token_hash", &token).await, 0, "only its hash is stored");

        for _ in 0..2 {
            let page = guest.page(&page_path(&token)).await;
            assert!(page.text.contains("Yes, tell me") && page.text.contains("2 tickets"), "{}", page.text);
            assert_eq!(read_state(app, "Guest@example.com").await, "asked", "opening the page changes nothing");
        }
        let answer = guest.form("/fn/waiting/confirm", &page_path(&token), &[("token", &token)]).await;
        assert_eq!(answer.header("location"), page_path(&token));
        let page = guest.page(&page_path(&token)).await.text;
        assert!(page.contains("You are on the waiting list") && page.contains("Leave the list"), "{page}");
        assert_eq!(read_state(app, "Guest@example.com").await, "waiting");
    }

    async fn a_member_joins_at_once_and_is_mailed_a_notice(app) {
        let event = app.user("seller").await.event().await;
        let ann = app.user("ann").await;
        assert_eq!(join(&ann, &event, json!({})).await.expect(202), json!({"confirmed": true}));
        let sent = letters(app).await;
        assert_only_to(&sent, &ann.email).says(&["You are on the waiting list", "Nothing is kept for you", "To leave the waiting list"]);
        assert_eq!(read_state(app, &ann.email).await, "waiting");
        let page = ann.page(&format!("/events/{}", id(&event))).await.text;
        assert!(page.contains("You are on the waiting list"), "{page}");

        let body = json!({"email": ann.email.to_uppercase(), "quantity": 3});
        assert_eq!(join(&ann, &event, body).await.expect(202)["confirmed"], true);
        assert_eq!(app.number("SELECT quantity AS n FROM waiting").await, 3, "members can change their own quantity");
        assert_eq!(letters(app).await.len(), 0);
        let body = json!({"email": "friend@example.com"});
        assert_eq!(join(&ann, &event, body).await.expect(202)["confirmed"], false);
        assert_only_to(&letters(app).await, "friend@example.com");
        assert_eq!(read_state(app, "friend@example.com").await, "asked");

        assert_eq!(ann.delete(&list_path(&event)).await.status, 204);
        ann.delete(&list_path(&event)).await.refused(404, "not_found");
        app.anonymous().delete(&list_path(&event)).await.refused(401, "sign_in_required");
        assert_eq!(app.count("waiting").await, 1, "the friend's entry remains");
    }

    async fn repeated_requests_make_one_entry_and_one_mail_an_hour_and_reveal_nothing(app) {
        let event = app.user("seller").await.event().await;
        let guest = app.anonymous();
        let body = || json!({"email": "guest@example.com"});
        let first = join(&guest, &event, body()).await;
        let mut texts = vec![first.text];
        texts.push(join(&guest, &event, json!({"email": "GUEST@example.com"})).await.text);
        assert_eq!((app.count("waiting").await, app.count("mails").await), (1, 1));
        app.clock.advance(HOUR - 1);
        texts.push(join(&guest, &event, body()).await.text);
        assert_eq!(app.count("mails").await, 1);
        app.clock.advance(1);
        texts.push(join(&guest, &event, body()).await.text);
        assert_eq!((app.count("waiting").await, app.count("mails").await), (1, 2));

        let sent = letters(app).await;
        assert_eq!(sent.len(), 2, "either link works");
        let confirm = json!({"token": link_token(&sent[0])});
        guest.post("/api/waiting-list/confirm", confirm).await.expect(200);
        app.clock.advance(DAY);
        texts.push(join(&guest, &event, json!({"email": "guest@example.com", "quantity": 8})).await.text);
        assert_eq!(read_state(app, "guest@example.com").await, "waiting");
        assert_eq!(app.number("SELECT quantity AS n FROM waiting").await, 1, "an unverified request does not change it");
        assert_eq!(app.count("mails").await, 2);
        texts.dedup();
        assert_eq!(texts.len(), 1, "all responses are equal: {texts:?}");
    }

    async fn concurrent_requests_make_one_entry_and_one_mail(app) {
        let event = app.user("seller").await.event().await;
        let ann = app.user("ann").await;
        let guests: Vec<Client> = (0..6).map(|_| app.anonymous()).collect();
        let by_guests = guests.iter().map(|guest| join(guest, &event, json!({"email": "guest@example.com"})));
        let by_member = (0..6).map(|_| join(&ann, &event, json!({})));
        let (by_guests, by_member) = tokio::join!(futures::future::join_all(by_guests), futures::future::join_all(by_member));
        for answer in by_guests.into_iter().chain(by_member) {
            answer.expect(202);
        }
        assert_eq!((app.count("waiting").await, app.count("mails").await), (2, 2));
    }

    async fn entries_are_notified_in_order_for_as_many_tickets_as_there_are(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        for (email, quantity) in [("a@example.com", 1), ("b@example.com", 2), ("c@example.com", 1), ("d@example.com", 1)] {
            add_confirmed(app, &event, email, quantity).await;
        }
        assert_eq!(notify(app).await, 0, "nothing is for sale");
        seller.ticket(&event, 2500).await;
        assert_eq!((notify(app).await, notify(app).await), (1, 0));
        let sent = letters(app).await;
        let letter = assert_only_to(&sent, "a@example.com");
        letter.says(&["There are tickets for Late Show", "£25.00", "None of them is kept for you"]);
        assert_eq!(read_state(app, "a@example.com").await, "told");

        // One ticket: too few for b, who keeps their place.
        seller.ticket(&event, 2600).await;
        assert_eq!((notify(app).await, send_notifications(app).await), (1, vec!["c@example.com".to_owned()]));
        app.clock.advance(HOUR - 1);
        assert_eq!(notify(app).await, 0);
        // The hour of the notified entries has passed.
        app.clock.advance(1);
        assert_eq!((notify(app).await, send_notifications(app).await), (1, vec!["b@example.com".to_owned()]));
        assert_eq!(read_state(app, "d@example.com").await, "waiting");
    }

    async fn concurrent_rounds_notify_once(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        add_confirmed(app, &event, "a@example.com", 1).await;
        add_confirmed(app, &event, "b@example.com", 1).await;
        add_confirmed(app, &event, "c@example.com", 1).await;
        seller.ticket(&event, 2500).await;
        let notifier = notifier(app);
        let seen = notifier.list_awaited_events().await.unwrap();
        assert_eq!(seen.len(), 1);
        let (one, two) = tokio::join!(notifier.notify(seen[0]), notifier.notify(seen[0]));
        assert_eq!(one.unwrap() + two.unwrap(), 1);
        assert_eq!(notifier.notify(seen[0]).await.unwrap(), 0, "the round is outdated");
        assert_eq!(send_notifications(app).await, ["a@example.com"]);

        // The same after an earlier round.
        seller.ticket(&event, 2500).await;
        let seen = notifier.list_awaited_events().await.unwrap();
        let (one, two) = tokio::join!(notifier.notify(seen[0]), notifier.notify(seen[0]));
        assert_eq!(one.unwrap() + two.unwrap(), 1);
        assert_eq!(send_notifications(app).await, ["b@example.com"]);
        assert_eq!(read_state(app, "c@example.com").await, "waiting");
    }

    async fn entries_are_notified_however_tickets_become_available(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let emails = ["a@example.com", "b@example.com", "c@example.com"];
        for email in emails {
            add_confirmed(app, &event, email, 1).await;
        }
        assert_eq!(notify(app).await, 0, "the ticket is held");
        // The hold has ended, and no job has expired the order.
        app.clock.advance(900);
        assert_eq!((notify(app).await, send_notifications(app).await), (1, vec![emails[0].to_owned()]));
        assert_eq!(buyer.order(&order).await["status"], "expired");

        let order = buyer.reserve(&[&ticket]).await.expect(201);
        assert_eq!(notify(app).await, 0);
        assert_eq!(buyer.cancel(&order).await.status, 204);
        assert_eq!((notify(app).await, send_notifications(app).await), (1, vec![emails[1].to_owned()]), "it was reserved in between");

        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        assert_eq!(notify(app).await, 0);
        seller.refund(&[&ticket]).await.expect(201);
        app.settle().await;
        seller.ticket(&event, 2500).await;
        assert_eq!((notify(app).await, send_notifications(app).await), (1, vec![emails[2].to_owned()]));
        app.assert_sound().await;
    }

    async fn an_entry_whose_tickets_are_sold_before_the_mail_keeps_waiting(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        add_confirmed(app, &event, "a@example.com", 1).await;
        add_confirmed(app, &event, "b@example.com", 1).await;
        assert_eq!(buyer.cancel(&order).await.status, 204);
        assert_eq!(notify(app).await, 1);
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        assert_eq!(send_notifications(app).await, Vec::<String>::new(), "reserved again before the mail is composed");
        assert_eq!(read_state(app, "a@example.com").await, "waiting");
        assert_eq!(notify(app).await, 0);
        assert_eq!(buyer.cancel(&order).await.status, 204);
        assert_eq!((notify(app).await, send_notifications(app).await), (1, vec!["a@example.com".to_owned()]), "at the same position");
    }

    async fn a_retried_mail_is_checked_again_before_it_is_sent(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        add_confirmed(app, &event, "a@example.com", 1).await;
        let ticket = seller.ticket(&event, 2500).await;
        assert_eq!(notify(app).await, 1);
        let broken = Postbox::failing(1);
        assert_eq!(mailer(app, broken).send_due().await.unwrap(), 0);
        buyer.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(60);
        assert_eq!(send_notifications(app).await, Vec::<String>::new());
        assert_eq!(read_state(app, "a@example.com").await, "waiting");
    }

    async fn a_notified_entry_is_notified_again_only_on_request(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let link = add_confirmed(app, &event, "a@example.com", 1).await;
        let ticket = seller.ticket(&event, 2500).await;
        assert_eq!((notify(app).await, send_notifications(app).await.len()), (1, 1));
        assert_eq!(seller.delete(&crate::support::path("tickets", &ticket)).await.status, 204);
        notify(app).await;
        seller.ticket(&event, 2500).await;
        assert_eq!(notify(app).await, 0, "notified only once");

        let guest = app.anonymous();
        let page = guest.page(&page_path(&link)).await.text;
        assert!(page.contains("You have been told") && page.contains("Tell me again"), "{page}");
        guest.form("/fn/waiting/confirm", &page_path(&link), &[("token", &link)]).await;
        assert_eq!(read_state(app, "a@example.com").await, "waiting");
        assert_eq!(notify(app).await, 0, "not twice within an hour");
        app.clock.advance(HOUR);
        assert_eq!((notify(app).await, send_notifications(app).await.len()), (1, 1));
    }

    async fn the_page_of_a_link_can_delete_the_address(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let link = add_confirmed(app, &event, "a@example.com", 1).await;
        seller.ticket(&event, 2500).await;
        assert_eq!(notify(app).await, 1);
        let guest = app.anonymous();
        guest.page(&page_path(&link)).await;
        assert_eq!(app.count("waiting").await, 1, "opening the page changes nothing");
        let from = page_path(&link);
        let left = guest.form("/fn/waiting/leave_by_link", &from, &[("token", &link)]).await;
        assert_eq!(left.header("location"), format!("/events/{}", id(&event)));
        for table in ["waiting", "waiting_mails"] {
            assert_eq!(app.count(table).await, 0, "{table}");
        }
        assert_eq!(letters(app).await.len(), 0, "the queued mail is deleted");

        let again = guest.form("/fn/waiting/leave_by_link", &from, &[("token", &link)]).await;
        assert_eq!(again.header("location"), "/");
        let page = guest.page(&from).await;
        assert!(page.text.contains("no longer works"), "{}", page.text);
        for nonsense in ["", "x", "' OR 1 = 1 --", link.as_str()] {
            let body = json!({"token": nonsense});
            guest.post("/api/waiting-list/confirm", body.clone()).await.invalid("token");
            assert_eq!(guest.post("/api/waiting-list/leave", body).await.status, 204);
        }
    }

    async fn invalid_fields_are_reported(app) {
        let (seller, guest) = (app.user("seller").await, app.anonymous());
        let event = seller.event().await;
        for (field, body) in [
            ("email", json!({})), ("email", json!({"email": ""})), ("email", json!({"email": "nonsense"})),
            ("email", json!({"email": 1})), ("surprise", json!({"surprise": 1})),
            ("quantity", json!({"email": "a@example.com", "quantity": 0})),
            ("quantity", json!({"email": "a@example.com", "quantity": 9})),
            ("quantity", json!({"email": "a@example.com", "quantity": "2"})),
        ] {
            join(&guest, &event, body).await.invalid(field);
        }
        let unknown = json!({"id": "00000000-0000-7000-8000-000000000000"});
        join(&guest, &unknown, json!({"email": "a@example.com"})).await.refused(404, "not_found");

        let page = format!("/events/{}", id(&event));
        let fields = [("event_id", id(&event)), ("email", "not <an> address"), ("quantity", "many")];
        let answer = guest.form("/fn/waiting/join", &page, &fields).await;
        assert_eq!(answer.header("location"), page);
        let shown = guest.page(&page).await.text;
        for part in ["role=\"alert\"", "#waiting-list-email", "#waiting-list-quantity", "not &lt;an&gt; address",
            "aria-invalid=\"true\"", "Enter an address like name@example.com."]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!((app.count("waiting").await, app.count("mails").await), (0, 0));
    }

    async fn joining_is_refused_while_tickets_are_for_sale(app) {
        let (seller, guest) = (app.user("seller").await, app.anonymous());
        let event = seller.event().await;
        let page = format!("/events/{}", id(&event));
        assert!(guest.page(&page).await.text.contains("data-none-left"));
        seller.ticket(&event, 2500).await;
        assert!(!guest.page(&page).await.text.contains("data-none-left"));
        let body = |quantity| json!({"email": "a@example.com", "quantity": quantity});
        join(&guest, &event, body(1)).await.refused(409, "tickets_for_sale");
        join(&guest, &event, body(2)).await.expect(202);
        let fields = [("event_id", id(&event)), ("email", "b@example.com"), ("quantity", "1")];
        let answer = guest.form("/fn/waiting/join", &page, &fields).await;
        assert_eq!(answer.header("location"), page);
        assert!(guest.page(&page).await.text.contains("There are tickets for sale right now"));
        assert_eq!(app.count("waiting").await, 1);
    }

    async fn confirmation_mails_are_rate_limited(app) {
        app.limits_on();
        let seller = app.user("seller").await;
        let mut events = Vec::new();
        for _ in 0..11 {
            events.push(seller.event().await);
        }
        let guest = app.anonymous();
        for event in &events[..10] {
            join(&guest, event, json!({"email": "victim@example.com"})).await.expect(202);
        }
        let body = json!({"email": "VICTIM@example.com"});
        join(&guest, &events[10], body.clone()).await.refused(429, "too_many_requests");
        app.clock.advance(DAY - 1);
        join(&guest, &events[10], body.clone()).await.refused(429, "too_many_requests");
        assert_eq!(app.count("mails").await, 10);
        app.clock.advance(1);
        join(&guest, &events[10], body).await.expect(202);
        for n in 0..28 {
            join(&guest, &events[0], json!({"email": format!("n{n}@example.com")})).await.expect(202);
        }
        join(&guest, &events[0], json!({"email": "n99@example.com"})).await.refused(429, "too_many_requests");
    }

    async fn deleting_an_account_deletes_its_entries_by_user_and_address(app) {
        let event = app.user("seller").await.event().await;
        let (ann, other) = (app.user("ann").await, app.user("other").await);
        let second = other.event().await;
        join(&ann, &event, json!({"quantity": 2})).await.expect(202);
        join(&app.anonymous(), &second, json!({"email": ann.email})).await.expect(202);
        join(&other, &event, json!({})).await.expect(202);
        let data = ann.get("/account/data.json").await.expect(200);
        let entries = data["waiting"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "an unconfirmed entry may be of another person: {entries:?}");
        assert_eq!((&entries[0]["eventId"], &entries[0]["quantity"]), (&event["id"], &json!(2)));

        let body = json!({"password": PASSWORD});
        assert_eq!(ann.json("DELETE", "/api/user", &[], body).await.status, 204);
        assert_eq!((app.count("waiting").await, app.count("mails").await), (1, 1), "the other user's");
        assert_eq!(read_state(app, &other.email).await, "waiting");
    }

    async fn old_and_unconfirmed_entries_are_deleted(app) {
        let seller = app.user("seller").await;
        let starts = jiff::Timestamp::from_second(app.clock_seconds() + 3 * DAY).unwrap();
        let event = seller.event_with(json!({"startsAt": starts.to_string()})).await;
        let link = add_confirmed(app, &event, "a@example.com", 1).await;
        join(&app.anonymous(), &event, json!({"email": "b@example.com"})).await.expect(202);
        let late = link_token(assert_only_to(&letters(app).await, "b@example.com"));
        app.clock.advance(2 * DAY - 1);
        assert_eq!(delete_old(app).await, 0);
        assert!(app.anonymous().page(&page_path(&late)).await.text.contains("Yes, tell me"));
        app.clock.advance(1);
        let body = json!({"token": late});
        app.anonymous().post("/api/waiting-list/confirm", body).await.invalid("token");
        assert_eq!(delete_old(app).await, 1);

        seller.ticket(&event, 2500).await;
        assert_eq!(notify(app).await, 1);
        app.clock.advance(DAY);
        assert_eq!(send_notifications(app).await, Vec::<String>::new(), "the event has begun");
        assert_eq!(notify(app).await, 0);
        join(&app.anonymous(), &event, json!({"email": "c@example.com"})).await.refused(409, "event_over");
        let page = app.anonymous().page(&page_path(&link)).await;
        assert!(page.text.contains("no longer works"));
        assert_eq!(delete_old(app).await, 0);
        app.clock.advance(3 * DAY);
        assert_eq!(delete_old(app).await, 1);
        for table in ["waiting", "waiting_mails", "waiting_rounds", "mails"] {
            assert_eq!(app.count(table).await, 0, "{table}");
        }
    }

    async fn the_api_document_describes_the_list(app) {
        let document = app.anonymous().get("/api/openapi.json").await.expect(200);
        for (route, method) in [
            ("/api/events/{id}/waiting-list", "post"), ("/api/events/{id}/waiting-list", "delete"),
            ("/api/waiting-list/confirm", "post"), ("/api/waiting-list/leave", "post"),
        ] {
            assert!(document["paths"][route][method].is_object(), "{method} {route}");
        }
    }
}
