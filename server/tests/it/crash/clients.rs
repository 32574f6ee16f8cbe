//! Buyers who go on whatever happens to the server: they reserve, pay by good, bad and careful
//! cards, cancel, walk away, and have their money back. They write down what they were told; what
//! was cut off counts as neither done nor not done.

use super::doors::Doors;
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

/// Between two tries while the server is unavailable.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two purchases: some of the buyers are always in the middle of one, and the servers' processes still get
/// enough of two cores to start quickly.
const BETWEEN_PURCHASES_MILLIS: std::ops::Range<u64> = 0..400;
/// How often a buyer who has seen the bank asks how it ended.
const LOOKS: usize = 5;
const CARD: &str = "pm_card_visa";
const DECLINED: &str = "pm_card_chargeDeclined";
const CAREFUL: &str = "pm_card_threeDSecure2Required";

/// What a buyer was told about an order that was answered 201.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// It is paid.
    pub captured: bool,
    /// It is cancelled.
    pub cancelled: bool,
    /// How far it has been paid back.
    pub refund: Refund,
}

/// What a seller knows of an order's refund.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Refund {
    /// Nobody has asked for one.
    #[default]
    None,
    /// It was asked for, and may or may not have been heard.
    Asked,
    /// The money is back.
    Succeeded,
}

/// What all were told.
#[derive(Debug, Default)]
pub struct Answered {
    pub orders: BTreeMap<String, Told>,
    /// Requests that came to nothing because the server was dying or dead.
    pub cut_off: usize,
    /// Requests that were answered 503, with the time after which to come again.
    pub told_to_wait: usize,
    /// Attempts that were repeated with their key, and got an order.
    pub repeated: usize,
}

impl Answered {
    /// How many were told that they paid.
    pub fn paid(&self) -> usize {
        self.orders.values().filter(|told| told.captured).count()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let count = |told: fn(&Told) -> bool| self.orders.values().filter(|one| told(one)).count();
        format!(
            "{} orders, {} paid, {} cancelled, {} refunded; {} requests cut off, {} told to wait, {} repeated",
            self.orders.len(),
            count(|told| told.captured),
            count(|told| told.cancelled),
            count(|told| told.refund == Refund::Succeeded),
            self.cut_off,
            self.told_to_wait,
            self.repeated,
        )
    }
}

/// What buyers share.
pub struct Crowd {
    pub event: Value,
    pub seller: Client,
    /// Where the shop is reached.
    pub doors: Doors,
    /// The bank's pages.
    pub bank: Client,
    pub answered: Mutex<Answered>,
    pub has_enough: AtomicBool,
}

impl Crowd {
    /// A seller, and so many tickets to one event.
    pub async fn gather(doors: Doors, bank: &str, tickets: i64) -> Arc<Self> {
        let seller = Client::sign_up(doors.any(), "seller").await;
        let event = seller.event().await;
        seller.batch(&event, tickets, 2500).await;
        Arc::new(Self {
            event,
            seller,
            doors,
            bank: Client::new(bank),
            answered: Mutex::default(),
            has_enough: false.into(),
        })
    }

    /// Buyers who have signed in once and begin to buy.
    pub async fn buyers(self: &Arc<Self>, count: u64, random: &mut StdRng) -> JoinSet<()> {
        let signing_up = (0..count).map(|_| Client::sign_up(self.doors.any(), "buyer"));
        let mut buyers = JoinSet::new();
        for client in join_all(signing_up).await {
            buyers.spawn(Buyer::new(self.clone(), client, random.random()).run());
        }
        buyers
    }

    fn told(&self, order: &str, what: impl FnOnce(&mut Told)) {
        let mut answered = self.answered.lock().unwrap();
        what(answered.orders.entry(order.to_owned()).or_default());
    }

    /// Through one of the doors: through the next, where nobody opens and so nothing was sent.
    async fn send(
        &self,
        client: &Client,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer, CutOff> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        for door in self.doors.in_turn() {
            let at = client.at(&door);
            match at.send_once(method, path, &all, body.clone()).await {
                Ok(answer) => return self.unless_to_wait(answer),
                Err(error) if error.is_connect() => {}
                Err(_) => break,
            }
        }
        self.answered.lock().unwrap().cut_off += 1;
        Err(CutOff)
    }

    /// A 503 that says when to come again may be the answer at any time: on a busy machine, or
    /// while the database is away. Whether the request was carried out is not known then.
    fn unless_to_wait(&self, answer: Answer) -> Result<Answer, CutOff> {
        if answer.asks_to_wait().is_none() {
            return Ok(answer);
        }
        answer.refused(503, "unavailable");
        self.answered.lock().unwrap().told_to_wait += 1;
        Err(CutOff)
    }
}

/// One of them.
struct Buyer {
    crowd: Arc<Crowd>,
    client: Client,
    random: StdRng,
    /// An attempt to reserve whose answer was cut off: its key and its body.
    unanswered: Option<(String, Value)>,
}

/// The server was away, went away over it, or was too busy.
struct CutOff;

impl Buyer {
    fn new(crowd: Arc<Crowd>, client: Client, seed: u64) -> Self {
        Self {
            crowd,
            client,
            random: StdRng::seed_from_u64(seed),
            unanswered: None,
        }
    }

