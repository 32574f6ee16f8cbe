//! Late and lost answers and webhooks, and captures outside of the shop: money and tickets always agree.

use crate::support::{App, Client, on_both_engines, path};
use serde_json::Value;
use shop::payments::Webhooks;
use std::sync::Arc;
use stripe_gateway::WebhookSecrets;

/// Creates a seller, a buyer, a ticket, and an order with a payment that waits for the buyer's bank.
async fn begin_3d_secure(app: &App) -> (Client, Client, Value, Value, Value) {
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    let payment = buyer
        .pay(&order, "pm_card_threeDSecure2Required")
        .await
        .expect(202);
    (seller, buyer, ticket, order, payment)
}

/// Creates a paid order. Returns its buyer and its payment.
async fn pay_order(app: &App) -> (Client, Value) {
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    let payment = buyer.pay(&order, "pm_card_visa").await.expect(201);
    (buyer, payment)
}

fn intent_id(payment: &Value) -> &str {
    payment["stripeId"].as_str().unwrap()
}

on_both_engines! {
    /// S-3: paid a second before the end of the hold, and the webhook is lost.
    async fn a_lost_webhook_is_replaced_by_a_lookup_before_the_order_expires(app) {
        let (_, buyer, ticket, order, payment) = begin_3d_secure(app).await;
        app.clock.advance(899);
        app.approve_at_bank(&payment);
        app.clock.advance(2);
        app.sweep().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(buyer.ticket_now(&ticket).await["status"], "sold");
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// S-6: five times each, newest first.
    async fn repeated_webhooks_in_any_order_result_in_one_payment(app) {
        let (_, buyer, _, order, payment) = begin_3d_secure(app).await;
        app.approve_at_bank(&payment);
        let types = ["payment_intent.succeeded", "payment_intent.amount_capturable_updated",
            "payment_intent.requires_action", "payment_intent.created"];
        for round in 0..5 {
            for kind in types {
                let event = format!("{kind}#{round}");
                app.webhook(&event, &payment, app.clock_seconds()).await.expect_2xx();
            }
            app.settle().await;
        }
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(app.events_of(&payment).await, [("PaymentCreated".to_owned(), 1)]);
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// S-7: Stripe captured the money, answered 500, and replays that for the same key.
    async fn a_capture_that_stripe_replays_as_an_error_completes_once(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.answer_is_an_error("payment_intents.capture");
        let paying = buyer.pay(&order, "pm_card_visa").await.expect(202);
        assert_eq!(paying["status"], "processing");
        app.settle().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!((app.journal().len(), app.captured_minor()), (1, 2500));
        app.assert_sound().await;
    }

    /// The same with the creation, without a webhook: the intent is found in Stripe's list.
    async fn a_creation_that_stripe_replays_as_an_error_is_found_in_its_list(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.answer_is_an_error("payment_intents.create");
        buyer.pay(&order, "pm_card_visa").await.expect(202);
        app.settle().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!((app.journal().len(), app.captured_minor()), (1, 2500));
        app.assert_sound().await;
    }

    /// S-8: Stripe is unavailable from five seconds before the end until half an hour after it.
    async fn tickets_of_lapsed_holds_can_be_reserved_while_stripe_is_unavailable(app) {
        let (_, buyer, ticket, order, payment) = begin_3d_secure(app).await;
        app.clock.advance(895);
        app.stripe_is_away();
        app.approve_at_bank(&payment);
        app.clock.advance(66);
        let rival = app.user("rival").await;
        let second = rival.reserve(&[&ticket]).await.expect(201);
        assert_eq!(buyer.order(&order).await["status"], "expired");
        app.clock.advance(600);
        app.sweep().await;
        app.stripe_is_back();
        app.settle().await;
        let late = buyer.get(&path("payments", &payment)).await.expect(200);
        assert_eq!(late["status"], "voided");
        assert_eq!(app.captured_minor(), 0);
        assert_ne!(rival.order(&second).await["status"], "complete");
        app.assert_sound().await;
    }

    /// S-14: captured in Stripe's Dashboard after the order has expired.
    async fn money_captured_for_an_expired_order_is_refunded_once(app) {
        let (_, buyer, ticket, order, payment) = begin_3d_secure(app).await;
        app.stripe_is_away();
        app.clock.advance(961);
        let rival = app.user("rival").await;
        rival.reserve(&[&ticket]).await.expect(201);
        app.approve_at_bank(&payment);
        assert!(app.double.capture_at_dashboard(intent_id(&payment)));
        app.stripe_is_back();
        for _ in 0..2 {
            app.webhooks_arrive().await;
            app.settle().await;
        }
        assert_eq!(buyer.order(&order).await["status"], "expired");
        let late = buyer.get(&path("payments", &payment)).await.expect(200);
        assert_eq!(late["status"], "refunded");
        assert_eq!((app.captured_minor(), app.count("refunds").await), (0, 1));
        assert_eq!(app.incidents().await, ["unexpected_capture"]);
        assert_eq!(
            buyer.timeline(&order).await,
            ["reserved", "payment_begun", "expired", "refund_begun", "refunded"]
        );
        app.assert_sound().await;
    }

    /// The same during the hold: the buyer is refunded and may pay again.
    async fn money_captured_at_stripe_is_refunded_and_the_order_can_still_be_paid(app) {
        let (_, buyer, _, order, payment) = begin_3d_secure(app).await;
        app.approve_at_bank(&payment);
        assert!(app.double.capture_at_dashboard(intent_id(&payment)));
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(app.captured_minor(), 0);
        let again = buyer.pay(&order, "pm_card_visa").await.expect(201);
        assert_ne!(again["id"], payment["id"]);
        assert_eq!((app.captured_minor(), app.journal().len()), (2500, 2));
        app.assert_sound().await;
    }

    /// S-18: the authorised amount differs from the order's total.
    async fn an_amount_other_than_the_total_is_never_captured(app) {
        let (_, buyer, ticket, order, payment) = begin_3d_secure(app).await;
        assert!(app.double.set_amount(intent_id(&payment), 100));
        app.approve_at_bank(&payment);
        app.webhooks_arrive().await;
        app.settle().await;
        assert_ne!(buyer.order(&order).await["status"], "complete");
        assert_ne!(buyer.ticket_now(&ticket).await["status"], "sold");
        assert_eq!(app.captured_minor(), 0);
        assert_eq!(app.incidents().await, ["wrong_amount"]);
        assert!(app.mails().await.contains(&"attention".to_owned()));
        app.assert_sound().await;
    }

    /// Deliveries that are duplicated, out of order, dropped or badly signed.
    async fn faulty_deliveries_change_nothing(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        for fault in ["duplicate", "reorder", "drop", "bad_signature"] {
            let ticket = seller.ticket(&event, 2500).await;
            let order = buyer.reserve(&[&ticket]).await.expect(201);
            let payment = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
            app.webhooks_go_wrong(fault);
            app.approve_at_bank(&payment);
            app.webhooks_arrive().await;
            app.clock.advance(901);
            app.sweep().await;
            assert_eq!(buyer.order(&order).await["status"], "complete", "{fault}");
        }
        assert_eq!(app.captured_minor(), 10_000);
        app.assert_sound().await;
    }

    /// The hourly comparison with Stripe applies and records changes whose webhooks were lost.
    async fn the_comparison_finds_changes_without_a_webhook(app) {
        let (_, buyer, _, order, payment) = begin_3d_secure(app).await;
        app.approve_at_bank(&payment);
        app.clock.advance(120);
        let found = app.reconciler.reconcile().await.unwrap();
        assert_eq!((found.intents, found.mended, found.open), (1, 1, 0));
        assert_eq!(buyer.order(&order).await["status"], "complete");
        let again = app.reconciler.reconcile().await.unwrap();
        assert_eq!((again.mended, again.open), (0, 0));
        assert_eq!(app.count("incidents").await, 1);
        assert_eq!(app.incidents().await, [""; 0]);
        app.assert_sound().await;
    }

    /// It opens an incident for an operator.
    async fn the_comparison_reports_differences_that_it_cannot_repair(app) {
        let (_, first) = pay_order(app).await;
        let (_, second) = pay_order(app).await;
        app.clock.advance(120);
        assert!(app.double.set_amount(intent_id(&first), 2600));
        app.invent_capture(&second).await;
        for _ in 0..2 {
            let found = app.reconciler.reconcile().await.unwrap();
            assert_eq!(found.open, 2, "a different amount, and a payment that is not listed");
        }
        let open = app.incidents().await;
        assert!(open.contains(&"missing_at_provider".to_owned()), "{open:?}");
        assert!(open.contains(&"amounts_differ".to_owned()), "{open:?}");
    }

    /// A creation that was repeated under a new key succeeds twice: the second intent is voided, or refunded if
    /// it has been captured.
    async fn a_second_intent_is_voided_or_refunded(app) {
        for (captured, becomes) in [(false, "voided"), (true, "refunded")] {
            let (_, buyer, _, order, payment) = begin_3d_secure(app).await;
            let second = app.reaches_stripe_after_all(&order, &payment).await;
            if captured {
                assert!(app.double.capture_at_dashboard(&second));
            }
            for _ in 0..2 {
                app.webhooks_arrive().await;
                app.settle().await;
            }
            let states = app.payments_of(&order).await;
            assert_eq!(states, [(0, becomes.to_owned()), (1, "requires_action".to_owned())]);
            assert_eq!(buyer.order(&order).await["paymentId"], payment["id"]);
            assert_eq!(app.reconciler.reconcile().await.unwrap().open, 0);
            app.approve_at_bank(&payment);
            app.webhooks_arrive().await;
            assert_eq!(buyer.order(&order).await["status"], "complete");
            app.assert_sound().await;
        }
        assert_eq!(app.captured_minor(), 5000);
        let incidents = app.incidents().await;
        assert_eq!(incidents, ["stray_intent", "stray_intent", "unexpected_capture"]);
    }

    /// Processed webhooks are kept for 90 days, waiting ones without limit.
    async fn old_processed_webhooks_are_deleted(app) {
        pay_order(app).await;
        app.webhooks_arrive().await;
        let arrived = app.count("stripe_inbox").await;
        assert!(arrived > 0);
        app.one_webhook_waits().await;
        let secrets = WebhookSecrets { secrets: Vec::new(), live: false };
        let webhooks = Webhooks::new(app.db.clone(), app.clock.clone(), app.engine.clone(), Arc::new(secrets));
        app.clock.advance(89 * 24 * 3600);
        assert_eq!(webhooks.delete_old().await.unwrap(), 0);
        app.clock.advance(2 * 24 * 3600);
        assert_eq!(i64::try_from(webhooks.delete_old().await.unwrap()).unwrap(), arrived - 1);
        assert_eq!(app.count("stripe_inbox").await, 1);
    }

    /// A webhook signed with the previous secret is accepted; one of the other mode is not.
    async fn both_secrets_are_valid_during_a_rotation(app) {
        let (_, _, _, _, payment) = begin_3d_secure(app).await;
        let now = app.clock_seconds();
        app.webhook_signed("evt_before", &payment, now, "whsec_of_before").await.expect_2xx();
        app.webhook_signed("evt_other", &payment, now, "whsec_of_nobody").await.refused(400, "invalid");
        assert_eq!(app.webhooks_stored("evt_before").await, 1);
        assert_eq!(app.webhooks_stored("evt_other").await, 0);
        let live = app.webhook_in_live_mode("evt_live", &payment).await;
        live.invalid("livemode");
        assert_eq!(app.webhooks_stored("evt_live").await, 0);
    }
}
