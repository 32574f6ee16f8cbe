//! Refunds made in Stripe's Dashboard, and disputes: tickets, passes, ledger, mails and the audit stay
//! consistent.

use crate::{
    refunds,
    support::{App, Client, client::PASSWORD, on_both_engines, path},
};
use platform::clock::Clock;
use serde_json::{Value, json};
use stagedoor::audit::{Provider, Verdict, audit};
use stripe_double::DisputeStatus;

/// A paid order of tickets at 25.00 each.
struct PaidOrder {
    seller: Client,
    buyer: Client,
    order: Value,
    tickets: Vec<Value>,
    intent: String,
    /// The texts of the passes.
    passes: Vec<String>,
}

async fn buy(app: &App, count: usize, card: &str) -> PaidOrder {
    let (seller, buyer, order, tickets) = refunds::buy(app, count, card).await;
    app.webhooks_arrive().await;
    let id = buyer.order(&order).await["paymentId"].clone();
    let payment = buyer
        .get(&path("payments", &json!({"id": id})))
        .await
        .expect(200);
    let passes = list_passes(&buyer, &order).await;
    assert_eq!(passes.len(), count);
    PaidOrder {
        seller,
        buyer,
        order,
        tickets,
        intent: payment["stripeId"].as_str().unwrap().to_owned(),
        passes,
    }
}

async fn list_passes(buyer: &Client, order: &Value) -> Vec<String> {
    let answer = buyer
        .get(&format!("{}/passes", path("orders", order)))
        .await;
    let passes = answer.expect(200)["passes"].as_array().unwrap().clone();
    passes
        .iter()
        .map(|pass| pass["pass"].as_str().unwrap().to_owned())
        .collect()
}

impl PaidOrder {
    async fn check_pass(&self, number: usize) -> Value {
        let body = json!({"pass": self.passes[number]});
        self.seller
            .post("/api/passes/check", body)
            .await
            .expect(200)["status"]
            .clone()
    }

    async fn owed(&self) -> i64 {
        let owed = self.seller.get("/api/user/owed").await.expect(200)["owed"].clone();
        owed[0]["amountMinor"].as_i64().unwrap()
    }

    /// Asserts that the order is refunded, each ticket is the seller's and withdrawn, and nothing is owed.
    async fn assert_refunded(&self, app: &App) {
        assert_eq!(self.buyer.order(&self.order).await["status"], "refunded");
        for (number, ticket) in self.tickets.iter().enumerate() {
            assert_eq!(self.buyer.ticket_now(ticket).await["status"], "withdrawn");
            assert_eq!(self.check_pass(number).await, "refunded");
        }
        assert!(list_passes(&self.buyer, &self.order).await.is_empty());
        assert_eq!((self.owed().await, app.captured_minor()), (0, 0));
        let tickets: Vec<&Value> = self.tickets.iter().collect();
        self.seller.refund(&tickets).await.refused(409, "not_sold");
        self.seller
            .refund_order(&self.order)
            .await
            .refused(409, "not_sold");
        let at = format!("/orders/{}", self.order["id"].as_str().unwrap());
        let page = self.buyer.page(&at).await.text;
        assert!(
            page.contains("No longer yours") && !page.contains("Your tickets</h2>"),
            "{page}"
        );
        assert_consistent(app).await;
    }
}

/// The ledger's totals: at the provider, owed to sellers, and unallocated.
async fn ledger_totals(app: &App) -> (i64, i64, i64) {
    let of = async |account: &str| {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) AS n FROM ledger WHERE account = '{account}'"
        );
        app.number(&sql).await
    };
    (
        of("provider").await,
        -of("seller").await,
        of("unallocated").await,
    )
}

/// Asserts that the database is consistent, and that `stagedoor audit` finds nothing.
async fn assert_consistent(app: &App) {
    app.assert_sound().await;
    assert_audit_holds(app).await;
}

