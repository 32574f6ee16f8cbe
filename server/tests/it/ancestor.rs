//! Regression tests for the ten defects of the app that Stagedoor is derived from.

use crate::support::{App, on_both_engines, path};
use serde_json::json;

on_both_engines! {
    /// 1: the old price edit wrote before it checked.
    async fn a_refused_price_edit_writes_nothing(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        buyer.reserve(&[&ticket]).await.expect(201);
        let held = buyer.ticket_now(&ticket).await;
        let edit = json!({"priceMinor": 9900, "version": held["version"]});
        seller.put(&path("tickets", &ticket), edit).await.refused(409, "ticket_reserved");
        assert_eq!(buyer.ticket_now(&ticket).await, held);
        assert_eq!(app.events_of(&ticket).await.len(), 2, "only the events of the listing and the reservation");
    }

    /// 2: the old edit kept the version, so other services ignored the new price.
    async fn an_edit_increments_the_version_and_records_an_event(app) {
        let seller = app.user("seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let edit = json!({"priceMinor": 3000, "version": 1});
        let edited = seller.put(&path("tickets", &ticket), edit.clone()).await.expect(200);
        assert_eq!((&edited["version"], &edited["priceMinor"]), (&json!(2), &json!(3000)));
        let events = app.events_of(&ticket).await;
        assert_eq!(events, [("TicketCreated".to_owned(), 1), ("TicketUpdated".to_owned(), 2)]);
        seller.put(&path("tickets", &ticket), edit).await.refused(409, "version_conflict");
    }

    /// 3: the old reservation checked and inserted in separate steps.
    async fn two_concurrent_reservations_of_a_ticket_never_both_succeed(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        for _ in 0..20 {
            let ticket = seller.ticket(&event, 2500).await;
            let both = futures::future::join(
                ann.reserve(&[&ticket]),
                bob.reserve(&[&ticket]),
            ).await;
            let mut statuses = [both.0.status, both.1.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 409]);
        }
    }

    /// 4: the timer of a cancelled order released the next buyer's hold.
    async fn the_timer_of_a_cancelled_order_does_not_release_the_next_hold(app) {
        let (seller, ann, bob) =
            (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let first = ann.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(300);
        assert_eq!(ann.cancel(&first).await.status, 204);
        app.clock.advance(60);
        let second = bob.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(600);
        assert!(!app.expire(&first).await, "the first order has nothing to expire");
        assert_eq!(app.sweep().await, 0);
        assert_eq!(ann.ticket_now(&ticket).await["status"], "reserved");
        ann.reserve(&[&ticket]).await.refused(409, "ticket_reserved");
        bob.pay(&second, "pm_card_visa").await.expect(201);
    }

    /// 5: a paid order could be cancelled, and its ticket was sold again.
    async fn a_paid_order_cannot_be_cancelled(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        buyer.cancel(&order).await.refused(409, "order_complete");
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(buyer.ticket_now(&ticket).await["status"], "sold");
    }

    /// 6: a second payment was charged too, and so was a payment for an expired order.
    async fn a_second_or_late_payment_is_not_charged(app) {
        let (seller, ann, bob) =
            (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let event = seller.event().await;
        let (one, two) = (seller.ticket(&event, 2500).await, seller.ticket(&event, 3500).await);
        let paid = ann.reserve(&[&one]).await.expect(201);
        ann.pay(&paid, "pm_card_visa").await.expect(201);
        ann.pay(&paid, "pm_card_visa").await.refused(409, "order_complete");
        let late = bob.reserve(&[&two]).await.expect(201);
        app.clock.advance(901);
        bob.pay(&late, "pm_card_visa").await.refused(409, "order_expired");
        assert_eq!(app.captured_minor(), 2500);
        let again = ann.reserve(&[&two]).await.expect(201);
        bob.pay(&late, "pm_card_visa").await.refused(409, "order_expired");
        ann.pay(&again, "pm_card_visa").await.expect(201);
        assert_eq!(app.captured_minor(), 6000);
    }

    /// 7: the old events were published after the commit and could be lost.
    async fn domain_events_are_written_with_the_change(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        assert_eq!(app.events_of(&order).await, [("OrderCreated".to_owned(), 1)]);
        app.clock.advance(901);
        app.sweep().await;
        let events = app.events_of(&order).await;
        assert_eq!(events, [("OrderCreated".to_owned(), 1), ("OrderExpired".to_owned(), 2)]);
        app.assert_tables().await;
    }

    /// 8: sellers bought their own tickets, sessions never ended, unknown ids were errors.
    async fn own_tickets_ended_sessions_and_unknown_ids_are_refused(app) {
        let seller = app.user("seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        seller.reserve(&[&ticket]).await.refused(409, "own_ticket");
        let unknown = "00000000-0000-7000-8000-000000000000";
        for resource in ["events", "tickets", "orders", "payments"] {
            seller.get(&format!("/api/{resource}/{unknown}")).await.refused(404, "not_found");
            let bad = seller.get(&format!("/api/{resource}/not-a-uuid")).await;
            assert!([400, 404].contains(&bad.status), "{}", bad.text);
        }
        assert_eq!(seller.post("/api/user/signout", json!({})).await.status, 204);
        seller.get("/api/orders").await.refused(401, "sign_in_required");
    }

    /// 9: prices were floats, and "Loll" was accepted as one.
    async fn a_price_is_an_integer_of_minor_units(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        for price in [json!("Loll"), json!(12.5), json!("2500"), json!(0), json!(-1),
            json!(100_000_000), json!(null), json!(1e3), json!([1]), json!(true)]
        {
            let body = json!({"eventId": event["id"], "priceMinor": price});
            seller.post("/api/tickets", body).await.invalid("priceMinor");
        }
        let query = format!("/api/tickets?eventId={}", event["id"].as_str().unwrap());
        assert_eq!(seller.get(&query).await.expect(200)["tickets"], json!([]));
    }

    /// 10: the expiry tests never ran.
    async fn an_unpaid_order_expires_and_its_ticket_is_for_sale_again(app) {
        let (seller, ann, bob) =
            (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = ann.reserve(&[&ticket]).await.expect(201);
        assert_eq!(order["secondsLeft"], 900);
        app.clock.advance(899);
        assert_eq!(app.sweep().await, 0);
        assert_eq!(bob.ticket_now(&ticket).await["reservedSecondsLeft"], 1);
        app.clock.advance(1);
        assert_eq!(bob.ticket_now(&ticket).await["status"], "available", "before a job has expired the order");
        assert_eq!(ann.order(&order).await["status"], "expired");
        assert_eq!(app.sweep().await, 1);
        assert_eq!(ann.order(&order).await["status"], "expired");
        bob.reserve(&[&ticket]).await.expect(201);
    }
}
