//! Refunds: permissions, effects on tickets, orders and the ledger, delays and failures.

use crate::support::{App, Client, on_both_engines, path};
use serde_json::{Value, json};

/// A seller, and a buyer of `count` of the seller's tickets at 25.00 each.
pub async fn buy(app: &App, count: usize, card: &str) -> (Client, Client, Value, Vec<Value>) {
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let event = seller.event().await;
    let mut tickets = Vec::new();
    for _ in 0..count {
        tickets.push(seller.ticket(&event, 2500).await);
    }
    let wanted: Vec<&Value> = tickets.iter().collect();
    let order = buyer.reserve(&wanted).await.expect(201);
    buyer.pay(&order, card).await.expect(201);
    (seller, buyer, order, tickets)
}

async fn get_owed(seller: &Client) -> Value {
    seller.get("/api/user/owed").await.expect(200)["owed"].clone()
}

on_both_engines! {
    async fn a_seller_refunds_a_whole_order(app) {
        let (seller, buyer, order, tickets) = buy(app, 2, "pm_card_visa").await;
        assert_eq!(get_owed(&seller).await, json!([{"amountMinor": 5000, "currency": "GBP"}]));
        let refund = seller.refund_order(&order).await.expect(201);
        assert_eq!((&refund["status"], &refund["amountMinor"]), (&json!("succeeded"), &json!(5000)));
        assert_eq!(refund["ticketIds"].as_array().unwrap().len(), 2);
        assert_eq!(buyer.order(&order).await["status"], "refunded");
        for ticket in &tickets {
            assert_eq!(buyer.ticket_now(ticket).await["status"], "withdrawn");
        }
        assert_eq!(app.captured_minor(), 0);
        assert_eq!(get_owed(&seller).await, json!([{"amountMinor": 0, "currency": "GBP"}]));
        assert_eq!(
            buyer.timeline(&order).await,
            ["reserved", "payment_begun", "paid", "refund_begun", "refunded"]
        );
        let seen = buyer.get(&format!("{}/refunds", path("orders", &order))).await.expect(200);
        assert_eq!(seen["refunds"][0], refund);
        assert_eq!(buyer.get(&path("refunds", &refund)).await.expect(200), refund);
        seller.refund_order(&order).await.refused(409, "not_sold");
        assert_eq!(app.mails().await, ["order_complete", "order_refunded"]);
        app.assert_sound().await;
    }

    async fn one_ticket_of_an_order_is_refunded_and_the_others_stay(app) {
        let (seller, buyer, order, tickets) = buy(app, 3, "pm_card_visa").await;
        let refund = seller.refund(&[&tickets[1]]).await.expect(201);
        assert_eq!((&refund["status"], &refund["amountMinor"]), (&json!("succeeded"), &json!(2500)));
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(buyer.ticket_now(&tickets[0]).await["status"], "sold");
        assert_eq!(buyer.ticket_now(&tickets[1]).await["status"], "withdrawn");
        assert_eq!(app.captured_minor(), 5000);
        seller.refund(&[&tickets[1]]).await.refused(409, "not_sold");
        app.assert_sound().await;
        seller.refund(&[&tickets[0], &tickets[2]]).await.expect(201);
        assert_eq!(buyer.order(&order).await["status"], "refunded");
        assert_eq!(app.captured_minor(), 0);
        app.assert_sound().await;
    }

    async fn only_the_seller_and_operators_can_refund(app) {
        let (seller, buyer, order, tickets) = buy(app, 2, "pm_card_visa").await;
        let stranger = app.user("stranger").await;
        for other in [&buyer, &stranger] {
            other.refund(&[&tickets[0]]).await.refused(404, "not_found");
            other.refund_order(&order).await.refused(404, "not_found");
        }
        app.anonymous().refund_order(&order).await.refused(401, "sign_in_required");
        assert_eq!(app.captured_minor(), 5000);
        app.make_operator(&stranger).await;
        let refund = stranger.refund(&[&tickets[0]]).await.expect(201);
        assert_eq!(seller.get(&path("refunds", &refund)).await.status, 404, "the operator requested it");
        stranger.refund_order(&order).await.expect(201);
        assert_eq!(buyer.order(&order).await["status"], "refunded");
        app.assert_sound().await;
    }

    async fn tickets_of_two_sellers_are_refunded_each_by_its_seller(app) {
        let (ann, bob, buyer) =
            (app.user("ann").await, app.user("bob").await, app.user("buyer").await);
        let event = ann.event().await;
        let (of_ann, of_bob) = (ann.ticket(&event, 2500).await, bob.ticket(&event, 4000).await);
        let order = buyer.reserve(&[&of_ann, &of_bob]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        ann.refund_order(&order).await.refused(404, "not_found");
        ann.refund(&[&of_ann, &of_bob]).await.refused(404, "not_found");
        bob.refund(&[&of_bob]).await.expect(201);
        assert_eq!(get_owed(&ann).await[0]["amountMinor"], 2500);
        assert_eq!(get_owed(&bob).await[0]["amountMinor"], 0);
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    async fn invalid_requests_are_refused_with_their_field(app) {
        let (seller, _, order, tickets) = buy(app, 1, "pm_card_visa").await;
        seller.post("/api/refunds", json!({})).await.invalid("ticketIds");
        seller.post("/api/refunds", json!({"ticketIds": []})).await.invalid("ticketIds");
        let both = json!({"ticketIds": [tickets[0]["id"]], "orderId": order["id"]});
        seller.post("/api/refunds", both).await.invalid("ticketIds");
        let unsold = seller.ticket(&seller.event().await, 100).await;
        seller.refund(&[&unsold]).await.refused(409, "not_sold");
        let unknown = json!({"ticketIds": ["00000000-0000-7000-8000-000000000000"]});
        seller.post("/api/refunds", unknown).await.refused(404, "not_found");
        assert_eq!((app.count("refunds").await, app.captured_minor()), (0, 2500));
    }

    async fn two_concurrent_requests_refund_once(app) {
        let (seller, buyer, order, tickets) = buy(app, 1, "pm_card_visa").await;
        let operator = app.user("operator").await;
        app.make_operator(&operator).await;
        for _ in 0..3 {
            let wanted = [&tickets[0]];
            let answers = futures::join!(
                seller.refund(&wanted),
                seller.refund_order(&order),
                operator.refund_order(&order),
                operator.refund(&wanted),
            );
            for answer in [answers.0, answers.1, answers.2, answers.3] {
                assert!([201, 409].contains(&answer.status), "{}", answer.text);
            }
        }
        assert_eq!(app.count("refunds").await, 1);
        assert_eq!(app.captured_minor(), 0);
        assert_eq!(buyer.order(&order).await["status"], "refunded");
        app.assert_sound().await;
    }

    /// The tickets stay with the buyer until the refund has succeeded.
    async fn a_pending_refund_ends_by_its_webhook(app) {
        let (seller, buyer, order, tickets) = buy(app, 1, "pm_card_pendingRefund").await;
        let refund = seller.refund_order(&order).await.expect(201);
        assert_eq!(refund["status"], "pending");
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(buyer.ticket_now(&tickets[0]).await["status"], "sold");
        seller.refund_order(&order).await.refused(409, "refund_in_progress");
        seller.refund(&[&tickets[0]]).await.refused(409, "refund_in_progress");
        app.clock.advance(10);
        app.webhooks_arrive().await;
        assert_eq!(buyer.order(&order).await["status"], "refunded");
        assert_eq!(buyer.get(&path("refunds", &refund)).await.expect(200)["status"], "succeeded");
        assert_eq!(app.captured_minor(), 0);
        app.assert_sound().await;
    }

    /// S-15: the refund succeeds first, and fails days later.
    async fn a_refund_that_fails_later_restores_the_tickets(app) {
        let (seller, buyer, order, tickets) = buy(app, 2, "pm_card_refundFail").await;
        let refund = seller.refund(&[&tickets[0]]).await.expect(201);
        assert_eq!(refund["status"], "succeeded");
        assert_eq!(buyer.ticket_now(&tickets[0]).await["status"], "withdrawn");
        app.clock.advance(3 * 24 * 3600);
        app.webhooks_arrive().await;
        assert_eq!(buyer.get(&path("refunds", &refund)).await.expect(200)["status"], "failed");
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(buyer.ticket_now(&tickets[0]).await["status"], "sold");
        assert_eq!(app.captured_minor(), 5000);
        assert_eq!(get_owed(&seller).await[0]["amountMinor"], 5000);
        assert_eq!(app.incidents().await, ["refund_failed"]);
        assert_eq!(
            buyer.timeline(&order).await,
            ["reserved", "payment_begun", "paid", "refund_begun", "refund_failed"]
        );
        app.assert_sound().await;
        // It can be repeated.
        seller.refund(&[&tickets[0]]).await.expect(201);
        assert_eq!(buyer.ticket_now(&tickets[0]).await["status"], "withdrawn");
    }

    /// Stripe's answer is lost, or is an error that Stripe replays: the money is refunded once.
    async fn a_refund_whose_answer_was_lost_is_completed(app) {
        let (seller, buyer, order, tickets) = buy(app, 2, "pm_card_visa").await;
        app.answer_is_lost("refunds.create");
        let lost = seller.refund(&[&tickets[0]]).await.expect(201);
        assert_eq!(lost["status"], "pending");
        app.settle().await;
        assert_eq!(app.captured_minor(), 2500);
        app.answer_is_an_error("refunds.create");
        seller.refund(&[&tickets[1]]).await.expect(201);
        app.settle().await;
        assert_eq!(app.captured_minor(), 0);
        assert_eq!(buyer.order(&order).await["status"], "refunded");
        assert_eq!(app.incidents().await, [""; 0]);
        app.assert_sound().await;
    }

    /// Stripe fails under two keys: the money is refunded once, under a third.
    async fn a_refund_that_fails_permanently_under_a_key_is_requested_under_another(app) {
        let (seller, buyer, order, tickets) = buy(app, 2, "pm_card_visa").await;
        app.calls_come_to_nothing("refunds.create", 2);
        let refund = seller.refund(&[&tickets[0]]).await.expect(201);
        assert_eq!(refund["status"], "pending");
        app.settle().await;
        assert_eq!(buyer.get(&path("refunds", &refund)).await.expect(200)["status"], "succeeded");
        assert_eq!(app.captured_minor(), 2500);
        assert_eq!(buyer.order(&order).await["status"], "complete");
        app.assert_sound().await;
    }

    /// While it is unknown whether a call has ended, a refund is requested under the same key only, because
    /// Stripe would execute two partial refunds.
    async fn a_refund_with_an_unknown_outcome_keeps_its_key(app) {
        let (seller, _, _, tickets) = buy(app, 2, "pm_card_visa").await;
        app.questions_are_lost("refunds.create", 5);
        seller.refund(&[&tickets[0]]).await.expect(201);
        app.settle().await;
        assert_eq!(app.captured_minor(), 2500);
        app.first_refund_reaches_stripe_after_all().await;
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// A refund in Stripe's Dashboard is booked and opens an incident.
    async fn a_refund_made_at_stripe_is_booked(app) {
        let (_, buyer, order, tickets) = buy(app, 1, "pm_card_visa").await;
        let payment = buyer.order(&order).await["paymentId"].clone();
        let payment = buyer.get(&path("payments", &json!({"id": payment}))).await.expect(200);
        app.double.refund_at_dashboard(payment["stripeId"].as_str().unwrap(), 1000).unwrap();
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(app.incidents().await, ["refund_elsewhere"]);
        assert_eq!(buyer.ticket_now(&tickets[0]).await["status"], "sold");
        let booked = "SELECT CAST(SUM(amount_minor) AS BIGINT) AS n FROM ledger WHERE account = 'provider'";
        assert_eq!(app.number(booked).await, 1500);
        app.webhooks_arrive().await;
        assert_eq!(app.count("refunds").await, 1, "booked once after two webhooks");
    }
}
