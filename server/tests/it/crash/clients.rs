//! A workload of buyers who continue while the server is killed and restarted: they reserve, pay with
//! accepted cards, declined cards and cards with 3-D Secure, cancel, abandon orders and are refunded.
//! Successful answers are recorded; the outcome of an unanswered request counts as unknown.

use super::doors::ShopUrls;
use crate::support::{Answer, Client};
use futures::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// Between two requests while the server is unavailable or a payment is processing.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Between two purchases of a buyer: short enough that some buyers are always in the middle of one,
/// and long enough that two cores can also start the servers quickly.
const PURCHASE_INTERVAL_MILLIS: std::ops::Range<u64> = 0..400;
/// How often a buyer requests the payment after 3-D Secure.
const PAYMENT_POLLS: usize = 5;
const ACCEPTED_CARD: &str = "pm_card_visa";
const DECLINED_CARD: &str = "pm_card_chargeDeclined";
const THREE_D_SECURE_CARD: &str = "pm_card_threeDSecure2Required";

/// The successful answers about an order whose reservation was answered 201.
#[derive(Debug, Default, Clone)]
pub struct OrderAnswers {
    pub captured: bool,
    pub cancelled: bool,
    pub refund: RefundAnswer,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum RefundAnswer {
    #[default]
    NotRequested,
    /// Requested, but no success was answered: the refund may or may not exist.
    Unknown,
    Succeeded,
}

/// The answers to all buyers.
#[derive(Debug, Default)]
pub struct Answers {
    pub orders: BTreeMap<String, OrderAnswers>,
    /// Requests without an answer because the server was killed or down.
    pub unanswered: usize,
    /// Requests that were answered 503 with `Retry-After`.
    pub unavailable: usize,
    /// Reservations that were repeated with their idempotency key and answered 201.
    pub repeated: usize,
}

impl Answers {
    pub fn count_paid(&self) -> usize {
        self.count(|order| order.captured)
    }

    fn count(&self, matches: fn(&OrderAnswers) -> bool) -> usize {
        self.orders.values().filter(|order| matches(order)).count()
    }

    pub fn summarize(&self) -> String {
        format!(
            "{} orders, {} paid, {} cancelled, {} refunded; \
             requests: {} unanswered, {} answered 503, {} repeated",
            self.orders.len(),
            self.count_paid(),
            self.count(|order| order.cancelled),
            self.count(|order| order.refund == RefundAnswer::Succeeded),
            self.unanswered,
            self.unavailable,
            self.repeated,
        )
    }
}

/// One event, its seller, and what its buyers share.
pub struct Workload {
    pub event: Value,
    pub seller: Client,
    pub shop_urls: ShopUrls,
    /// A client of the bank's pages.
    pub bank: Client,
    pub answers: Mutex<Answers>,
    /// Buyers end after their current purchase.
    pub stop: AtomicBool,
}

impl Workload {
    /// Signs up a seller, who lists this number of tickets to one event.
    pub async fn prepare(shop_urls: ShopUrls, bank: &str, tickets: i64) -> Arc<Self> {
        let seller = Client::sign_up(shop_urls.first(), "seller").await;
        let event = seller.event().await;
        seller.batch(&event, tickets, 2500).await;
        Arc::new(Self {
            event,
            seller,
            shop_urls,
            bank: Client::new(bank),
            answers: Mutex::default(),
            stop: false.into(),
        })
    }

    /// Signs up buyers, and starts them in the background.
    pub async fn start_buyers(self: &Arc<Self>, count: u64, random: &mut StdRng) -> JoinSet<()> {
        let signing_up = (0..count).map(|_| Client::sign_up(self.shop_urls.first(), "buyer"));
        let mut buyers = JoinSet::new();
        for client in join_all(signing_up).await {
            buyers.spawn(Buyer::new(self.clone(), client, random.random()).run());
        }
        buyers
    }

    fn record(&self, order: &str, update: impl FnOnce(&mut OrderAnswers)) {
        let mut answers = self.answers.lock().unwrap();
        update(answers.orders.entry(order.to_owned()).or_default());
    }

    /// Sends the request to one of the shop's URLs. Tries the next only if it could not connect, because
    /// then nothing has been sent.
    async fn send(
        &self,
        client: &Client,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer, OutcomeUnknown> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        for url in self.shop_urls.list_ready() {
            let client = client.at(&url);
            match client.send_once(method, path, &all, body.clone()).await {
                Ok(answer) => return self.reject_unavailable(answer),
                Err(error) if error.is_connect() => {}
                Err(_) => break,
            }
        }
        self.answers.lock().unwrap().unanswered += 1;
        Err(OutcomeUnknown)
    }

    /// A 503 with `Retry-After` is allowed at any time: on a busy machine, or while the database is
    /// unavailable. It does not tell whether the request was carried out.
    fn reject_unavailable(&self, answer: Answer) -> Result<Answer, OutcomeUnknown> {
        if answer.asks_to_wait().is_none() {
            return Ok(answer);
        }
        answer.refused(503, "unavailable");
        self.answers.lock().unwrap().unavailable += 1;
        Err(OutcomeUnknown)
    }
}

struct Buyer {
    workload: Arc<Workload>,
    client: Client,
    random: StdRng,
    /// The idempotency key and the body of an unanswered reservation.
    unanswered: Option<(String, Value)>,
}

/// The server did not answer, or answered 503.
struct OutcomeUnknown;

impl Buyer {
    fn new(workload: Arc<Workload>, client: Client, seed: u64) -> Self {
        Self {
            workload,
            client,
            random: StdRng::seed_from_u64(seed),
            unanswered: None,
        }
    }

