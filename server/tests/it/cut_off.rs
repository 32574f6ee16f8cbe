//! Dropped futures (S-16): a client disconnects, or the process dies, at every await of an operation.
//!
//! Each test repeats its operation and drops it at its first await, then at its second, and so on, until it
//! completes. Then time passes, and the shop must be consistent.

use crate::support::{App, Client, on_both_engines};
use model::{
    accounts::{User, Viewer},
    ids::{OrderId, PaymentId, UserId},
    orders::{Reserve, ReserveNamed},
    payments::Pay,
    refunds::CreateRefund,
};
use serde_json::Value;
use std::{future::poll_fn, pin::pin, str::FromStr, task::Poll};

/// More awaits than any operation here has.
const AWAITS_MAX: usize = 400;

/// Polls `work` until it has been pending `waits` times, and drops it when it is pending once more.
async fn drop_after<T>(waits: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut waited = 0;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if waited == waits => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

/// A seller with as many tickets as an operation can have awaits, and a buyer with their orders.
struct Sale {
    seller: Client,
    buyer: Client,
    tickets: Vec<String>,
    orders: Vec<Value>,
}

impl Sale {
    async fn prepare(app: &App) -> Self {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let mut tickets = seller.batch(&event, 100, 2500).await;
        for _ in 1..4 {
            tickets.extend(seller.batch(&event, 100, 2500).await);
        }
        Self {
            seller,
            buyer,
            tickets,
            orders: Vec::new(),
        }
    }

    async fn reserve(&mut self) -> OrderId {
        let ticket = serde_json::json!({ "id": self.tickets.pop().unwrap() });
        let order = self.buyer.reserve(&[&ticket]).await.expect(201);
        let id = id(&order);
        self.orders.push(order);
        id
    }

    /// Reserves a ticket and pays: a card with 3-D Secure is left waiting for the bank.
    async fn reserve_and_pay(&mut self, card: &str) -> (OrderId, Value) {
        let order = self.reserve().await;
        let status = if card == "pm_card_visa" { 201 } else { 202 };
        let payment = self.buyer.pay(self.orders.last().unwrap(), card).await;
        (order, payment.expect(status))
    }

    async fn list_statuses(&self) -> Vec<String> {
        let mut statuses = Vec::new();
        for order in &self.orders {
            let status = self.buyer.order(order).await["status"].clone();
            statuses.push(status.as_str().unwrap().to_owned());
        }
        statuses
    }

    async fn assert_all(&self, status: &str) {
        let statuses = self.list_statuses().await;
        assert!(!statuses.is_empty());
        assert!(statuses.iter().all(|one| one == status), "{statuses:?}");
    }
}

fn viewer_of(client: &Client) -> Viewer {
    let user = User {
        id: UserId::from_str(&client.id).unwrap(),
        email: String::new(),
        name: String::new(),
        email_verified: false,
        version: 1,
    };
    Viewer { user }
}

fn id<T: FromStr<Err: std::fmt::Debug>>(of: &Value) -> T {
    of["id"].as_str().unwrap().parse().unwrap()
}

/// Asserts that the operation was dropped at least once, without which the test would check nothing. A write
/// is one await, because it runs in its own task, which is not dropped with the operation.
fn assert_dropped(drops: usize) {
    assert!((1..AWAITS_MAX).contains(&drops), "{drops} drops");
}

on_both_engines! {
    async fn a_reservation_dropped_at_any_await_is_complete_or_absent(app) {
        let mut sale = Sale::prepare(app).await;
        let (api, buyer) = (&app.api, viewer_of(&sale.buyer));
        let mut drops = 0;
        loop {
            let ticket = sale.tickets.pop().unwrap().parse().unwrap();
            let named = Reserve::Named(ReserveNamed { ticket_ids: vec![ticket] });
            match drop_after(drops, api.orders.reserve(&buyer, named, None)).await {
                Some(order) => break assert_eq!(order.unwrap().tickets.len(), 1),
                None => drops += 1,
            }
        }
        assert_dropped(drops);
        app.settle().await;
        app.assert_sound().await;
    }

    /// O2: the buyer's browser disconnects while the payment begins.
    async fn a_payment_dropped_at_any_await_is_complete_or_absent(app) {
        let mut sale = Sale::prepare(app).await;
        let (api, buyer) = (&app.api, viewer_of(&sale.buyer));
        let mut drops = 0;
        loop {
            let order_id = sale.reserve().await;
            let pay = Pay { order_id, token: "pm_card_visa".to_owned() };
            match drop_after(drops, api.payments.pay(&buyer, pay)).await {
                Some(payment) => break drop(payment.unwrap()),
                None => drops += 1,
            }
        }
        assert_dropped(drops);
        app.settle().await;
        let statuses = sale.list_statuses().await;
        assert!(
            statuses.iter().all(|one| one == "created" || one == "complete"),
            "{statuses:?}"
        );
        assert!(statuses.iter().any(|one| one == "complete"), "{statuses:?}");
        app.assert_sound().await;
    }

    /// O3 and O4: the lookup of the payment at Stripe, and its capture.
    async fn a_capture_dropped_at_any_await_is_completed_once(app) {
        let mut sale = Sale::prepare(app).await;
        let mut drops = 0;
        loop {
            let (_, payment) = sale.reserve_and_pay("pm_card_threeDSecure2Required").await;
            app.approve_at_bank(&payment);
            let payment: PaymentId = id(&payment);
            match drop_after(drops, app.engine.refresh(payment)).await {
                Some(refreshed) => break assert!(refreshed.unwrap()),
                None => drops += 1,
            }
        }
        assert_dropped(drops);
        app.webhooks_arrive().await;
        app.settle().await;
        sale.assert_all("complete").await;
        assert_eq!(app.captured_minor(), 2500 * i64::try_from(sale.orders.len()).unwrap());
        app.assert_sound().await;
    }

    /// All calls of a payment, whose first try never reached Stripe.
    async fn calls_dropped_at_any_await_are_completed_once(app) {
        let mut sale = Sale::prepare(app).await;
        let mut drops = 0;
        loop {
            app.stripe_is_away();
            sale.reserve().await;
            let order = sale.orders.last().unwrap();
            let payment = sale.buyer.pay(order, "pm_card_visa").await.expect(202);
            app.stripe_is_back();
            // The next try is due, and the hold has not ended.
            app.clock.advance(3);
            match drop_after(drops, app.engine.drive(id(&payment))).await {
                Some(driven) => break assert!(driven.is_ok()),
                None => drops += 1,
            }
            app.settle().await;
        }
        assert_dropped(drops);
        app.settle().await;
        sale.assert_all("complete").await;
        assert_eq!(app.journal().len(), sale.orders.len(), "an order has a second intent");
        app.assert_sound().await;
    }

    async fn a_cancellation_dropped_at_any_await_is_complete_or_absent(app) {
        let mut sale = Sale::prepare(app).await;
        let (api, buyer) = (&app.api, viewer_of(&sale.buyer));
        let mut drops = 0;
        loop {
            let (order, _) = sale.reserve_and_pay("pm_card_threeDSecure2Required").await;
            match drop_after(drops, api.orders.cancel(&buyer, order, None)).await {
                Some(cancelled) => break cancelled.unwrap(),
                None => drops += 1,
            }
        }
        assert_dropped(drops);
        app.settle().await;
        let statuses = sale.list_statuses().await;
        let known = ["awaiting_payment", "cancelled"];
        assert!(statuses.iter().all(|one| known.contains(&one.as_str())), "{statuses:?}");
        app.assert_sound().await;
    }

    async fn an_expiry_dropped_at_any_await_is_completed(app) {
        let mut sale = Sale::prepare(app).await;
        let mut drops = 0;
        loop {
            sale.reserve_and_pay("pm_card_threeDSecure2Required").await;
            app.clock.advance(961);
            match drop_after(drops, app.sweep()).await {
                Some(expired) => break assert!(expired > 0),
                None => drops += 1,
            }
        }
        assert_dropped(drops);
        app.sweep().await;
        app.settle().await;
        sale.assert_all("expired").await;
        assert_eq!(app.captured_minor(), 0);
        app.assert_sound().await;
    }

    async fn a_refund_dropped_at_any_await_is_complete_or_absent(app) {
        let mut sale = Sale::prepare(app).await;
        let (api, seller) = (&app.api, viewer_of(&sale.seller));
        let mut drops = 0;
        loop {
            let (order, _) = sale.reserve_and_pay("pm_card_visa").await;
            let request = CreateRefund { order_id: Some(order), ticket_ids: None };
            match drop_after(drops, api.refunds.create(&seller, request)).await {
                Some(refund) => break drop(refund.unwrap()),
                None => drops += 1,
            }
        }
        assert_dropped(drops);
        app.webhooks_arrive().await;
        app.settle().await;
        let statuses = sale.list_statuses().await;
        let known = ["complete", "refunded"];
        assert!(statuses.iter().all(|one| known.contains(&one.as_str())), "{statuses:?}");
        assert_eq!(statuses.last().unwrap(), "refunded");
        app.assert_sound().await;
    }

    async fn a_webhook_dropped_at_any_await_is_processed(app) {
        let mut sale = Sale::prepare(app).await;
        let mut drops = 0;
        loop {
            let (_, payment) = sale.reserve_and_pay("pm_card_threeDSecure2Required").await;
            app.approve_at_bank(&payment);
            let now = app.clock_seconds();
            let event = format!("payment_intent.amount_capturable_updated#{drops}");
            app.webhook(&event, &payment, now).await.expect_2xx();
            match drop_after(drops, app.engine.drain()).await {
                Some(processed) => break assert!(processed.unwrap() > 0),
                None => drops += 1,
            }
            app.settle().await;
        }
        assert_dropped(drops);
        app.settle().await;
        sale.assert_all("complete").await;
        app.assert_sound().await;
    }
}
