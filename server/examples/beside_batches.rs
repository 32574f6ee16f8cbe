//! Measures how long one buyer's reservations take while nothing else happens, and then while sellers
//! list batches of 10 000 tickets without a pause: at the buyer's own event and at others.
//!
//! Both figures come from one run against one server, so that their ratio means something on a busy
//! machine. Leaves accounts, events and tickets behind: give the server a database to throw away, and
//! `STAGEDOOR_RATE_LIMITS=off`.

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use uuid::Uuid;

const BATCH: u32 = 10_000;
const PASSWORD: &str = "correct horse battery staple";

/// Measures reservations beside sellers who list large batches
#[derive(Debug, Parser)]
#[command(name = "beside_batches")]
struct Args {
    /// Where the shop is
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    url: String,
    /// How many sellers list at the same time
    #[arg(long, default_value_t = 3)]
    sellers: u32,
    /// How long each of the two is measured
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

#[derive(Clone)]
struct Person {
    http: reqwest::Client,
    base: String,
}

impl Person {
    async fn sign_up(base: &str, name: &str) -> Result<Self> {
        let person = Self {
            http: reqwest::Client::builder()
                .cookie_store(true)
                .no_proxy()
                .build()?,
            base: base.to_owned(),
        };
        let email = format!("{name}-{}@example.com", Uuid::now_v7().simple());
        let body = json!({"email": email, "password": PASSWORD, "name": name});
        person.create("/api/user/signup", &body).await?;
        Ok(person)
    }

    async fn create(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status == 201, "POST {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    async fn event(&self) -> Result<Value> {
        let body = json!({
            "title": "Measured Evening", "venue": "Old Hall", "city": "Leeds", "country": "GB",
            "startsAt": "2099-05-01T19:30:00Z", "timeZone": "Europe/London", "currency": "GBP",
        });
        self.create("/api/events", &body).await
    }

    async fn list(&self, event: &Value, quantity: u32, price_minor: u32) -> Result<()> {
        let body = json!({"eventId": event["id"], "quantity": quantity, "priceMinor": price_minor});
        self.create("/api/tickets/batch", &body).await?;
        Ok(())
    }

    /// Reserves one ticket and cancels. Returns how long the reservation took.
    async fn reserve(&self, event: &Value) -> Result<Duration> {
        let began = Instant::now();
        let order = json!({"eventId": event["id"], "quantity": 1});
        let order = self.create("/api/orders", &order).await?;
        let took = began.elapsed();
        let path = format!(
            "{}/api/orders/{}",
            self.base,
            order["id"].as_str().unwrap_or_default()
        );
        let cancelled = self.http.delete(path).send().await?.status();
        ensure!(cancelled == 204, "cancelling: {cancelled}");
        Ok(took)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let base = args.url.trim_end_matches('/');
    let during = Duration::from_secs(args.seconds);
    let seller = Person::sign_up(base, "seller").await?;
    let event = seller.event().await?;
    seller.list(&event, BATCH, 2500).await?;
    let buyer = Person::sign_up(base, "buyer").await?;
    measure(&buyer, &event, Duration::from_secs(2)).await?;
    let quiet = measure(&buyer, &event, during).await?;

    let going = Arc::new(AtomicBool::new(true));
    let batches = Arc::new(AtomicU64::new(0));
    let mut sellers = JoinSet::new();
    for number in 0..args.sellers {
        let person = Person::sign_up(base, "lister").await?;
        // The first lists at the buyer's event, dearer and cheaper in turn; the others elsewhere.
        let target = if number == 0 {
            event.clone()
        } else {
            person.event().await?
        };
        let (going, batches) = (going.clone(), batches.clone());
        sellers.spawn(async move {
            while going.load(Ordering::Relaxed) {
                let price = if batches.load(Ordering::Relaxed).is_multiple_of(2) {
                    1000
                } else {
                    9000
                };
                person.list(&target, BATCH, price).await?;
                batches.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let beside = measure(&buyer, &event, during).await?;
    going.store(false, Ordering::Relaxed);
    while let Some(done) = sellers.join_next().await {
        done??;
    }
    println!(
        "{base}, {} s each, one buyer who reserves and cancels:",
        args.seconds
    );
    tell("quiet", &quiet);
    tell(&format!("beside {} sellers", args.sellers), &beside);
    let ratio = at(&beside, 99).as_secs_f64() / at(&quiet, 99).as_secs_f64();
    println!(
        "p99 {ratio:.1} times as long; {} batches of {BATCH} listed",
        batches.load(Ordering::Relaxed)
    );
    Ok(())
}

/// Reserves for so long, and returns the latencies in order.
async fn measure(buyer: &Person, event: &Value, during: Duration) -> Result<Vec<Duration>> {
    let began = Instant::now();
    let mut took = Vec::new();
    while began.elapsed() < during {
        took.push(buyer.reserve(event).await?);
    }
    took.sort_unstable();
    Ok(took)
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}

fn tell(name: &str, sorted: &[Duration]) {
    println!(
        "{name:<18} {:>6} reservations, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        sorted.len(),
        at(sorted, 50).as_secs_f64() * 1000.0,
        at(sorted, 99).as_secs_f64() * 1000.0,
        at(sorted, 100).as_secs_f64() * 1000.0,
    );
}