    async fn run(mut self) {
        while !self.workload.stop.load(Ordering::SeqCst) {
            let pause = match self.buy().await {
                Ok(()) => Duration::from_millis(self.random.random_range(PURCHASE_INTERVAL_MILLIS)),
                Err(OutcomeUnknown) => RETRY_INTERVAL,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn buy(&mut self) -> Result<(), OutcomeUnknown> {
        let Some(order) = self.reserve().await? else {
            return Ok(());
        };
        let id = order["id"].as_str().unwrap().to_owned();
        self.workload.record(&id, |_| {});
        match self.random.random_range(0..100) {
            0..10 => return Ok(()),
            10..20 => return self.cancel(&id).await,
            20..35 => {
                self.pay(&id, DECLINED_CARD).await?;
                self.pay(&id, ACCEPTED_CARD).await?;
            }
            35..60 => self.pay_with_3d_secure(&id).await?,
            _ => {
                self.pay(&id, ACCEPTED_CARD).await?;
            }
        }
        match self.random.random_range(0..100) {
            0..15 => self.refund(&id).await,
            // Refused if the order is paid.
            15..20 => self.cancel(&id).await,
            _ => Ok(()),
        }
    }

    /// Repeats the unanswered reservation, or makes a new one.
    async fn reserve(&mut self) -> Result<Option<Value>, OutcomeUnknown> {
        let (repeats, key, body) = match self.unanswered.take() {
            Some((key, body)) => (true, key, body),
            None => {
                let quantity = self.random.random_range(1..=3);
                let key = format!("attempt-{:x}", self.random.random::<u64>());
                let body = json!({"eventId": self.workload.event["id"], "quantity": quantity});
                (false, key, body)
            }
        };
        let headers = [("idempotency-key", key.as_str())];
        let answer = self
            .workload
            .send(&self.client, "POST", "/api/orders", &headers, &body)
            .await;
        let Ok(answer) = answer else {
            // Only once, because the claim of a killed server on the key is valid for a minute.
            self.unanswered = (!repeats).then_some((key, body));
            return Err(OutcomeUnknown);
        };
        if answer.status == 409 {
            return Ok(None);
        }
        let order = expect_one_of(answer, &[201]);
        self.workload.answers.lock().unwrap().repeated += usize::from(repeats);
        Ok(Some(order))
    }

    async fn cancel(&self, order: &str) -> Result<(), OutcomeUnknown> {
        let path = format!("/api/orders/{order}");
        let answer = self
            .workload
            .send(&self.client, "DELETE", &path, &[], &Value::Null)
            .await?;
        if answer.status == 204 {
            self.workload
                .record(order, |answers| answers.cancelled = true);
        }
        expect_one_of(answer, &[204, 409]);
        Ok(())
    }

    /// Returns the payment, or `None` if the request was refused.
    async fn pay(&self, order: &str, card: &str) -> Result<Option<Value>, OutcomeUnknown> {
        let body = json!({"orderId": order, "token": card});
        let answer = self
            .workload
            .send(&self.client, "POST", "/api/payments", &[], &body)
            .await?;
        let has_payment = [201, 202].contains(&answer.status);
        if answer.status == 201 {
            self.workload
                .record(order, |answers| answers.captured = true);
        }
        let payment = expect_one_of(answer, &[201, 202, 402, 409]);
        Ok(has_payment.then_some(payment))
    }

    /// Pays with a card with 3-D Secure. The cardholder approves, refuses, or does not answer the bank.
    async fn pay_with_3d_secure(&mut self, order: &str) -> Result<(), OutcomeUnknown> {
        let Some(payment) = self.pay(order, THREE_D_SECURE_CARD).await? else {
            return Ok(());
        };
        let (Some(intent), Some(secret)) = (
            payment["stripeId"].as_str(),
            payment["clientSecret"].as_str(),
        ) else {
            return Ok(());
        };
        let decision = match self.random.random_range(0..10) {
            0..7 => "approve",
            7 => "refuse",
            _ => return Ok(()),
        };
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("client_secret={secret}&answer={decision}");
        let path = format!("/bank/{intent}");
        let bank = &self.workload.bank;
        bank.try_send("POST", &path, &form, body).await.unwrap();
        let path = format!("/api/payments/{}", payment["id"].as_str().unwrap());
        for _ in 0..PAYMENT_POLLS {
            let answer = self
                .workload
                .send(&self.client, "GET", &path, &[], &Value::Null)
                .await?;
            let payment = expect_one_of(answer, &[200]);
            if payment["status"] == "captured" {
                self.workload
                    .record(order, |answers| answers.captured = true);
            }
            if payment["status"] != "processing" {
                return Ok(());
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        Ok(())
    }

    async fn refund(&self, order: &str) -> Result<(), OutcomeUnknown> {
        self.workload
            .record(order, |answers| answers.refund = RefundAnswer::Unknown);
        let body = json!({"orderId": order});
        let answer = self
            .workload
            .send(&self.workload.seller, "POST", "/api/refunds", &[], &body)
            .await?;
        if answer.status == 201 && answer.body["status"] == "succeeded" {
            self.workload
                .record(order, |answers| answers.refund = RefundAnswer::Succeeded);
        }
        expect_one_of(answer, &[201, 404, 409]);
        Ok(())
    }
}

/// Asserts that the answer has one of these statuses, and returns its body. A killed server gives no
/// answer, so status 500 is always an error.
fn expect_one_of(answer: Answer, statuses: &[u16]) -> Value {
    let Answer { status, text, .. } = &answer;
    assert!(statuses.contains(status), "{status} {text}");
    answer.body
}
