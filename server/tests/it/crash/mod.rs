//! Crashes of the server process: it aborts at each crash point, and is killed at random times while
//! buyers pay. Afterwards every successful answer is still true and all payments settle.

pub mod checks;
pub mod clients;
pub mod doors;
pub mod process;

use crate::support::{Answer, Client, database::Database, path, seeded};
use clients::{Answers, RefundAnswer, Workload};
use doors::ShopUrls;
use futures::{StreamExt, stream};
use process::{Holds, POLL_INTERVAL, Shop};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// The state that the order reaches after the restart.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// The buyer has not paid, and the tickets are for sale again.
    Expired,
    Complete,
    Refunded,
}

/// Each crash point, at which of its executions the server aborts, and the order's outcome.
const CRASHES: [(&str, u32, Outcome); 14] = [
    // The order is stored, but its expiry job is not queued and the buyer has no answer.
    ("reserved", 1, Outcome::Expired),
    ("payment_begun", 1, Outcome::Complete),
    // The first call authorises, the second captures, the third refunds.
    ("effect_claimed", 1, Outcome::Complete),
    ("effect_claimed", 2, Outcome::Complete),
    ("effect_claimed", 3, Outcome::Refunded),
    // Stripe has answered, but the answer is not stored.
    ("call_answered", 1, Outcome::Complete),
    ("call_answered", 2, Outcome::Complete),
    ("call_answered", 3, Outcome::Refunded),
    ("settled", 1, Outcome::Complete),
    ("settled", 2, Outcome::Complete),
    ("settled", 3, Outcome::Refunded),
    ("webhook_stored", 1, Outcome::Complete),
    // The tickets are free, but the authorisation is not yet voided.
    ("expired", 1, Outcome::Expired),
    ("refund_begun", 1, Outcome::Refunded),
];

/// Crash points outside of a purchase: `moving.rs` and `listings.rs` test them.
const OTHER_CRASH_POINTS: [&str; 2] = ["batch_moved", "listing_staged"];

/// Each shop has two processes.
const CONCURRENT_SHOPS: usize = 4;
const ABORT_TIMEOUT: Duration = Duration::from_mins(2);
/// Far longer than two busy cores need to settle one purchase.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(2);

const BUYERS: u64 = 16;
const ROUNDS: u32 = 20;
/// The lease of a killed server on a call lasts half a minute, the sweep runs every ten seconds, and
/// after several faults a call is repeated only after up to a minute.
const SETTLE_TIMEOUT_AFTER_KILLS: Duration = Duration::from_mins(4);
const UPTIME_MILLIS: std::ops::Range<u64> = 200..1500;
/// Enough that the event is never sold out, however many rounds there are.
const TICKETS_PER_ROUND: i64 = 400;

#[test]
fn every_crash_point_of_the_source_is_tested() {
    fn read(folder: &Path, points: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, points);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let found = source.split("crash::point(\"").skip(1);
            points.extend(found.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    let mut points = BTreeSet::new();
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    for sources in ["src", "platform/src", "shop/src", "stripe/src"] {
        read(&server.join(sources), &mut points);
    }
    let in_purchases = CRASHES.iter().map(|(name, ..)| *name);
    let tested = in_purchases
        .chain(OTHER_CRASH_POINTS)
        .map(str::to_owned)
        .collect();
    assert_eq!(
        points, tested,
        "crash points of the source and of the tests"
    );
}

#[test]
fn an_invalid_crash_point_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let output = process::binary(folder.path(), &["serve"])
        .env("STAGEDOOR_CRASH_AT", "settled:0")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: STAGEDOOR_CRASH_AT: \"settled:0\""),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// Makes a purchase during which the server aborts, restarts the server, and checks the outcome.