async fn assert_audit_holds(app: &App) {
    app.clock.advance(15 * 60);
    let journal = Provider::Journal(app.journal());
    let report = audit(&app.db, journal, app.clock.now()).await.unwrap();
    assert_eq!(report.verdict, Verdict::Holds, "{report}");
}

on_both_engines! {
    async fn a_full_refund_at_the_dashboard_ends_the_order(app) {
        let paid = buy(app, 2, "pm_card_visa").await;
        app.double.refund_at_dashboard(&paid.intent, 5000).unwrap();
        app.webhooks_arrive().await;
        paid.assert_refunded(app).await;
        assert_eq!(app.incidents().await, [""; 0]);
        assert_eq!(app.mails().await, ["order_complete", "order_refunded"]);
        // A late duplicate.
        let payment = json!({"stripeId": paid.intent});
        for event in ["charge.refunded#2", "refund.created#2", "refund.updated#2"] {
            app.webhook(event, &payment, app.clock_seconds()).await.expect(200);
        }
        app.settle().await;
        assert_eq!(app.count("refunds").await, 1);
        // The seller can list the seat again.
        paid.seller.ticket(&json!({"id": paid.tickets[0]["eventId"]}), 2500).await;
        paid.assert_refunded(app).await;
    }

    async fn the_reconciler_finds_a_refund_whose_webhook_was_lost(app) {
        let paid = buy(app, 1, "pm_card_visa").await;
        app.webhooks_go_wrong("drop");
        app.webhooks_go_wrong("drop");
        app.double.refund_at_dashboard(&paid.intent, 2500).unwrap();
        app.webhooks_arrive().await;
        assert_eq!(paid.buyer.order(&paid.order).await["status"], "complete");
        app.clock.advance(120);
        app.reconciler.reconcile().await.unwrap();
        paid.assert_refunded(app).await;
    }

    async fn a_partial_refund_leaves_the_tickets_valid_and_is_not_refunded_twice(app) {
        let paid = buy(app, 2, "pm_card_visa").await;
        app.double.refund_at_dashboard(&paid.intent, 1000).unwrap();
        app.webhooks_arrive().await;
        assert_eq!(app.incidents().await, ["refund_elsewhere"]);
        assert_eq!((paid.check_pass(0).await, paid.check_pass(1).await), (json!("valid"), json!("valid")));
        assert_eq!(paid.buyer.order(&paid.order).await["status"], "complete");
        assert_audit_holds(app).await;
        // The remaining amount suffices for one of them.
        paid.seller.refund_order(&paid.order).await.refused(409, "refunded_elsewhere");
        paid.seller.refund(&[&paid.tickets[0]]).await.expect(201);
        paid.seller.refund(&[&paid.tickets[1]]).await.refused(409, "refunded_elsewhere");
        assert_eq!(paid.check_pass(1).await, "valid");
        assert_audit_holds(app).await;
        // The rest is refunded at the Dashboard too.
        app.double.refund_at_dashboard(&paid.intent, 1500).unwrap();
        app.webhooks_arrive().await;
        paid.assert_refunded(app).await;
    }

    async fn partial_refunds_of_the_whole_amount_end_the_order(app) {
        let paid = buy(app, 2, "pm_card_visa").await;
        for part in [1, 2500, 2499] {
            app.double.refund_at_dashboard(&paid.intent, part).unwrap();
            app.webhooks_arrive().await;
        }
        paid.assert_refunded(app).await;
    }

    async fn the_rest_is_refunded_at_the_dashboard_after_a_refund_by_the_shop(app) {
        let paid = buy(app, 2, "pm_card_visa").await;
        paid.seller.refund(&[&paid.tickets[0]]).await.expect(201);
        app.double.refund_at_dashboard(&paid.intent, 2500).unwrap();
        app.webhooks_arrive().await;
        paid.assert_refunded(app).await;
        assert_eq!(app.incidents().await, [""; 0]);
    }

    async fn the_rest_is_refunded_at_the_dashboard_while_a_refund_by_the_shop_is_pending(app) {
        let paid = buy(app, 2, "pm_card_pendingRefund").await;
        let shop_refund = paid.seller.refund(&[&paid.tickets[0]]).await.expect(201);
        assert_eq!(shop_refund["status"], "pending");
        app.double.refund_at_dashboard(&paid.intent, 2500).unwrap();
        app.clock.advance(10);
        app.webhooks_arrive().await;
        app.settle().await;
        paid.assert_refunded(app).await;
    }

    /// The failure of the shop's refund is not reported either.
    async fn a_refund_by_the_shop_after_one_at_the_dashboard_opens_no_incident(app) {
        let paid = buy(app, 1, "pm_card_visa").await;
        app.questions_are_lost("refunds.create", 1);
        let shop_refund = paid.seller.refund_order(&paid.order).await.expect(201);
        assert_eq!(shop_refund["status"], "pending");
        app.double.refund_at_dashboard(&paid.intent, 2500).unwrap();
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(paid.buyer.get(&path("refunds", &shop_refund)).await.expect(200)["status"], "failed");
        assert_eq!(app.mails().await, ["order_complete", "order_refunded"]);
        assert_eq!(app.incidents().await, [""; 0]);
        paid.assert_refunded(app).await;
    }

    /// A refund at the Dashboard fails days later.
    async fn a_refund_at_the_dashboard_that_fails_restores_the_tickets(app) {
        let paid = buy(app, 2, "pm_card_visa").await;
        let part = app.double.refund_at_dashboard(&paid.intent, 1000).unwrap();
        app.webhooks_arrive().await;
        let rest = app.double.refund_at_dashboard(&paid.intent, 4000).unwrap();
        app.webhooks_arrive().await;
        assert_eq!(paid.buyer.order(&paid.order).await["status"], "refunded");
        assert!(app.double.settle_refund(&rest, false));
        app.webhooks_arrive().await;
        assert_eq!(paid.buyer.order(&paid.order).await["status"], "complete");
        for ticket in &paid.tickets {
            assert_eq!(paid.buyer.ticket_now(ticket).await["status"], "sold");
        }
        assert_eq!((app.captured_minor(), paid.owed().await), (4000, 5000));
        assert_eq!(app.incidents().await, ["refund_elsewhere", "refund_failed"]);
        assert_audit_holds(app).await;
        // It is refunded again, and the first part fails.
        app.double.refund_at_dashboard(&paid.intent, 4000).unwrap();
        app.webhooks_arrive().await;
        assert_eq!(paid.buyer.order(&paid.order).await["status"], "refunded");
        assert!(app.double.settle_refund(&part, false));
        app.webhooks_arrive().await;
        assert_eq!(paid.buyer.order(&paid.order).await["status"], "complete");
        assert_audit_holds(app).await;
    }

    /// The seat has been listed or sold again by then.
    async fn a_refund_that_fails_once_its_seat_is_taken_opens_an_incident(app) {
        for (at_dashboard, ticket_changed) in [(false, false), (true, false), (false, true), (true, true)] {
            let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
            let event = seller.event().await;
            let seat = json!({"eventId": event["id"], "priceMinor": 2500, "section": "Stalls", "row": "C", "seat": "12"});
            let ticket = seller.post("/api/tickets", seat.clone()).await.expect(201);
            let order = buyer.reserve(&[&ticket]).await.expect(201);
            let payment = buyer.pay(&order, "pm_card_visa").await.expect(201);
            let intent = payment["stripeId"].as_str().unwrap().to_owned();
            let refund = if at_dashboard {
                app.double.refund_at_dashboard(&intent, 2500).unwrap()
            } else {
                seller.refund_order(&order).await.expect(201);
                app.newest_refund_at_stripe().await
            };
            app.webhooks_arrive().await;
            if ticket_changed {
                app.run_sql("UPDATE refund_lines SET ticket_version = 0").await;
            } else {
                seller.post("/api/tickets", seat).await.expect(201);
            }
            assert!(app.double.settle_refund(&refund, false));
            app.webhooks_arrive().await;
            assert_eq!(app.number("SELECT COUNT(*) AS n FROM stripe_inbox WHERE processed_at IS NULL").await, 0);
            let (incident, status) = if ticket_changed { ("ticket_moved_on", "withdrawn") } else { ("seat_listed_twice", "sold") };
            assert!(app.incidents().await.contains(&incident.to_owned()), "{:?}", app.incidents().await);
            assert_eq!(buyer.ticket_now(&ticket).await["status"], status);
            assert_audit_holds(app).await;
            // An operator refunds it at Stripe.
            app.double.refund_at_dashboard(&intent, 2500).unwrap();
            app.webhooks_arrive().await;
            assert_eq!(buyer.order(&order).await["status"], "refunded");
            assert_audit_holds(app).await;
        }
    }

    async fn a_dispute_freezes_the_tickets_until_it_is_won(app) {
        let paid = buy(app, 2, "pm_card_visa").await;
        let dispute = app.double.open_dispute(&paid.intent, "fraudulent").unwrap();
        app.webhooks_arrive().await;
        assert_eq!(app.incidents().await, ["dispute_opened"]);
        assert_eq!((paid.check_pass(0).await, paid.check_pass(1).await), (json!("frozen"), json!("frozen")));
        assert!(list_passes(&paid.buyer, &paid.order).await.is_empty());
        assert_eq!(paid.buyer.ticket_now(&paid.tickets[0]).await["status"], "sold");
        assert_eq!(paid.buyer.order(&paid.order).await["status"], "complete");
        let page = format!("/orders/{}", paid.order["id"].as_str().unwrap());
        assert!(paid.buyer.page(&page).await.text.contains("This ticket is frozen"));
        paid.seller.refund_order(&paid.order).await.refused(409, "payment_disputed");
        assert_audit_holds(app).await;
        assert!(app.double.decide_dispute(&dispute, DisputeStatus::UnderReview));
        app.webhooks_arrive().await;
        assert_eq!(paid.check_pass(0).await, "frozen");
        assert!(app.double.decide_dispute(&dispute, DisputeStatus::Won));
        app.webhooks_arrive().await;
        assert_eq!(paid.check_pass(0).await, "valid");
        assert_eq!(list_passes(&paid.buyer, &paid.order).await, paid.passes);
        // A late older event changes nothing.
        let payment = json!({"stripeId": paid.intent});
        app.webhook("charge.dispute.created#late", &payment, app.clock_seconds()).await.expect(200);
        app.settle().await;
        assert_eq!(paid.check_pass(0).await, "valid");
        paid.seller.refund_order(&paid.order).await.expect(201);
        paid.assert_refunded(app).await;
    }

    async fn a_dispute_that_is_lost_leaves_the_tickets_frozen(app) {
        let paid = buy(app, 1, "pm_card_visa").await;
        app.webhooks_go_wrong("duplicate");
        let dispute = app.double.open_dispute(&paid.intent, "product_not_received").unwrap();
        app.webhooks_arrive().await;
        // As if a smaller amount had been disputed at first.
        app.run_sql("UPDATE disputes SET amount_minor = amount_minor - 1").await;
        app.webhooks_go_wrong("drop");
        assert!(app.double.decide_dispute(&dispute, DisputeStatus::Lost));
        app.webhooks_arrive().await;
        assert_eq!(app.count_where("disputes", "state", "open").await, 1, "the webhook was lost");
        app.reconciler.reconcile().await.unwrap();
        assert_eq!(app.count_where("disputes", "state", "lost").await, 1);
        assert_eq!(app.incidents().await, ["dispute_opened", "dispute_lost"]);
        assert_eq!(paid.check_pass(0).await, "frozen");
        paid.seller.refund(&[&paid.tickets[0]]).await.refused(409, "payment_disputed");
        // The money has left the provider; what the seller is owed has not changed.
        assert_eq!(ledger_totals(app).await, (0, 2500, 2500));
        assert_eq!(paid.owed().await, 2500);
        assert_audit_holds(app).await;
        // A duplicate is not booked again.
        let payment = json!({"stripeId": paid.intent});
        app.webhook("charge.dispute.closed#2", &payment, app.clock_seconds()).await.expect(200);
        app.settle().await;
        assert_eq!(ledger_totals(app).await, (0, 2500, 2500));
        assert_eq!(app.double.refund_at_dashboard(&paid.intent, 1), None, "nothing is left to refund");
    }

    async fn a_lost_dispute_that_is_won_later_is_booked_back(app) {
        let paid = buy(app, 2, "pm_card_visa").await;
        app.double.refund_at_dashboard(&paid.intent, 1000).unwrap();
        let dispute = app.double.open_dispute(&paid.intent, "fraudulent").unwrap();
        app.webhooks_arrive().await;
        assert_eq!(ledger_totals(app).await, (4000, 5000, 1000), "an open dispute is not booked");
        for _ in 0..2 {
            assert!(app.double.decide_dispute(&dispute, DisputeStatus::Lost));
            app.webhooks_arrive().await;
            assert_eq!(ledger_totals(app).await, (0, 5000, 5000));
            assert_audit_holds(app).await;
            assert!(app.double.decide_dispute(&dispute, DisputeStatus::Won));
            app.webhooks_arrive().await;
            assert_eq!(ledger_totals(app).await, (4000, 5000, 1000));
            assert_eq!(paid.check_pass(0).await, "valid");
            assert_audit_holds(app).await;
        }
    }

    /// An earlier version of the server recorded lost disputes without booking them.
    async fn an_unbooked_lost_dispute_is_found_and_booked(app) {
        let paid = buy(app, 1, "pm_card_visa").await;
        let dispute = app.double.open_dispute(&paid.intent, "fraudulent").unwrap();
        assert!(app.double.decide_dispute(&dispute, DisputeStatus::Lost));
        app.webhooks_arrive().await;
        app.run_sql("DELETE FROM ledger WHERE entry_id LIKE 'dispute:%'").await;
        app.clock.advance(15 * 60);
        let journal = Provider::Journal(app.journal());
        let report = audit(&app.db, journal, app.clock.now()).await.unwrap();
        assert_eq!(report.verdict, Verdict::Broken, "{report}");
        app.reconciler.reconcile().await.unwrap();
        assert_eq!(ledger_totals(app).await, (0, 2500, 2500));
        assert_audit_holds(app).await;
        assert_eq!(app.reconciler.reconcile().await.unwrap().mended, 0, "already done");
    }

    async fn a_partial_refund_and_a_lost_dispute_do_not_prevent_account_deletion(app) {
        let paid = buy(app, 1, "pm_card_visa").await;
        app.double.refund_at_dashboard(&paid.intent, 1000).unwrap();
        let dispute = app.double.open_dispute(&paid.intent, "fraudulent").unwrap();
        assert!(app.double.decide_dispute(&dispute, DisputeStatus::Lost));
        app.webhooks_arrive().await;
        app.run_sql("UPDATE events SET starts_at = 0").await;
        // The account cannot be deleted until an operator has settled the incidents.
        let password = json!({"password": PASSWORD});
        let refused = paid.buyer.json("DELETE", "/api/user", &[], password.clone()).await;
        refused.refused(409, "account_money_owed");
        app.run_sql("UPDATE incidents SET settled_at = 1").await;
        let answer = paid.buyer.json("DELETE", "/api/user", &[], password).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        app.assert_sound().await;
    }

    async fn a_dispute_without_a_webhook_is_found(app) {
        let paid = buy(app, 1, "pm_card_visa").await;
        app.webhooks_go_wrong("drop");
        app.double.open_dispute(&paid.intent, "fraudulent").unwrap();
        app.webhooks_arrive().await;
        assert_eq!(paid.check_pass(0).await, "valid");
        app.reconciler.reconcile().await.unwrap();
        assert_eq!(paid.check_pass(0).await, "frozen");
        assert_eq!(app.incidents().await, ["dispute_opened"]);
        assert_eq!(app.reconciler.reconcile().await.unwrap().mended, 0, "already done");
    }
}
