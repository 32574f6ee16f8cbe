//! Whoever waits for an answer goes away, or the process dies, at every single await: S-16.
//!
//! Each test does the same thing anew until it has been cut off at its first, second … await and,
//! at last, at none. Then time passes, and nothing may be half done.

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

/// More awaits than anything here has.
const AWAITS_MAX: usize = 400;

/// Lets `work` wait `waits` times, and drops it when it wants to wait once more.
async fn cut_off_after<T>(waits: usize, work: impl Future<Output = T>) -> Option<T> {
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

/// Somebody sells as many tickets as there can be awaits, and somebody wants them.
struct Sale {
    seller: Client,
    buyer: Client,
    tickets: Vec<String>,
    orders: Vec<Value>,
}

impl Sale {
    async fn begin(app: &App) -> Self {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let tickets = seller.batch(&event, 100, 2500).await;
        let mut all = tickets;
        for _ in 1..4 {
            all.extend(seller.batch(&event, 100, 2500).await);
        }
        Self {
            seller,
            buyer,
            tickets: all,
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

    /// An order whose card waits for the buyer's bank, or has it behind it.
    async fn pay(&mut self, card: &str) -> (OrderId, Value) {
        let order = self.reserve().await;
        let status = if card == "pm_card_visa" { 201 } else { 202 };
        let payment = self.buyer.pay(self.orders.last().unwrap(), card).await;
        (order, payment.expect(status))
    }

    async fn statuses(&self) -> Vec<String> {
        let mut statuses = Vec::new();
        for order in &self.orders {
            let status = self.buyer.order(order).await["status"].clone();
            statuses.push(status.as_str().unwrap().to_owned());
        }
        statuses
    }

    async fn assert_all(&self, status: &str) {
        let statuses = self.statuses().await;
        assert!(!statuses.is_empty());
        assert!(statuses.iter().all(|one| one == status), "{statuses:?}");
    }
}

fn viewer(of: &Client) -> Viewer {
    let user = User {
        id: UserId::from_str(&of.id).unwrap(),
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

/// At least one await was cut off, or the test proves nothing. A write is a task of its own, which
/// nobody can cut off but a death: it is one await.
fn enough(cuts: usize) {
    assert!((1..AWAITS_MAX).contains(&cuts), "{cuts} cuts");
}

on_both_engines! {
    async fn a_reservation(app) {
        let mut sale = Sale::begin(app).await;
        let (api, buyer) = (&app.api, viewer(&sale.buyer));
        let mut cuts = 0;
        loop {
            let ticket = sale.tickets.pop().unwrap().parse().unwrap();
            let named = Reserve::Named(ReserveNamed { ticket_ids: vec![ticket] });
            match cut_off_after(cuts, api.orders.reserve(&buyer, named, None)).await {
                Some(order) => break assert_eq!(order.unwrap().tickets.len(), 1),
                None => cuts += 1,
            }
        }
        enough(cuts);
        app.settle().await;
        app.assert_sound().await;
    }

    /// O2: the buyer's browser goes away while the payment begins.
    async fn paying(app) {
        let mut sale = Sale::begin(app).await;
        let (api, buyer) = (&app.api, viewer(&sale.buyer));
        let mut cuts = 0;
        loop {
            let order_id = sale.reserve().await;
            let pay = Pay { order_id, token: "pm_card_visa".to_owned() };
            match cut_off_after(cuts, api.payments.pay(&buyer, pay)).await {
                Some(payment) => break drop(payment.unwrap()),
                None => cuts += 1,
            }
        }
        enough(cuts);
        app.settle().await;
        let statuses = sale.statuses().await;
        assert!(
            statuses.iter().all(|one| one == "created" || one == "complete"),
            "{statuses:?}"
        );
        assert!(statuses.iter().any(|one| one == "complete"), "{statuses:?}");
        app.assert_sound().await;
    }

    /// O3 and O4: whoever asks the bank and takes the money dies.
    async fn taking_the_money(app) {
        let mut sale = Sale::begin(app).await;
        let mut cuts = 0;
        loop {
            let (_, payment) = sale.pay("pm_card_threeDSecure2Required").await;
            app.approve_at_bank(&payment);
            let payment: PaymentId = id(&payment);
            match cut_off_after(cuts, app.engine.refresh(payment)).await {
                Some(looked) => break assert!(looked.unwrap()),
                None => cuts += 1,
            }
        }
        enough(cuts);
        app.webhooks_arrive().await;
        app.settle().await;
        sale.assert_all("complete").await;
        assert_eq!(app.captured_minor(), 2500 * i64::try_from(sale.orders.len()).unwrap());
        app.assert_sound().await;
    }

    /// From the first call to the last, where the first try never reached Stripe.
    async fn making_the_calls(app) {
        let mut sale = Sale::begin(app).await;
        let mut cuts = 0;
        loop {
            app.stripe_is_away();
            sale.reserve().await;
            let order = sale.orders.last().unwrap();
            let payment = sale.buyer.pay(order, "pm_card_visa").await.expect(202);
            app.stripe_is_back();
            // The next try is due, and the hold stands.
            app.clock.advance(3);
            match cut_off_after(cuts, app.engine.drive(id(&payment))).await {
                Some(told) => break assert!(told.is_ok()),
                None => cuts += 1,
            }
            app.settle().await;
        }
        enough(cuts);
        app.settle().await;
        sale.assert_all("complete").await;
        assert_eq!(app.journal().len(), sale.orders.len(), "a second intent");
        app.assert_sound().await;
    }

    async fn cancelling(app) {
        let mut sale = Sale::begin(app).await;
        let (api, buyer) = (&app.api, viewer(&sale.buyer));
        let mut cuts = 0;
        loop {
            let (order, _) = sale.pay("pm_card_threeDSecure2Required").await;
            match cut_off_after(cuts, api.orders.cancel(&buyer, order, None)).await {
                Some(cancelled) => break cancelled.unwrap(),
                None => cuts += 1,
            }
        }
        enough(cuts);
        app.settle().await;
        let statuses = sale.statuses().await;
        let known = ["awaiting_payment", "cancelled"];
        assert!(statuses.iter().all(|one| known.contains(&one.as_str())), "{statuses:?}");
        app.assert_sound().await;
    }

    async fn expiring(app) {
        let mut sale = Sale::begin(app).await;
        let mut cuts = 0;
        loop {
            sale.pay("pm_card_threeDSecure2Required").await;
            app.clock.advance(961);
            match cut_off_after(cuts, app.sweep()).await {
                Some(expired) => break assert!(expired > 0),
                None => cuts += 1,
            }
        }
        enough(cuts);
        app.sweep().await;
        app.settle().await;
        sale.assert_all("expired").await;
        assert_eq!(app.captured_minor(), 0);
        app.assert_sound().await;
    }

    async fn refunding(app) {
        let mut sale = Sale::begin(app).await;
        let (api, seller) = (&app.api, viewer(&sale.seller));
        let mut cuts = 0;
        loop {
            let (order, _) = sale.pay("pm_card_visa").await;
            let ask = CreateRefund { order_id: Some(order), ticket_ids: None };
            match cut_off_after(cuts, api.refunds.create(&seller, ask)).await {
                Some(refund) => break drop(refund.unwrap()),
                None => cuts += 1,
            }
        }
        enough(cuts);
        app.webhooks_arrive().await;
        app.settle().await;
        let statuses = sale.statuses().await;
        let known = ["complete", "refunded"];
        assert!(statuses.iter().all(|one| known.contains(&one.as_str())), "{statuses:?}");
        assert_eq!(statuses.last().unwrap(), "refunded");
        app.assert_sound().await;
    }

    /// What Stripe told is acted on, whoever dies over it.
    async fn acting_on_a_webhook(app) {
        let mut sale = Sale::begin(app).await;
        let mut cuts = 0;
        loop {
            let (_, payment) = sale.pay("pm_card_threeDSecure2Required").await;
            app.approve_at_bank(&payment);
            let now = app.clock_seconds();
            let event = format!("payment_intent.amount_capturable_updated#{cuts}");
            app.webhook(&event, &payment, now).await.expect_2xx();
            match cut_off_after(cuts, app.engine.drain()).await {
                Some(looked_after) => break assert!(looked_after.unwrap() > 0),
                None => cuts += 1,
            }
            app.settle().await;
        }
        enough(cuts);
        app.settle().await;
        sale.assert_all("complete").await;
        app.assert_sound().await;
    }
}