async fn check_crash(database: Database, (point, nth, outcome): (&str, u32, Outcome)) {
    // Holds are short only where the order shall expire.
    let seconds = if matches!(outcome, Outcome::Expired) {
        2
    } else {
        120
    };
    let holds = Holds {
        seconds,
        grace_seconds: 1,
    };
    let mut shop = Shop::open(database, holds).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 3, 2500).await;
    let buyer = Client::sign_up(&shop.base, "buyer").await;

    let crash_at = format!("{point}:{nth}");
    shop.kill().await;
    shop.start(Some(&crash_at)).await;
    let warning = format!("STAGEDOOR_CRASH_AT={crash_at}: THIS PROCESS WILL ABORT ITSELF THERE");
    assert!(shop.server_log().contains(&warning));
    let answers = try_purchase(&buyer, &seller, &event, outcome).await;
    shop.wait_for_abort(ABORT_TIMEOUT).await;

    let db = shop.connect_database().await;
    // Ends the lease of the aborted server, which would last half a minute.
    sqlx::query("UPDATE payment_effects SET next_at = 0 WHERE state = 'pending'")
        .execute(&db)
        .await
        .unwrap();
    shop.start(None).await;
    checks::wait_until_settled(&db, SETTLE_TIMEOUT).await;
    let listed = buyer.get("/api/orders").await.expect(200);
    let orders = listed["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 1, "{crash_at}");
    let order = orders[0]["id"].as_str().unwrap();
    let status = match outcome {
        Outcome::Expired => "expired",
        Outcome::Complete => "complete",
        Outcome::Refunded => "refunded",
    };
    let found = checks::find_order_status(&db, order).await;
    assert_eq!(found, status, "{crash_at}");
    assert!(
        answers.orders.keys().all(|known| known == order),
        "{crash_at}"
    );
    checks::assert_answers_match(&db, &answers).await;
    checks::assert_sound(&shop.stripe, shop.audit_command(), &db).await;
    let available = if matches!(outcome, Outcome::Expired) {
        3
    } else {
        1
    };
    let other = Client::sign_up(&shop.base, "other").await;
    other.reserve_any(&event, available).await.expect(201);
    db.close().await;
    shop.close().await;
}

/// Reserves, pays and refunds two tickets, until the server does not answer.
async fn try_purchase(buyer: &Client, seller: &Client, event: &Value, outcome: Outcome) -> Answers {
    let mut answers = Answers::default();
    let json = [("content-type", "application/json")];
    let post = async |client: &Client, path: &str, body: Value| {
        let answer = client.try_send("POST", path, &json, body.to_string()).await;
        answer.ok()
    };
    let body = json!({"eventId": event["id"], "quantity": 2});
    let Some(order) = post(buyer, "/api/orders", body).await else {
        return answers;
    };
    let order = order.expect(201)["id"].as_str().unwrap().to_owned();
    let recorded = answers.orders.entry(order.clone()).or_default();
    // The cardholder never answers the bank of the first card, so that the order expires.
    let card = if matches!(outcome, Outcome::Expired) {
        "pm_card_threeDSecure2Required"
    } else {
        "pm_card_visa"
    };
    let body = json!({"orderId": order, "token": card});
    let Some(payment) = post(buyer, "/api/payments", body).await else {
        return answers;
    };
    let Some(payment) = wait_for_decision(buyer, payment).await else {
        return answers;
    };
    recorded.captured = payment["status"] == "captured";
    assert!(
        recorded.captured || matches!(outcome, Outcome::Expired),
        "{payment}"
    );
    if matches!(outcome, Outcome::Refunded) {
        recorded.refund = RefundAnswer::Unknown;
        let refund = post(seller, "/api/refunds", json!({"orderId": order})).await;
        if refund.is_some_and(|refund| refund.expect(201)["status"] == "succeeded") {
            recorded.refund = RefundAnswer::Succeeded;
        }
    }
    answers
}

