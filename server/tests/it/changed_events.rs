//! Buyers are mailed when the title, time or place of their event changes: once for all changes within a few
//! minutes.

use crate::{
    mail::{self, post::Letter},
    support::{App, Client, client::PASSWORD, on_both_engines, path},
};
use serde_json::{Value, json};
use shop::events::changes::ChangeNotifier;

const MINUTE: i64 = 60;

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

async fn buy_ticket(seller: &Client, buyer: &Client, event: &Value) -> Value {
    let ticket = seller.ticket(event, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    order
}

/// Changes the current version of an event.
async fn change_event(creator: &Client, event: &Value, mut fields: Value) {
    let now = creator.get(&path("events", event)).await.expect(200);
    fields["version"] = now["version"].clone();
    creator
        .put(&path("events", event), fields)
        .await
        .expect(200);
}

fn notifier(app: &App) -> ChangeNotifier {
    ChangeNotifier::new(app.db.clone(), app.clock.clone())
}

/// Sends due mails, and returns those about changes.
async fn send_mails(app: &App) -> Vec<Letter> {
    let mut letters = mail::letters(app).await;
    letters.retain(|letter| letter.headers["subject"].starts_with("Changed: "));
    letters
}

/// Runs the notifier, and returns the mails about changes.
async fn notify_and_send(app: &App) -> Vec<Letter> {
    notifier(app).notify_due().await.unwrap();
    send_mails(app).await
}

on_both_engines! {
    async fn several_changes_are_mailed_once_with_old_and_new_values(app) {
        let (seller, ann, bob) = (app.user("seller").await, app.user("ann").await, app.newcomer("bob").await);
        let event = seller.event_with(json!({"title": "Late Show"})).await;
        buy_ticket(&seller, &ann, &event).await;
        let order = buy_ticket(&seller, &bob, &event).await;
        change_event(&seller, &event, json!({"startsAt": "2031-05-02T18:30:00Z"})).await;
        app.clock.advance(4 * MINUTE);
        assert!(notify_and_send(app).await.is_empty(), "further changes may follow");
        change_event(&seller, &event, json!({"venue": "New Hall", "endsAt": "2031-05-02T21:00:00Z"})).await;
        app.clock.advance(4 * MINUTE);
        assert!(notify_and_send(app).await.is_empty(), "the last change is only four minutes old");
        app.clock.advance(MINUTE);
        let letters = notify_and_send(app).await;
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
        assert!(notify_and_send(app).await.is_empty(), "mailed only once");
        assert_eq!(app.count("event_changes").await, 1);
    }

    async fn continued_changes_delay_the_mail_only_for_a_limited_time(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        buy_ticket(&seller, &ann, &event).await;
        for minute in 0..8 {
            change_event(&seller, &event, json!({"venue": format!("Hall {minute}")})).await;
            assert!(notify_and_send(app).await.is_empty(), "{minute}");
            app.clock.advance(4 * MINUTE);
        }
        let letters = notify_and_send(app).await;
        assert_eq!(letters.len(), 1);
        letters[0].says(&["Old Hall, Leeds", "Hall 7, Leeds"]);
    }

    async fn invisible_and_reverted_changes_are_not_mailed(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        buy_ticket(&seller, &ann, &event).await;
        change_event(&seller, &event, json!({"description": "Longer words", "category": "music",
            "salesUntil": "2031-05-01T20:30:00Z"})).await;
        assert_eq!(app.count("event_changes").await, 0);
        change_event(&seller, &event, json!({"city": "York"})).await;
        change_event(&seller, &event, json!({"city": "Leeds"})).await;
        app.clock.advance(10 * MINUTE);
        assert!(notify_and_send(app).await.is_empty());
        assert_eq!(app.count_where("event_changes", "state", "told").await, 1);

        // Reverted before the mail is composed.
        change_event(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        assert_eq!(notifier(app).notify_due().await.unwrap(), 1);
        change_event(&seller, &event, json!({"city": "Leeds"})).await;
        assert!(send_mails(app).await.is_empty());
    }

    async fn a_change_during_a_run_is_mailed_by_a_later_run(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        buy_ticket(&seller, &ann, &event).await;
        change_event(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        let first = notify_and_send(app).await;
        change_event(&seller, &event, json!({"city": "Hull"})).await;
        assert!(notify_and_send(app).await.is_empty());
        app.clock.advance(5 * MINUTE);
        let second = notify_and_send(app).await;
        assert_eq!((first.len(), second.len()), (1, 1));
        second[0].says(&["Old Hall, York", "Old Hall, Hull"]);
    }

    async fn only_buyers_with_tickets_ordered_before_the_change_are_mailed(app) {
        let (seller, ann, bob) = (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let (cat, dan) = (app.user("cat").await, app.user("dan").await);
        let event = seller.event().await;
        let refunded = buy_ticket(&seller, &ann, &event).await;
        let late = bob.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
        let dropped = cat.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
        change_event(&seller, &event, json!({"city": "York"})).await;
        seller.refund_order(&refunded).await.expect(201);
        app.clock.advance(MINUTE + 1);
        buy_ticket(&seller, &dan, &event).await;
        app.clock.advance(5 * MINUTE);
        assert!(notify_and_send(app).await.is_empty(), "refunded, not paid, and bought after the change");
        bob.pay(&late, "pm_card_visa").await.expect(201);
        cat.cancel(&dropped).await.expect_2xx();
        app.clock.advance(MINUTE);
        let letters = notify_and_send(app).await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert!(letters[0].headers["to"].contains(&bob.email), "{letters:?}");
    }

    async fn a_buyer_who_reserved_during_the_change_is_mailed(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        change_event(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(1);
        buy_ticket(&seller, &ann, &event).await;
        app.clock.advance(5 * MINUTE);
        assert_eq!(notify_and_send(app).await.len(), 1);
    }

    async fn concurrent_runs_mail_each_buyer_once(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        for name in ["ann", "bob", "cat", "dan", "eve"] {
            buy_ticket(&seller, &app.user(name).await, &event).await;
        }
        change_event(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        let notifiers = [notifier(app), notifier(app), notifier(app)];
        let [one, two, three] = &notifiers;
        let (one, two, three) = tokio::join!(one.notify_due(), two.notify_due(), three.notify_due());
        assert_eq!(one.unwrap() + two.unwrap() + three.unwrap(), 5);
        assert_eq!(app.count_where("mails", "kind", "event_changed").await, 5);
        assert_eq!(send_mails(app).await.len(), 5);
    }

    async fn a_change_concurrent_with_a_run_is_mailed_by_it_or_a_later_one(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        buy_ticket(&seller, &ann, &event).await;
        let mut sent = Vec::new();
        for venue in ["Hall 1", "Hall 2", "Hall 3", "Hall 4", "Hall 5"] {
            change_event(&seller, &event, json!({"city": format!("City of {venue}")})).await;
            app.clock.advance(5 * MINUTE);
            let run = notifier(app);
            let (queued, ()) = tokio::join!(run.notify_due(), change_event(&seller, &event, json!({"venue": venue})));
            queued.unwrap();
            sent.extend(send_mails(app).await);
            app.clock.advance(5 * MINUTE);
            sent.extend(notify_and_send(app).await);
            sent.last().unwrap().says(&[&format!("{venue}, City of {venue}")]);
        }
        assert!((5..=10).contains(&sent.len()), "{}", sent.len());
        assert_eq!(app.count_where("event_changes", "state", "waiting").await, 0);
    }

    async fn a_deleted_account_is_not_mailed(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = seller.event().await;
        buy_ticket(&seller, &ann, &event).await;
        change_event(&seller, &event, json!({"city": "York"})).await;
        app.clock.advance(5 * MINUTE);
        assert_eq!(notifier(app).notify_due().await.unwrap(), 1);
        ann.json("DELETE", "/api/user", &[], json!({"password": PASSWORD})).await.expect_2xx();
        assert_eq!(app.count_where("mails", "kind", "event_changed").await, 0);
        assert!(send_mails(app).await.is_empty());
    }
}
