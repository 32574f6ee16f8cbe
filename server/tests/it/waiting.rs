//! The waiting list: nobody is on it who has not said so, those who came first are told first, and
//! nobody is told of what is gone.

use crate::{
    mail::{
        letters, mailer,
        post::{Letter, Postbox},
    },
    support::{Answer, App, Client, client::PASSWORD, on_both_engines},
};
use platform::limits::Limits;
use serde_json::{Value, json};
use shop::waiting::{Rounds, WaitingService};
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

fn list_of(event: &Value) -> String {
    format!("/api/events/{}/waiting-list", id(event))
}

async fn join(client: &Client, event: &Value, body: Value) -> Answer {
    client.post(&list_of(event), body).await
}

fn rounds(app: &App) -> Rounds {
    Rounds::new(app.db.clone(), app.clock.clone())
}

async fn tell(app: &App) -> usize {
    rounds(app).tell_due().await.unwrap()
}

async fn forget_old(app: &App) -> usize {
    let limits = Arc::new(Limits::new(app.clock.clone(), false, None));
    let list = WaitingService::new(app.db.clone(), app.clock.clone(), limits);
    list.forget_old().await.unwrap()
}

/// The only mail that is due, which is for this address.
#[track_caller]
fn only_to<'l>(letters: &'l [Letter], email: &str) -> &'l Letter {
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].headers["to"].contains(email), "{letters:?}");
    &letters[0]
}

fn token(letter: &Letter) -> String {
    letter.token("/waiting-list").unwrap()
}

fn page_of(token: &str) -> String {
    format!("/waiting-list?token={token}")
}

async fn state_of(app: &App, email: &str) -> String {
    let sql = format!("SELECT state FROM waiting WHERE email = '{email}'");
    let row = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(app.db.reads())
        .await
        .unwrap();
    row.get("state")
}

/// Somebody without an account who is on the list, and the token of their link.
async fn confirmed(app: &App, event: &Value, email: &str, quantity: i64) -> String {
    let body = json!({"email": email, "quantity": quantity});
    join(&app.anonymous(), event, body).await.expect(202);
    let letters = letters(app).await;
    let token = token(only_to(&letters, email));
    let body = json!({"token": token});
    let entry = app
        .anonymous()
        .post("/api/waiting-list/confirm", body)
        .await;
    assert_eq!(entry.expect(200)["state"], "waiting");
    app.clock.advance(1);
    token
}

/// To whom mails about free tickets go that are due.
async fn told(app: &App) -> Vec<String> {
    let mut told: Vec<String> = letters(app)
        .await
        .iter()
        .filter(|letter| letter.headers["subject"].starts_with("There are tickets for"))
        .map(|letter| letter.headers["to"].trim_matches(['<', '>']).to_owned())
        .collect();
    told.sort();
    told
}

