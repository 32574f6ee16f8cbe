//! What dies loses nothing: the real server aborts at every named point, and is killed at random
//! under buyers who pay, and all that it had answered stands.

pub mod checks;
pub mod clients;
pub mod doors;
pub mod process;

use crate::support::{Answer, Client, database::Database, path, seeded};
use clients::{Answered, Crowd, Refund};
use doors::Doors;
use futures::{StreamExt, stream};
use process::{Holds, LOOK_AGAIN, Shop};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// How a story ends, if nothing is lost.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The buyer has not paid, and the tickets are for sale again.
    Expired,
    /// The buyer has paid and has the tickets.
    Complete,
    /// The seller has paid it back.
    Refunded,
}

/// Each point, at which time it is fatal, what that interrupts, and how it ends all the same.
const FATAL: [(&str, u32, End); 14] = [
    // The order is there; no job for its expiry, and the buyer was not told.
    ("reserved", 1, End::Expired),
    ("payment_begun", 1, End::Complete),
    // First the card is charged, then the money is taken, then it is given back.
    ("effect_claimed", 1, End::Complete),
    ("effect_claimed", 2, End::Complete),
    ("effect_claimed", 3, End::Refunded),
    // Stripe has done it, and nobody here knows.
    ("call_answered", 1, End::Complete),
    ("call_answered", 2, End::Complete),
    ("call_answered", 3, End::Refunded),
    ("settled", 1, End::Complete),
    ("settled", 2, End::Complete),
    ("settled", 3, End::Refunded),
    ("webhook_stored", 1, End::Complete),
    // The tickets are free, and what is reserved on the card is not yet given back.
    ("expired", 1, End::Expired),
    ("refund_begun", 1, End::Refunded),
];

/// Where a purchase never comes by: `moving.rs` dies there.
const FATAL_ELSEWHERE: [&str; 2] = ["batch_moved", "listing_staged"];

/// So many stories at a time, each with two processes.
const STORIES_AT_ONCE: usize = 4;
const DIES_WITHIN: Duration = Duration::from_mins(2);
/// Far longer than two busy cores need for what is left after a crash.
const RESTS_WITHIN: Duration = Duration::from_mins(2);

const BUYERS: u64 = 16;
const ROUNDS: u32 = 20;
/// A call that died with its server is left alone for half a minute, a sweep comes every ten
/// seconds, and a call that met several faults waits up to a minute.
const RESTS_AFTER_ALL_WITHIN: Duration = Duration::from_mins(4);
const LIFE_MILLIS: std::ops::Range<u64> = 200..1500;
/// Never sold out, in however many rounds.
const TICKETS_A_ROUND: i64 = 400;

#[test]
fn no_crash_point_is_left_out() {
    fn read(folder: &Path, points: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, points);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let named = source.split("crash::point(\"").skip(1);
            points.extend(named.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    let mut points = BTreeSet::new();
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    for sources in ["src", "platform/src", "shop/src", "stripe/src"] {
        read(&server.join(sources), &mut points);
    }
    let here = FATAL.iter().map(|(name, ..)| *name);
    let tried = here.chain(FATAL_ELSEWHERE).map(str::to_owned).collect();
    assert_eq!(
        points, tried,
        "the source's, and those that the tests die at"
    );
}

#[test]
fn a_crash_point_that_does_not_read_ends_the_start_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let output = process::binary(folder.path(), &["serve"])
        .env("STAGEDOOR_CRASH_AT", "settled:0")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("error: STAGEDOOR_CRASH_AT: \"settled:0\""),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// One purchase that the server does not survive, and what becomes of it.
async fn die_at(database: Database, (point, nth, end): (&str, u32, End)) {
    // Whoever is to lapse does so soon, and nobody else.
    let seconds = if matches!(end, End::Expired) { 2 } else { 120 };
    let holds = Holds {
        seconds,
        grace_seconds: 1,
    };
    let mut shop = Shop::open(database, holds).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 3, 2500).await;
    let buyer = Client::sign_up(&shop.base, "buyer").await;

    let fatal = format!("{point}:{nth}");
    shop.kill().await;
    shop.start(Some(&fatal)).await;
    let warned = format!("STAGEDOOR_CRASH_AT={fatal}: THIS PROCESS WILL ABORT ITSELF THERE");
    assert!(shop.server_log().contains(&warned));
    let told = purchase(&buyer, &seller, &event, end).await;
    shop.aborts_within(DIES_WITHIN).await;

    let tables = shop.tables().await;
    // The time of what it was at is over: half a minute of waiting less.
    sqlx::query("UPDATE payment_effects SET next_at = 0 WHERE state = 'pending'")
        .execute(&tables)
        .await
        .unwrap();
    shop.start(None).await;
    checks::comes_to_rest_within(&tables, RESTS_WITHIN).await;
    let mine = buyer.get("/api/orders").await.expect(200);
    let mine = mine["orders"].as_array().unwrap();
    assert_eq!(mine.len(), 1, "{fatal}");
    let order = mine[0]["id"].as_str().unwrap();
    let status = match end {
        End::Expired => "expired",
        End::Complete => "complete",
        End::Refunded => "refunded",
    };
    assert_eq!(checks::status_of(&tables, order).await, status, "{fatal}");
    assert!(told.orders.keys().all(|known| known == order), "{fatal}");
    checks::assert_answers_stand(&tables, &told).await;
    checks::assert_sound(&shop.stripe, shop.audit(), &tables).await;
    let left = if matches!(end, End::Expired) { 3 } else { 1 };
    let other = Client::sign_up(&shop.base, "other").await;
    other.reserve_any(&event, left).await.expect(201);
    tables.close().await;
    shop.close().await;
}