    /// Buys until the crowd has enough.
    async fn run(mut self) {
        while !self.crowd.has_enough.load(Ordering::SeqCst) {
            let pause = match self.buy().await {
                Ok(()) => {
                    Duration::from_millis(self.random.random_range(BETWEEN_PURCHASES_MILLIS))
                }
                Err(CutOff) => PAUSE,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn buy(&mut self) -> Result<(), CutOff> {
        let Some(order) = self.reserve().await? else {
            return Ok(());
        };
        let id = order["id"].as_str().unwrap().to_owned();
        self.crowd.told(&id, |_| {});
        match self.random.random_range(0..100) {
            0..10 => return Ok(()),
            10..20 => return self.cancel(&id).await,
            20..35 => {
                self.pay(&id, DECLINED).await?;
                self.pay(&id, CARD).await?;
            }
            35..60 => self.pay_carefully(&id).await?,
            _ => {
                self.pay(&id, CARD).await?;
            }
        }
        match self.random.random_range(0..100) {
            0..15 => self.refund(&id).await,
            // Too late, where it was paid.
            15..20 => self.cancel(&id).await,
            _ => Ok(()),
        }
    }

    /// Repeats an attempt that was not answered, or makes a new one.
    async fn reserve(&mut self) -> Result<Option<Value>, CutOff> {
        let (repeats, key, body) = match self.unanswered.take() {
            Some((key, body)) => (true, key, body),
            None => {
                let quantity = self.random.random_range(1..=3);
                let key = format!("attempt-{:x}", self.random.random::<u64>());
                let body = json!({"eventId": self.crowd.event["id"], "quantity": quantity});
                (false, key, body)
            }
        };
        let headers = [("idempotency-key", key.as_str())];
        let answer = self
            .crowd
            .send(&self.client, "POST", "/api/orders", &headers, &body)
            .await;
        let Ok(answer) = answer else {
            // Once: a claim that died with its server stands for a minute.
            self.unanswered = (!repeats).then_some((key, body));
            return Err(CutOff);
        };
        if answer.status == 409 {
            return Ok(None);
        }
        let order = allowed(answer, &[201]);
        self.crowd.answered.lock().unwrap().repeated += usize::from(repeats);
        Ok(Some(order))
    }

    async fn cancel(&self, order: &str) -> Result<(), CutOff> {
        let path = format!("/api/orders/{order}");
        let answer = self
            .crowd
            .send(&self.client, "DELETE", &path, &[], &Value::Null)
            .await?;
        if answer.status == 204 {
            self.crowd.told(order, |told| told.cancelled = true);
        }
        allowed(answer, &[204, 409]);
        Ok(())
    }

    /// The payment, if there is one.
    async fn pay(&self, order: &str, card: &str) -> Result<Option<Value>, CutOff> {
        let body = json!({"orderId": order, "token": card});
        let answer = self
            .crowd
            .send(&self.client, "POST", "/api/payments", &[], &body)
            .await?;
        let is_there = [201, 202].contains(&answer.status);
        if answer.status == 201 {
            self.crowd.told(order, |told| told.captured = true);
        }
        let payment = allowed(answer, &[201, 202, 402, 409]);
        Ok(is_there.then_some(payment))
    }

    /// By a card whose bank wants to hear from its owner, who says yes, no, or nothing.
    async fn pay_carefully(&mut self, order: &str) -> Result<(), CutOff> {
        let Some(payment) = self.pay(order, CAREFUL).await? else {
            return Ok(());
        };
        let (Some(intent), Some(secret)) = (
            payment["stripeId"].as_str(),
            payment["clientSecret"].as_str(),
        ) else {
            return Ok(());
        };
        let says = match self.random.random_range(0..10) {
            0..7 => "approve",
            7 => "refuse",
            _ => return Ok(()),
        };
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("client_secret={secret}&answer={says}");
        let path = format!("/bank/{intent}");
        let bank = &self.crowd.bank;
        bank.try_send("POST", &path, &form, body).await.unwrap();
        let path = format!("/api/payments/{}", payment["id"].as_str().unwrap());
        for _ in 0..LOOKS {
            let answer = self
                .crowd
                .send(&self.client, "GET", &path, &[], &Value::Null)
                .await?;
            let payment = allowed(answer, &[200]);
            if payment["status"] == "captured" {
                self.crowd.told(order, |told| told.captured = true);
            }
            if payment["status"] != "processing" {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn refund(&self, order: &str) -> Result<(), CutOff> {
        self.crowd.told(order, |told| told.refund = Refund::Asked);
        let body = json!({"orderId": order});
        let answer = self
            .crowd
            .send(&self.crowd.seller, "POST", "/api/refunds", &[], &body)
            .await?;
        if answer.status == 201 && answer.body["status"] == "succeeded" {
            self.crowd
                .told(order, |told| told.refund = Refund::Succeeded);
        }
        allowed(answer, &[201, 404, 409]);
        Ok(())
    }
}

/// A success, or one of these refusals. A server that dies answers nothing; it never answers that
/// something went wrong.
fn allowed(answer: Answer, statuses: &[u16]) -> Value {
    let Answer { status, text, .. } = &answer;
    assert!(statuses.contains(status), "{status} {text}");
    answer.body
}
