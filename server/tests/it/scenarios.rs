//! The numbered scenarios of a purchase and their required outcomes.

use crate::support::{App, on_both_engines, path};
use serde_json::json;

on_both_engines! {
    /// S-1.
    async fn of_two_concurrent_reservations_of_a_ticket_one_succeeds(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let tickets = seller.batch(&event, 100, 2500).await;
        let mut ann_got = 0;
        for ticket in &tickets {
            let body = json!({"ticketIds": [ticket]});
            let (a, b) = futures::future::join(
                ann.post("/api/orders", body.clone()),
                bob.post("/api/orders", body),
            ).await;
            assert_eq!(u8::from(a.status == 201) + u8::from(b.status == 201), 1, "{} {}", a.text, b.text);
            let loser = if a.status == 201 { ann_got += 1; b } else { a };
            loser.refused(409, "ticket_reserved");
        }
        assert!(ann_got <= 100);
        app.assert_sound().await;
    }

    /// S-2: paid one second before the hold ends; the webhook arrives five seconds after.
    async fn a_payment_begun_in_time_completes_after_the_hold_has_ended(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(899);
        let begun = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        assert_eq!(begun["status"], "requires_action");
        app.clock.advance(6);
        assert_eq!(app.sweep().await, 0, "the tickets are held for the grace period");
        assert_eq!(buyer.ticket_now(&ticket).await["status"], "reserved");
        // Another tab must not report the order as expired.
        buyer.pay(&order, "pm_card_visa").await.refused(409, "payment_in_progress");
        app.approve_at_bank(&begun);
        app.webhooks_arrive().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// S-4: authorised long after the hold ended, and the tickets are still free.
    async fn a_late_authorisation_completes_if_the_tickets_are_still_free(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let (one, two) = (seller.ticket(&event, 2500).await, seller.ticket(&event, 3500).await);
        let order = buyer.reserve(&[&one, &two]).await.expect(201);
        let begun = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        app.stripe_is_away();
        app.clock.advance(1500);
        assert_eq!(app.sweep().await, 1);
        assert_eq!(buyer.ticket_now(&one).await["status"], "available");
        app.stripe_is_back();
        app.approve_at_bank(&begun);
        app.webhooks_arrive().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(app.captured_minor(), 6000);
        for ticket in [&one, &two] {
            assert_eq!(buyer.ticket_now(ticket).await["status"], "sold");
        }
        app.assert_sound().await;
    }

    /// S-5: authorised after the hold ended, and another buyer has the ticket.
    async fn a_late_authorisation_is_voided_if_the_ticket_is_taken(app) {
        let (seller, ann, bob) =
            (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let late = ann.reserve(&[&ticket]).await.expect(201);
        let begun = ann.pay(&late, "pm_card_threeDSecure2Required").await.expect(202);
        app.stripe_is_away();
        app.clock.advance(961);
        let sold = bob.reserve(&[&ticket]).await.expect(201);
        app.stripe_is_back();
        app.approve_at_bank(&begun);
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(ann.order(&late).await["status"], "expired");
        let payment = ann.get(&path("payments", &begun)).await.expect(200);
        assert_eq!(payment["status"], "voided");
        assert_eq!(app.captured_minor(), 0, "a late card is never charged");
        bob.pay(&sold, "pm_card_visa").await.expect(201);
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// Authorised after the hold ended, and the ticket is free but its price has changed.
    async fn a_late_authorisation_is_voided_if_the_price_has_changed(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let begun = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        app.stripe_is_away();
        app.clock.advance(961);
        app.sweep().await;
        let now = seller.ticket_now(&ticket).await;
        let edit = json!({"priceMinor": 9900, "version": now["version"]});
        seller.put(&path("tickets", &ticket), edit).await.expect(200);
        app.stripe_is_back();
        app.approve_at_bank(&begun);
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(buyer.order(&order).await["status"], "expired");
        assert_eq!(app.captured_minor(), 0);
        app.assert_sound().await;
    }

    /// S-6.
    async fn repeated_webhooks_change_nothing(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let paid = buyer.pay(&order, "pm_card_visa").await.expect(201);
        for _ in 0..3 {
            app.webhook("evt_same", &paid, app.clock_seconds()).await.expect_2xx();
            app.settle().await;
        }
        app.webhook("evt_other", &paid, app.clock_seconds()).await.expect_2xx();
        app.settle().await;
        assert_eq!(app.events_of(&paid).await, [("PaymentCreated".to_owned(), 1)]);
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// S-9.
    async fn a_declined_card_keeps_the_hold_and_another_can_be_tried(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&order, "pm_card_chargeDeclined").await.refused(402, "card_declined");
        let held = buyer.order(&order).await;
        assert_eq!((&held["status"], &held["expiresAt"]), (&json!("awaiting_payment"), &order["expiresAt"]));
        buyer.pay(&order, "pm_card_chargeDeclinedInsufficientFunds").await.refused(402, "card_declined");
        let paid = buyer.pay(&order, "pm_card_visa").await.expect(201);
        assert_eq!((&paid["status"], &paid["amountMinor"]), (&json!("captured"), &json!(2500)));
        assert_eq!(paid["id"], held["paymentId"], "the same payment, another card");
        assert_eq!(app.journal().len(), 1, "one intent for all three cards");
        app.assert_sound().await;
    }

    /// S-10: the order is fenced.
    async fn an_order_cannot_be_cancelled_while_its_payment_is_captured(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.questions_are_lost("payment_intents.capture", 1);
        let paying = buyer.pay(&order, "pm_card_visa").await.expect(202);
        assert_eq!(paying["status"], "processing");
        buyer.cancel(&order).await.refused(409, "payment_in_progress");
        buyer.pay(&order, "pm_card_visa").await.refused(409, "payment_in_progress");
        app.clock.advance(3600);
        assert_eq!(buyer.ticket_now(&ticket).await["status"], "reserved", "the hold does not end");
        app.settle().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// S-11.
    async fn the_timer_of_a_cancelled_order_does_not_expire_the_next_one(app) {
        let (seller, ann, bob) =
            (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let first = ann.reserve(&[&ticket]).await.expect(201);
        assert_eq!(ann.cancel(&first).await.status, 204);
        app.clock.advance(100);
        let second = bob.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(801);
        assert!(!app.expire(&first).await);
        assert_eq!(bob.order(&second).await["status"], "created");
        assert_eq!(bob.ticket_now(&ticket).await["reservedSecondsLeft"], 99);
        app.assert_sound().await;
    }

    /// S-12.
    async fn a_seller_cannot_change_a_held_or_sold_ticket(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let held = seller.ticket_now(&ticket).await;
        for edit in [json!({"priceMinor": 1}), json!({"section": "Box"}), json!({"row": "A"}), json!({"seat": "1"})] {
            let mut edit = edit;
            edit["version"] = held["version"].clone();
            seller.put(&path("tickets", &ticket), edit).await.refused(409, "ticket_reserved");
        }
        seller.delete(&path("tickets", &ticket)).await.refused(409, "ticket_reserved");
        assert_eq!(seller.ticket_now(&ticket).await, held);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        let sold = seller.ticket_now(&ticket).await;
        let edit = json!({"priceMinor": 1, "version": sold["version"]});
        seller.put(&path("tickets", &ticket), edit).await.refused(409, "ticket_sold");
        seller.delete(&path("tickets", &ticket)).await.refused(409, "ticket_sold");
    }

    /// S-13.
    async fn two_concurrent_payments_of_an_order_charge_once(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        for _ in 0..10 {
            let ticket = seller.ticket(&event, 2500).await;
            let order = buyer.reserve(&[&ticket]).await.expect(201);
            let (one, two) = futures::future::join(
                buyer.pay(&order, "pm_card_visa"),
                buyer.pay(&order, "pm_card_mastercard"),
            ).await;
            let (paid, other) = if one.status == 201 { (one, two) } else { (two, one) };
            paid.expect(201);
            let code = other.body["code"].as_str().unwrap_or_default().to_owned();
            assert!(other.status == 409 && ["payment_in_progress", "order_complete"].contains(&code.as_str()), "{}", other.text);
        }
        assert_eq!((app.journal().len(), app.captured_minor()), (10, 25_000));
        app.assert_sound().await;
    }

    /// S-17.
    async fn a_webhook_with_a_wrong_or_old_signature_is_refused(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let paid = buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.webhook("evt_old", &paid, app.clock_seconds() - 360).await.refused(400, "invalid");
        let unsigned = app.user("nobody").await;
        unsigned.post("/api/webhooks/stripe", json!({"id": "evt_x"})).await.refused(400, "invalid");
        assert_eq!(app.webhooks_stored("evt_old").await, 0);
    }

    /// A card that needs the bank's approval, which is refused.
    async fn a_payment_refused_by_the_bank_keeps_the_hold(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let begun = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        assert!(begun["clientSecret"].as_str().is_some_and(|secret| secret.contains("_secret_")));
        app.refuse_at_bank(&begun);
        app.webhooks_arrive().await;
        let payment = buyer.get(&path("payments", &begun)).await.expect(200);
        assert_eq!((&payment["status"], &payment["clientSecret"]), (&json!("declined"), &json!(null)));
        assert_eq!(buyer.order(&order).await["status"], "awaiting_payment");
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// Answers of Stripe are lost; each order is still completed without a further request.
    async fn payments_whose_answers_were_lost_are_completed(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        for fault in ["payment_intents.create", "payment_intents.capture"] {
            let ticket = seller.ticket(&event, 2500).await;
            let order = buyer.reserve(&[&ticket]).await.expect(201);
            app.answer_is_lost(fault);
            let paying = buyer.pay(&order, "pm_card_visa").await.expect(202);
            assert_eq!(paying["status"], "processing", "{fault}");
            app.settle().await;
            assert_eq!(buyer.order(&order).await["status"], "complete", "{fault}");
        }
        assert_eq!((app.journal().len(), app.captured_minor()), (2, 5000));
        app.assert_sound().await;
    }

    /// Stripe created the intent, answered 500 and replays that for the same key; the webhook resolves it.
    async fn a_webhook_resolves_an_error_that_stripe_replays(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.answer_is_an_error("payment_intents.create");
        let paying = buyer.pay(&order, "pm_card_visa").await.expect(202);
        assert_eq!(paying["status"], "processing");
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!((app.journal().len(), app.captured_minor()), (1, 2500));
        app.assert_sound().await;
    }
}