/// Two tickets are reserved, paid and paid back, as far as the server lives.
async fn purchase(buyer: &Client, seller: &Client, event: &Value, end: End) -> Answered {
    let mut answered = Answered::default();
    let json = [("content-type", "application/json")];
    let post = async |client: &Client, path: &str, body: Value| {
        let answer = client.try_send("POST", path, &json, body.to_string()).await;
        answer.ok()
    };
    let wanted = json!({"eventId": event["id"], "quantity": 2});
    let Some(order) = post(buyer, "/api/orders", wanted).await else {
        return answered;
    };
    let order = order.expect(201)["id"].as_str().unwrap().to_owned();
    let told = answered.orders.entry(order.clone()).or_default();
    // Its bank waits for an answer that never comes.
    let card = if matches!(end, End::Expired) {
        "pm_card_threeDSecure2Required"
    } else {
        "pm_card_visa"
    };
    let body = json!({"orderId": order, "token": card});
    let Some(payment) = post(buyer, "/api/payments", body).await else {
        return answered;
    };
    let Some(payment) = decided(buyer, payment).await else {
        return answered;
    };
    told.captured = payment["status"] == "captured";
    assert!(told.captured || matches!(end, End::Expired), "{payment}");
    if matches!(end, End::Refunded) {
        told.refund = Refund::Asked;
        let refund = post(seller, "/api/refunds", json!({"orderId": order})).await;
        if refund.is_some_and(|refund| refund.expect(201)["status"] == "succeeded") {
            told.refund = Refund::Succeeded;
        }
    }
    answered
}

/// The payment of this answer once it is known how it ended, or that its buyer is to act; nothing if
/// the server died first. On a busy machine the first answer may be that it is being processed.
async fn decided(buyer: &Client, answer: Answer) -> Option<Value> {
    assert!([201, 202].contains(&answer.status), "{}", answer.text);
    let mut payment = answer.body;
    while payment["status"] == "processing" {
        tokio::time::sleep(LOOK_AGAIN).await;
        let path = path("payments", &payment);
        let asked = buyer.try_send("GET", &path, &[], "").await;
        payment = asked.ok()?.expect(200);
    }
    Some(payment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_nothing_on_sqlite() {
    stream::iter(FATAL)
        .for_each_concurrent(STORIES_AT_ONCE, |fatal| die_at(Database::sqlite(), fatal))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_nothing_on_postgres() {
    stream::iter(FATAL)
        .for_each_concurrent(STORIES_AT_ONCE, async |fatal| {
            die_at(Database::postgres().await, fatal).await;
        })
        .await;
}

/// Kills the server again and again while buyers pay, with Stripe at its worst beside it.
async fn kill_at_random(database: Database) {
    let rounds = rounds();
    let began = Instant::now();
    let mut random = seeded();
    let holds = Holds {
        seconds: 3,
        grace_seconds: 3,
    };
    let mut shop = Shop::open(database, holds).await;
    let crowd = Crowd::gather(Doors::to([&shop.base]), &shop.stripe, TICKETS_A_ROUND).await;
    let mut buyers = crowd.buyers(BUYERS, &mut random).await;
    for _ in 0..rounds {
        break_stripe(&shop.stripe, &mut random).await;
        let life = Duration::from_millis(random.random_range(LIFE_MILLIS));
        tokio::time::sleep(life).await;
        shop.kill().await;
        shop.start(None).await;
        crowd
            .seller
            .batch(&crowd.event, TICKETS_A_ROUND, 2500)
            .await;
        while let Some(ended) = buyers.try_join_next() {
            ended.unwrap();
        }
    }
    let killed = began.elapsed();
    crowd.has_enough.store(true, Ordering::SeqCst);
    while let Some(ended) = buyers.join_next().await {
        ended.unwrap();
    }
    mend_stripe(&shop.stripe).await;
    let tables = shop.tables().await;
    checks::comes_to_rest_within(&tables, RESTS_AFTER_ALL_WITHIN).await;
    let answered = std::mem::take(&mut *crowd.answered.lock().unwrap());
    println!("{}", answered.summary());
    println!("{killed:?} of kills, at rest after {:?}", began.elapsed());
    checks::assert_answers_stand(&tables, &answered).await;
    checks::assert_sound(&shop.stripe, shop.audit(), &tables).await;
    tables.close().await;
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

/// In most rounds Stripe, or the line to it, fails now and then as well.
pub async fn break_stripe(stripe: &str, random: &mut StdRng) {
    const OF_CALLS: [&str; 6] = [
        "error_before",
        "error_after",
        "reset_before",
        "reset_after",
        "rate_limited",
        "slow",
    ];
    const OF_WEBHOOKS: [&str; 4] = ["duplicate", "reorder", "drop", "bad_signature"];
    let mut faults = Vec::new();
    for _ in 0..random.random_range(0..3) {
        let fault = OF_CALLS[random.random_range(0..OF_CALLS.len())];
        faults.push(json!({"call": "*", "fault": fault, "times": random.random_range(1..4)}));
        let fault = OF_WEBHOOKS[random.random_range(0..OF_WEBHOOKS.len())];
        faults
            .push(json!({"call": "webhooks", "fault": fault, "times": random.random_range(1..4)}));
    }
    let answer = Client::new(stripe)
        .post("/double/faults", json!({"faults": faults}))
        .await;
    answer.expect_2xx();
}

pub async fn mend_stripe(stripe: &str) {
    let answer = Client::new(stripe).delete("/double/faults").await;
    answer.expect_2xx();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_random_keeps_what_it_said_on_sqlite() {
    kill_at_random(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_random_keeps_what_it_said_on_postgres() {
    kill_at_random(Database::postgres().await).await;
}
