//! Buyers are mailed when the title, time or place of their event changes: once for what an organiser
//! changes within a few minutes.

use crate::{
    mail::{self, post::Letter},
    support::{App, Client, client::PASSWORD, on_both_engines, path},
};
use serde_json::{Value, json};
use shop::events::changes::Changes;

const MINUTE: i64 = 60;

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

async fn bought(seller: &Client, buyer: &Client, event: &Value) -> Value {
    let ticket = seller.ticket(event, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    order
}

/// Changes an event, whatever its version is.
async fn change(creator: &Client, event: &Value, mut fields: Value) {
    let now = creator.get(&path("events", event)).await.expect(200);
    fields["version"] = now["version"].clone();
    creator
        .put(&path("events", event), fields)
        .await
        .expect(200);
}

fn changes(app: &App) -> Changes {
    Changes::new(app.db.clone(), app.clock.clone())
}

/// The letters about changes that are sent now.
async fn letters(app: &App) -> Vec<Letter> {
    let mut letters = mail::letters(app).await;
    letters.retain(|letter| letter.headers["subject"].starts_with("Changed: "));
    letters
}

/// The same, after a round.
async fn told(app: &App) -> Vec<Letter> {
    changes(app).tell_due().await.unwrap();
    letters(app).await
}

on_both_engines! {
    async fn several_changes_are_told_once_with_what_was_and_what_is(app) {
        let (seller, ann, bob) = (app.user("seller").await, app.user("ann").await, app.newcomer("bob").await);
        let event = seller.event_with(json!({"title": "Late Show"})).await;
        bought(&seller, &ann, &event).await;
        let order = bought(&seller, &bob, &event).await;
        change(&seller, &event, json!({"startsAt": "2031-05-02T18:30:00Z"})).await;
        app.clock.advance(4 * MINUTE);
        assert!(told(app).await.is_empty(), "others may follow");
        change(&seller, &event, json!({"venue": "New Hall", "endsAt": "2031-05-02T21:00:00Z"})).await;
        app.clock.advance(4 * MINUTE);
        assert!(told(app).await.is_empty(), "the last one was just now");
        app.clock.advance(MINUTE);
        let letters = told(app).await;
        assert_eq!(letters.len(), 2, "{letters:?}");
        for letter in &letters {
            assert_eq!(letter.headers["subject"], "Changed: Late Show, 2 May");
            letter.says(&["Thursday 1 May 2031, 8:30 pm BST", "Friday 2 May 2031, 7:30 pm – 10:00 pm BST",
                "Old Hall, Leeds", "New Hall, Leeds"]);
        }
        let to_bob = letters.iter().find(|letter| letter.headers["to"].contains(&bob.email)).unwrap();
        let calendar = std::str::from_utf8(&to_bob.enclosed[1].1).unwrap();
        for line in ["DTSTART:20310502T183000Z", "DTEND:20310502T210000Z", "SEQUENCE:2",
            &format!("UID:order-{}@tickets.example", id(&order))]
        {
            assert!(calendar.contains(line), "{line}: {calendar}");
        }
        app.clock.advance(60 * MINUTE);
        assert!(told(app).await.is_empty(), "once");
        assert_eq!(app.count("event_changes").await, 1);
    }

    async fn an_organiser_who_goes_on_changing_is_not_waited_for_without_end(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        bought(&seller, &ann, &event).await;
        for minute in 0..8 {
            change(&seller, &event, json!({"venue": format!("Hall {minute}")})).await;
            assert!(told(app).await.is_empty(), "{minute}");
            app.clock.advance(4 * MINUTE);
        }
        let letters = told(app).await;
        assert_eq!(letters.len(), 1);
        letters[0].says(&["Old Hall, Leeds", "Hall 7, Leeds"]);
    }

    async fn what_no_reader_sees_and_what_is_as_before_is_not_told(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        bought(&seller, &ann, &event).await;
        change(&seller, &event, json!({"description": "Longer words", "category": "music",
            "salesUntil": "2031-05-01T20:30:00Z"})).await;
        assert_eq!(app.count("event_changes").await, 0);
        change(&seller, &event, json!({"city": "York"})).await;
        change(&seller, &event, json!({"city": "Leeds"})).await;
        app.clock.advance(10 * MINUTE);
        assert!(told(app).await.is_empty());
        assert_eq!(app.count_where("event_changes", "state", "told").await, 1);

        // As before again by the time that the mail is written.
        change(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        assert_eq!(changes(app).tell_due().await.unwrap(), 1);
        change(&seller, &event, json!({"city": "Leeds"})).await;
        assert!(letters(app).await.is_empty());
    }

    async fn a_change_while_buyers_are_told_is_told_after_it(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        bought(&seller, &ann, &event).await;
        change(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        let first = told(app).await;
        change(&seller, &event, json!({"city": "Hull"})).await;
        assert!(told(app).await.is_empty());
        app.clock.advance(5 * MINUTE);
        let second = told(app).await;
        assert_eq!((first.len(), second.len()), (1, 1));
        second[0].says(&["Old Hall, York", "Old Hall, Hull"]);
    }

    async fn only_those_are_told_who_ordered_before_and_have_tickets(app) {
        let (seller, ann, bob) = (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let (cat, dan) = (app.user("cat").await, app.user("dan").await);
        let event = seller.event().await;
        let refunded = bought(&seller, &ann, &event).await;
        let late = bob.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
        let dropped = cat.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
        change(&seller, &event, json!({"city": "York"})).await;
        seller.refund_order(&refunded).await.expect(201);
        app.clock.advance(MINUTE + 1);
        bought(&seller, &dan, &event).await;
        app.clock.advance(5 * MINUTE);
        assert!(told(app).await.is_empty(), "refunded, not paid, and bought after the change");
        bob.pay(&late, "pm_card_visa").await.expect(201);
        cat.cancel(&dropped).await.expect_2xx();
        app.clock.advance(MINUTE);
        let letters = told(app).await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert!(letters[0].headers["to"].contains(&bob.email), "{letters:?}");
    }

    async fn a_buyer_whose_reservation_was_under_way_is_told(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        change(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(1);
        bought(&seller, &ann, &event).await;
        app.clock.advance(5 * MINUTE);
        assert_eq!(told(app).await.len(), 1);
    }

    async fn of_rounds_at_once_each_buyer_hears_from_one(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        for name in ["ann", "bob", "cat", "dan", "eve"] {
            bought(&seller, &app.user(name).await, &event).await;
        }
        change(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        let rounds = [changes(app), changes(app), changes(app)];
        let [one, two, three] = &rounds;
        let (one, two, three) = tokio::join!(one.tell_due(), two.tell_due(), three.tell_due());
        assert_eq!(one.unwrap() + two.unwrap() + three.unwrap(), 5);
        assert_eq!(app.count_where("mails", "kind", "event_changed").await, 5);
        assert_eq!(letters(app).await.len(), 5);
    }

    async fn a_change_that_comes_with_a_round_is_told_by_it_or_after_it(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        bought(&seller, &ann, &event).await;
        let mut heard = Vec::new();
        for venue in ["Hall 1", "Hall 2", "Hall 3", "Hall 4", "Hall 5"] {
            change(&seller, &event, json!({"city": format!("City of {venue}")})).await;
            app.clock.advance(5 * MINUTE);
            let round = changes(app);
            let (queued, ()) = tokio::join!(round.tell_due(), change(&seller, &event, json!({"venue": venue})));
            queued.unwrap();
            heard.extend(letters(app).await);
            app.clock.advance(5 * MINUTE);
            heard.extend(told(app).await);
            heard.last().unwrap().says(&[&format!("{venue}, City of {venue}")]);
        }
        assert!((5..=10).contains(&heard.len()), "{}", heard.len());
        assert_eq!(app.count_where("event_changes", "state", "waiting").await, 0);
    }

    async fn who_leaves_is_not_told(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        bought(&seller, &ann, &event).await;
        change(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        assert_eq!(changes(app).tell_due().await.unwrap(), 1);
        ann.json("DELETE", "/api/user", &[], json!({"password": PASSWORD})).await.expect_2xx();
        assert_eq!(app.count_where("mails", "kind", "event_changed").await, 0);
        assert!(letters(app).await.is_empty());
    }
}
