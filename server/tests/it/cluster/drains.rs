//! A process that is asked to stop: what it says, what it still does, and how it ends. And what a
//! process of each role says of itself.

use super::set::{Set, Wants};
use crate::{
    crash::process::{Holds, LOOK_AGAIN},
    support::Client,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const DRAIN_SECONDS: u32 = 2;
const OUT_WITHIN: Duration = Duration::from_mins(1);

fn drained(hold_seconds: u32) -> Wants {
    Wants {
        drain_seconds: DRAIN_SECONDS,
        holds: Holds {
            seconds: hold_seconds,
            grace_seconds: 60,
        },
        ..Wants::default()
    }
}

/// Stripe takes a second and a half over the next call of this kind.
async fn stripe_is_slow(set: &Set, call: &str) {
    let fault = json!({"call": call, "fault": "slow"});
    let stripe = Client::new(&set.stripe);
    stripe.post("/double/faults", fault).await.expect_2xx();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_replica_that_is_asked_to_stop_finishes_what_it_has_begun() {
    let mut set = Set::start_with(drained(600)).await;
    let base = set.webs[1].base.clone();
    let seller = Client::sign_up(&base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 10, 2500).await;
    let (buyer, order) = buyer_with_order(&base, &event).await;
    let stream = format!("{base}/api/events/{}/stream", event["id"].as_str().unwrap());
    let mut page = reqwest::get(stream).await.unwrap();

    // Creating and capturing take 3 seconds: longer than the drain.
    stripe_is_slow(&set, "payment_intents.create").await;
    stripe_is_slow(&set, "payment_intents.capture").await;
    let paying = tokio::spawn({
        let (buyer, order) = (buyer.clone(), order.clone());
        async move { buyer.pay(&order, "pm_card_visa").await }
    });
    set.until_found(&calls_out(&order, "create")).await;
    // Before the signal: the process may well be busy with it by the time that this one goes on.
    let asked = Instant::now();
    set.webs[1].ask_to_stop();
    while set.webs[1].readiness().await.0 != 503 {
        // From then on it would not answer at all.
        let drained = asked.elapsed() >= Duration::from_secs(DRAIN_SECONDS.into());
        assert!(!drained, "it says nothing");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let (_, said) = set.webs[1].readiness().await;
    assert_eq!(
        (&said["ready"], &said["draining"]),
        (&false.into(), &true.into())
    );
    // Whoever has not noticed yet is served, and told to come by another connection.
    let served = buyer.order(&order).await;
    assert_eq!(served["id"], order["id"]);
    let last = buyer.get("/api/orders").await;
    assert_eq!((last.status, last.header("connection")), (200, "close"));

    // The stream ends in order, not in the middle of something.
    while page.chunk().await.unwrap().is_some() {}
    assert!(asked.elapsed() >= Duration::from_secs(DRAIN_SECONDS.into()));
    let paid = paying.await.unwrap();
    // Busy cores may take longer over it than a buyer is kept waiting.
    let told = [(201, "captured"), (202, "processing")];
    assert!(
        told.iter()
            .any(|(status, says)| paid.status == *status && paid.body["status"] == *says),
        "{}",
        paid.text
    );
    let status = set.webs[1].ends_within(OUT_WITHIN).await;
    assert!(status.success(), "{status}");
    assert!(reqwest::get(format!("{base}/healthz")).await.is_err());
    println!(
        "a web replica was out {:.1?} after it was asked",
        asked.elapsed()
    );
    let elsewhere = buyer.at(&set.webs[0].base);
    elsewhere.until_paid(paid).await;
    assert_eq!(elsewhere.order(&order).await["status"], "complete");
    set.close().await;
}

/// A buyer, and what they hold.
async fn buyer_with_order(base: &str, event: &Value) -> (Client, Value) {
    let buyer = Client::sign_up(base, "buyer").await;
    let order = buyer.reserve_any(event, 1).await.expect(201);
    (buyer, order)
}

/// The statement that counts the order's calls to Stripe which are out.
fn calls_out(order: &Value, kind: &str) -> String {
    let id = order["id"].as_str().unwrap();
    format!(
        "SELECT COUNT(*) AS n FROM payment_effects e JOIN payments p ON p.id = e.payment_id \
         WHERE p.order_id = '{id}' AND e.kind = '{kind}' AND e.tries > 0 AND e.state = 'pending'"
    )
}

/// A buyer has paid and gone, and a worker has the capture of it out when it is asked to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_asked_to_stop_settles_the_calls_that_it_has_out() {
    let mut set = Set::start_with(drained(4)).await;
    let base = set.webs[0].base.clone();
    let seller = Client::sign_up(&base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 10, 2500).await;
    let (buyer, order) = buyer_with_order(&base, &event).await;
    let payment = buyer
        .pay(&order, "pm_card_threeDSecure2Required")
        .await
        .expect(202);
    // Only one process is left to hear of it, and it is a worker.
    set.webs[1].kill().await;
    set.workers[1].kill().await;
    stripe_is_slow(&set, "payment_intents.capture").await;
    let (intent, secret) = (
        payment["stripeId"].as_str().unwrap(),
        payment["clientSecret"].as_str().unwrap(),
    );
    set.webs[0].kill().await;
    let bank = Client::new(&set.stripe);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = format!("client_secret={secret}&answer=approve");
    bank.send("POST", &format!("/bank/{intent}"), &form, answer)
        .await;
    // Nobody can tell it of the bank's answer: it looks by itself once the time to pay is over.
    set.until_found(&calls_out(&order, "capture")).await;
    set.workers[0].ask_to_stop();
    let status = set.workers[0].ends_within(OUT_WITHIN).await;
    assert!(status.success(), "{status}");
    let id = order["id"].as_str().unwrap();
    let complete =
        format!("SELECT COUNT(*) AS n FROM orders WHERE id = '{id}' AND status = 'complete'");
    assert_eq!(
        set.number(&complete).await,
        1,
        "settled, and not left to a lease"
    );
    set.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_says_what_it_is_ready_for() {
    let set = Set::start().await;
    for replica in set.webs.iter().chain(&set.workers) {
        let (status, said) = replica.readiness().await;
        assert_eq!(status, 200, "{said}");
        for part in ["database", "migrations", "queue", "jobs"] {
            assert_eq!(said[part], "ok", "{said}");
        }
        assert_eq!(
            (&said["ready"], &said["draining"]),
            (&true.into(), &false.into())
        );
        let up = replica.figure("stagedoor_redis_up").await;
        assert!((up - 1.0).abs() < f64::EPSILON, "{up}");
    }
    for worker in &set.workers {
        let nothing = Client::new(&worker.base).page("/").await;
        assert_eq!(nothing.status, 404, "a worker has no pages");
        let works = worker.figure("stagedoor_worker_up").await;
        assert!((works - 1.0).abs() < f64::EPSILON, "{works}");
    }
    for web in &set.webs {
        Client::new(&web.base).page("/").await.expect(200);
        let works = web.figure("stagedoor_worker_up").await;
        assert!(works.abs() < f64::EPSILON, "jobs are the workers': {works}");
    }
    set.close().await;
}