on_both_engines! {
    async fn an_address_is_on_the_list_once_it_has_said_yes(app) {
        let event = app.user("seller").await.event().await;
        let guest = app.anonymous();
        let body = json!({"email": " Guest@example.com", "quantity": 2});
        assert_eq!(join(&guest, &event, body).await.expect(202), json!({"confirmed": false}));
        let letters = letters(app).await;
        let letter = only_to(&letters, "Guest@example.com");
        letter.says(&["confirm with the button", "within two days", "If it was not you"]);
        let token = token(letter);
        assert_eq!(app.count_where("waiting_mails", "token_hash", &token).await, 0, "only its hash is kept");

        for _ in 0..2 {
            let page = guest.page(&page_of(&token)).await;
            assert!(page.text.contains("Yes, tell me") && page.text.contains("2 tickets"), "{}", page.text);
            assert_eq!(state_of(app, "Guest@example.com").await, "asked", "looking changes nothing");
        }
        let answer = guest.form("/fn/waiting/confirm", &page_of(&token), &[("token", &token)]).await;
        assert_eq!(answer.header("location"), page_of(&token));
        let page = guest.page(&page_of(&token)).await.text;
        assert!(page.contains("You are on the waiting list") && page.contains("Leave the list"), "{page}");
        assert_eq!(state_of(app, "Guest@example.com").await, "waiting");
    }

    async fn a_member_is_on_the_list_at_once_and_is_mailed_that_they_are(app) {
        let event = app.user("seller").await.event().await;
        let ann = app.user("ann").await;
        assert_eq!(join(&ann, &event, json!({})).await.expect(202), json!({"confirmed": true}));
        let sent = letters(app).await;
        only_to(&sent, &ann.email).says(&["You are on the waiting list", "Nothing is kept for you", "To leave the waiting list"]);
        assert_eq!(state_of(app, &ann.email).await, "waiting");
        let page = ann.page(&format!("/events/{}", id(&event))).await.text;
        assert!(page.contains("You are on the waiting list"), "{page}");

        let body = json!({"email": ann.email.to_uppercase(), "quantity": 3});
        assert_eq!(join(&ann, &event, body).await.expect(202)["confirmed"], true);
        assert_eq!(app.number("SELECT quantity AS n FROM waiting").await, 3, "one's own to change");
        assert_eq!(letters(app).await.len(), 0);
        let body = json!({"email": "friend@example.com"});
        assert_eq!(join(&ann, &event, body).await.expect(202)["confirmed"], false);
        only_to(&letters(app).await, "friend@example.com");
        assert_eq!(state_of(app, "friend@example.com").await, "asked");

        assert_eq!(ann.delete(&list_of(&event)).await.status, 204);
        ann.delete(&list_of(&event)).await.refused(404, "not_found");
        app.anonymous().delete(&list_of(&event)).await.refused(401, "sign_in_required");
        assert_eq!(app.count("waiting").await, 1, "the friend's is not Ann's");
    }

    async fn asking_again_is_one_entry_and_one_mail_an_hour_and_tells_nothing(app) {
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
        let confirm = json!({"token": token(&sent[0])});
        guest.post("/api/waiting-list/confirm", confirm).await.expect(200);
        app.clock.advance(DAY);
        texts.push(join(&guest, &event, json!({"email": "guest@example.com", "quantity": 8})).await.text);
        assert_eq!(state_of(app, "guest@example.com").await, "waiting");
        assert_eq!(app.number("SELECT quantity AS n FROM waiting").await, 1, "no stranger changes it");
        assert_eq!(app.count("mails").await, 2);
        texts.dedup();
        assert_eq!(texts.len(), 1, "one answer, whatever is known: {texts:?}");
    }

    async fn asking_many_times_at_once_is_one_entry_and_one_mail(app) {
        let event = app.user("seller").await.event().await;
        let ann = app.user("ann").await;
        let guests: Vec<Client> = (0..6).map(|_| app.anonymous()).collect();
        let asked = guests.iter().map(|guest| join(guest, &event, json!({"email": "guest@example.com"})));
        let own = (0..6).map(|_| join(&ann, &event, json!({})));
        let (asked, own) = tokio::join!(futures::future::join_all(asked), futures::future::join_all(own));
        for answer in asked.into_iter().chain(own) {
            answer.expect(202);
        }
        assert_eq!((app.count("waiting").await, app.count("mails").await), (2, 2));
    }

    async fn who_has_waited_longest_is_told_of_as_many_as_there_are(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        for (email, quantity) in [("a@example.com", 1), ("b@example.com", 2), ("c@example.com", 1), ("d@example.com", 1)] {
            confirmed(app, &event, email, quantity).await;
        }
        assert_eq!(tell(app).await, 0, "nothing is for sale");
        seller.ticket(&event, 2500).await;
        assert_eq!((tell(app).await, tell(app).await), (1, 0));
        let sent = letters(app).await;
        let letter = only_to(&sent, "a@example.com");
        letter.says(&["There are tickets for Late Show", "£25.00", "None of them is kept for you"]);
        assert_eq!(state_of(app, "a@example.com").await, "told");

        // One more: it does not suit who wants two, who keeps their place.
        seller.ticket(&event, 2600).await;
        assert_eq!((tell(app).await, told(app).await), (1, vec!["c@example.com".to_owned()]));
        app.clock.advance(HOUR - 1);
        assert_eq!(tell(app).await, 0);
        // Those who were told have had their hour.
        app.clock.advance(1);
        assert_eq!((tell(app).await, told(app).await), (1, vec!["b@example.com".to_owned()]));
        assert_eq!(state_of(app, "d@example.com").await, "waiting");
    }

    async fn two_rounds_that_see_the_same_tickets_tell_once(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        confirmed(app, &event, "a@example.com", 1).await;
        confirmed(app, &event, "b@example.com", 1).await;
        confirmed(app, &event, "c@example.com", 1).await;
        seller.ticket(&event, 2500).await;
        let rounds = rounds(app);
        let seen = rounds.seen().await.unwrap();
        assert_eq!(seen.len(), 1);
        let (one, two) = tokio::join!(rounds.tell(seen[0]), rounds.tell(seen[0]));
        assert_eq!(one.unwrap() + two.unwrap(), 1);
        assert_eq!(rounds.tell(seen[0]).await.unwrap(), 0, "who comes late has seen an old round");
        assert_eq!(told(app).await, ["a@example.com"]);

        // The same once there has been a round before.
        seller.ticket(&event, 2500).await;
        let seen = rounds.seen().await.unwrap();
        let (one, two) = tokio::join!(rounds.tell(seen[0]), rounds.tell(seen[0]));
        assert_eq!(one.unwrap() + two.unwrap(), 1);
        assert_eq!(told(app).await, ["b@example.com"]);
        assert_eq!(state_of(app, "c@example.com").await, "waiting");
    }

    async fn tickets_come_free_in_every_way_there_is(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let emails = ["a@example.com", "b@example.com", "c@example.com"];
        for email in emails {
            confirmed(app, &event, email, 1).await;
        }
        assert_eq!(tell(app).await, 0, "held");
        // By the clock alone: nobody has tidied up.
        app.clock.advance(900);
        assert_eq!((tell(app).await, told(app).await), (1, vec![emails[0].to_owned()]));
        assert_eq!(buyer.order(&order).await["status"], "expired");

        let order = buyer.reserve(&[&ticket]).await.expect(201);
        assert_eq!(tell(app).await, 0);
        assert_eq!(buyer.cancel(&order).await.status, 204);
        assert_eq!((tell(app).await, told(app).await), (1, vec![emails[1].to_owned()]), "it was gone in between");

        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        assert_eq!(tell(app).await, 0);
        seller.refund(&[&ticket]).await.expect(201);
        app.settle().await;
        seller.ticket(&event, 2500).await;
        assert_eq!((tell(app).await, told(app).await), (1, vec![emails[2].to_owned()]));
        app.assert_sound().await;
    }

    async fn who_would_be_told_too_late_waits_on(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        confirmed(app, &event, "a@example.com", 1).await;
        confirmed(app, &event, "b@example.com", 1).await;
        assert_eq!(buyer.cancel(&order).await.status, 204);
        assert_eq!(tell(app).await, 1);
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        assert_eq!(told(app).await, Vec::<String>::new(), "sold out again when it was to be sent");
        assert_eq!(state_of(app, "a@example.com").await, "waiting");
        assert_eq!(tell(app).await, 0);
        assert_eq!(buyer.cancel(&order).await.status, 204);
        assert_eq!((tell(app).await, told(app).await), (1, vec!["a@example.com".to_owned()]), "at the same place");
    }

    async fn a_mail_that_failed_looks_again_before_it_is_sent(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        confirmed(app, &event, "a@example.com", 1).await;
        let ticket = seller.ticket(&event, 2500).await;
        assert_eq!(tell(app).await, 1);
        let broken = Postbox::failing(1);
        assert_eq!(mailer(app, broken).send_due().await.unwrap(), 0);
        buyer.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(60);
        assert_eq!(told(app).await, Vec::<String>::new());
        assert_eq!(state_of(app, "a@example.com").await, "waiting");
    }

    async fn who_was_told_is_done_unless_they_ask_again(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let link = confirmed(app, &event, "a@example.com", 1).await;
        let ticket = seller.ticket(&event, 2500).await;
        assert_eq!((tell(app).await, told(app).await.len()), (1, 1));
        assert_eq!(seller.delete(&crate::support::path("tickets", &ticket)).await.status, 204);
        tell(app).await;
        seller.ticket(&event, 2500).await;
        assert_eq!(tell(app).await, 0, "once");

        let guest = app.anonymous();
        let page = guest.page(&page_of(&link)).await.text;
        assert!(page.contains("You have been told") && page.contains("Tell me again"), "{page}");
        guest.form("/fn/waiting/confirm", &page_of(&link), &[("token", &link)]).await;
        assert_eq!(state_of(app, "a@example.com").await, "waiting");
        assert_eq!(tell(app).await, 0, "not twice within an hour");
        app.clock.advance(HOUR);
        assert_eq!((tell(app).await, told(app).await.len()), (1, 1));
    }

    async fn a_link_leaves_the_list_by_a_button_and_deletes_the_address(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let link = confirmed(app, &event, "a@example.com", 1).await;
        seller.ticket(&event, 2500).await;
        assert_eq!(tell(app).await, 1);
        let guest = app.anonymous();
        guest.page(&page_of(&link)).await;
        assert_eq!(app.count("waiting").await, 1, "looking changes nothing");
        let from = page_of(&link);
        let left = guest.form("/fn/waiting/leave_by_link", &from, &[("token", &link)]).await;
        assert_eq!(left.header("location"), format!("/events/{}", id(&event)));
        for table in ["waiting", "waiting_mails"] {
            assert_eq!(app.count(table).await, 0, "{table}");
        }
        assert_eq!(letters(app).await.len(), 0, "what was to be sent is not");

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

    async fn what_is_wrong_is_said_at_its_field(app) {
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

    async fn nobody_waits_for_what_there_is(app) {
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

    async fn mails_cannot_be_thrown_at_anybody(app) {
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

    async fn who_leaves_the_shop_leaves_the_list_by_account_and_by_address(app) {
        let event = app.user("seller").await.event().await;
        let (ann, other) = (app.user("ann").await, app.user("other").await);
        let second = other.event().await;
        join(&ann, &event, json!({"quantity": 2})).await.expect(202);
        join(&app.anonymous(), &second, json!({"email": ann.email})).await.expect(202);
        join(&other, &event, json!({})).await.expect(202);
        let data = ann.get("/account/data.json").await.expect(200);
        let waits = data["waiting"].as_array().unwrap();
        assert_eq!(waits.len(), 1, "what was not confirmed may be another's: {waits:?}");
        assert_eq!((&waits[0]["eventId"], &waits[0]["quantity"]), (&event["id"], &json!(2)));

        let body = json!({"password": PASSWORD});
        assert_eq!(ann.json("DELETE", "/api/user", &[], body).await.status, 204);
        assert_eq!((app.count("waiting").await, app.count("mails").await), (1, 1), "the other's");
        assert_eq!(state_of(app, &other.email).await, "waiting");
    }

    async fn entries_end_with_their_event_and_unconfirmed_ones_before(app) {
        let seller = app.user("seller").await;
        let starts = jiff::Timestamp::from_second(app.clock_seconds() + 3 * DAY).unwrap();
        let event = seller.event_with(json!({"startsAt": starts.to_string()})).await;
        let link = confirmed(app, &event, "a@example.com", 1).await;
        join(&app.anonymous(), &event, json!({"email": "b@example.com"})).await.expect(202);
        let late = token(only_to(&letters(app).await, "b@example.com"));
        app.clock.advance(2 * DAY - 1);
        assert_eq!(forget_old(app).await, 0);
        assert!(app.anonymous().page(&page_of(&late)).await.text.contains("Yes, tell me"));
        app.clock.advance(1);
        let body = json!({"token": late});
        app.anonymous().post("/api/waiting-list/confirm", body).await.invalid("token");
        assert_eq!(forget_old(app).await, 1);

        seller.ticket(&event, 2500).await;
        assert_eq!(tell(app).await, 1);
        app.clock.advance(DAY);
        assert_eq!(told(app).await, Vec::<String>::new(), "the event has begun");
        assert_eq!(tell(app).await, 0);
        join(&app.anonymous(), &event, json!({"email": "c@example.com"})).await.refused(409, "event_over");
        let page = app.anonymous().page(&page_of(&link)).await;
        assert!(page.text.contains("no longer works"));
        assert_eq!(forget_old(app).await, 0);
        app.clock.advance(3 * DAY);
        assert_eq!(forget_old(app).await, 1);
        for table in ["waiting", "waiting_mails", "waiting_rounds", "mails"] {
            assert_eq!(app.count(table).await, 0, "{table}");
        }
    }

    async fn the_list_is_in_the_document_of_the_api(app) {
        let document = app.anonymous().get("/api/openapi.json").await.expect(200);
        for (route, method) in [
            ("/api/events/{id}/waiting-list", "post"), ("/api/events/{id}/waiting-list", "delete"),
            ("/api/waiting-list/confirm", "post"), ("/api/waiting-list/leave", "post"),
        ] {
            assert!(document["paths"][route][method].is_object(), "{method} {route}");
        }
    }
}