/// Waits until the payment in this answer is no longer `processing`, as it may be at first on a busy
/// machine. Returns `None` if the server stopped answering.
async fn wait_for_decision(buyer: &Client, answer: Answer) -> Option<Value> {
    assert!([201, 202].contains(&answer.status), "{}", answer.text);
    let mut payment = answer.body;
    while payment["status"] == "processing" {
        tokio::time::sleep(POLL_INTERVAL).await;
        let path = path("payments", &payment);
        let answer = buyer.try_send("GET", &path, &[], "").await;
        payment = answer.ok()?.expect(200);
    }
    Some(payment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_nothing_on_sqlite() {
    stream::iter(CRASHES)
        .for_each_concurrent(CONCURRENT_SHOPS, |crash| {
            check_crash(Database::sqlite(), crash)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_nothing_on_postgres() {
    stream::iter(CRASHES)
        .for_each_concurrent(CONCURRENT_SHOPS, async |crash| {
            check_crash(Database::postgres().await, crash).await;
        })
        .await;
}

/// Kills and restarts the server repeatedly while buyers pay and Stripe has faults.
async fn check_random_kills(database: Database) {
    let rounds = rounds();
    let began = Instant::now();
    let mut random = seeded();
    let holds = Holds {
        seconds: 3,
        grace_seconds: 3,
    };
    let mut shop = Shop::open(database, holds).await;
    let shop_urls = ShopUrls::new([&shop.base]);
    let workload = Workload::prepare(shop_urls, &shop.stripe, TICKETS_PER_ROUND).await;
    let mut buyers = workload.start_buyers(BUYERS, &mut random).await;
    for _ in 0..rounds {
        inject_stripe_faults(&shop.stripe, &mut random).await;
        let uptime = Duration::from_millis(random.random_range(UPTIME_MILLIS));
        tokio::time::sleep(uptime).await;
        shop.kill().await;
        shop.start(None).await;
        workload
            .seller
            .batch(&workload.event, TICKETS_PER_ROUND, 2500)
            .await;
        while let Some(ended) = buyers.try_join_next() {
            ended.unwrap();
        }
    }
    let time_of_kills = began.elapsed();
    workload.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = buyers.join_next().await {
        ended.unwrap();
    }
    clear_stripe_faults(&shop.stripe).await;
    let db = shop.connect_database().await;
    checks::wait_until_settled(&db, SETTLE_TIMEOUT_AFTER_KILLS).await;
    let answers = std::mem::take(&mut *workload.answers.lock().unwrap());
    println!("{}", answers.summarize());
    println!(
        "{time_of_kills:?} of kills, settled after {:?}",
        began.elapsed()
    );
    checks::assert_answers_match(&db, &answers).await;
    checks::assert_sound(&shop.stripe, shop.audit_command(), &db).await;
    db.close().await;
    shop.close().await;
}

fn rounds() -> u32 {
    match std::env::var("STAGEDOOR_CRASH_ROUNDS")
        .unwrap_or_default()
        .as_str()
    {
        "" => ROUNDS,
        set => set.parse().expect("STAGEDOOR_CRASH_ROUNDS is a number"),
    }
}

/// Sets up to two faults of calls to Stripe and as many of its webhooks.
pub async fn inject_stripe_faults(stripe: &str, random: &mut StdRng) {
    const CALL_FAULTS: [&str; 6] = [
        "error_before",
        "error_after",
        "reset_before",
        "reset_after",
        "rate_limited",
        "slow",
    ];
    const WEBHOOK_FAULTS: [&str; 4] = ["duplicate", "reorder", "drop", "bad_signature"];
    let mut faults = Vec::new();
    for _ in 0..random.random_range(0..3) {
        let fault = CALL_FAULTS[random.random_range(0..CALL_FAULTS.len())];
        faults.push(json!({"call": "*", "fault": fault, "times": random.random_range(1..4)}));
        let fault = WEBHOOK_FAULTS[random.random_range(0..WEBHOOK_FAULTS.len())];
        faults
            .push(json!({"call": "webhooks", "fault": fault, "times": random.random_range(1..4)}));
    }
    let answer = Client::new(stripe)
        .post("/double/faults", json!({"faults": faults}))
        .await;
    answer.expect_2xx();
}

pub async fn clear_stripe_faults(stripe: &str) {
    let answer = Client::new(stripe).delete("/double/faults").await;
    answer.expect_2xx();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_random_keeps_what_it_answered_on_sqlite() {
    check_random_kills(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_random_keeps_what_it_answered_on_postgres() {
    check_random_kills(Database::postgres().await).await;
}
