//! Graceful shutdown of web replicas and workers, and the readiness and metrics of each role.

use super::set::{Cluster, ClusterOptions};
use crate::{
    crash::process::{Holds, POLL_INTERVAL},
    support::Client,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const DRAIN_SECONDS: u32 = 2;
const EXIT_TIMEOUT: Duration = Duration::from_mins(1);

fn drain_options(hold_seconds: u32) -> ClusterOptions {
    ClusterOptions {
        drain_seconds: DRAIN_SECONDS,
        holds: Holds {
            seconds: hold_seconds,
            grace_seconds: 60,
        },
        ..ClusterOptions::default()
    }
}

/// Makes Stripe take a second and a half for the next call of this kind.
async fn slow_next_stripe_call(cluster: &Cluster, call: &str) {
    let fault = json!({"call": call, "fault": "slow"});
    let stripe = Client::new(&cluster.stripe);
    stripe.post("/double/faults", fault).await.expect_2xx();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_replica_finishes_its_requests_after_sigterm() {
    let mut cluster = Cluster::start_with(drain_options(600)).await;
    let base = cluster.web_replicas[1].base.clone();
    let seller = Client::sign_up(&base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 10, 2500).await;
    let (buyer, order) = reserve_as_new_buyer(&base, &event).await;
    let stream = format!("{base}/api/events/{}/stream", event["id"].as_str().unwrap());
    let mut events = reqwest::get(stream).await.unwrap();

    // Creating and capturing take 3 seconds: longer than the drain.
    slow_next_stripe_call(&cluster, "payment_intents.create").await;
    slow_next_stripe_call(&cluster, "payment_intents.capture").await;
    let paying = tokio::spawn({
        let (buyer, order) = (buyer.clone(), order.clone());
        async move { buyer.pay(&order, "pm_card_visa").await }
    });
    cluster
        .wait_until_found(&started_calls_sql(&order, "create"))
        .await;
    // Read before the signal, because this process may be delayed after it.
    let signalled = Instant::now();
    cluster.web_replicas[1].ask_to_stop();
    while cluster.web_replicas[1].fetch_readiness().await.0 != 503 {
        // After the drain it would not answer at all.
        let drain_is_over = signalled.elapsed() >= Duration::from_secs(DRAIN_SECONDS.into());
        assert!(!drain_is_over, "/readyz was not 503 during the drain");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let (_, body) = cluster.web_replicas[1].fetch_readiness().await;
    assert_eq!(
        (&body["ready"], &body["draining"]),
        (&false.into(), &true.into())
    );
    // Requests on open connections are still served, and then the connection is closed.
    let served = buyer.order(&order).await;
    assert_eq!(served["id"], order["id"]);
    let last = buyer.get("/api/orders").await;
    assert_eq!((last.status, last.header("connection")), (200, "close"));

    // The event stream is completed, not reset.
    while events.chunk().await.unwrap().is_some() {}
    assert!(signalled.elapsed() >= Duration::from_secs(DRAIN_SECONDS.into()));
    let paid = paying.await.unwrap();
    // On busy cores the payment may take longer than a request waits for it.
    let allowed = [(201, "captured"), (202, "processing")];
    assert!(
        allowed
            .iter()
            .any(|(status, payment)| paid.status == *status && paid.body["status"] == *payment),
        "{}",
        paid.text
    );
    let status = cluster.web_replicas[1].wait_for_exit(EXIT_TIMEOUT).await;
    assert!(status.success(), "{status}");
    assert!(reqwest::get(format!("{base}/healthz")).await.is_err());
    println!(
        "a web replica exited {:.1?} after SIGTERM",
        signalled.elapsed()
    );
    let buyer = buyer.at(&cluster.web_replicas[0].base);
    buyer.until_paid(paid).await;
    assert_eq!(buyer.order(&order).await["status"], "complete");
    cluster.close().await;
}

/// Signs up a buyer who reserves one ticket. Returns the buyer and the order.
async fn reserve_as_new_buyer(base: &str, event: &Value) -> (Client, Value) {
    let buyer = Client::sign_up(base, "buyer").await;
    let order = buyer.reserve_any(event, 1).await.expect(201);
    (buyer, order)
}

/// The statement that counts the order's started calls to Stripe whose answer is not stored.
fn started_calls_sql(order: &Value, kind: &str) -> String {
    let id = order["id"].as_str().unwrap();
    format!(
        "SELECT COUNT(*) AS n FROM payment_effects e JOIN payments p ON p.id = e.payment_id \
         WHERE p.order_id = '{id}' AND e.kind = '{kind}' AND e.tries > 0 AND e.state = 'pending'"
    )
}

/// The worker is signalled while it waits for the answer of a capture.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_settles_its_started_calls_after_sigterm() {
    let mut cluster = Cluster::start_with(drain_options(4)).await;
    let base = cluster.web_replicas[0].base.clone();
    let seller = Client::sign_up(&base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 10, 2500).await;
    let (buyer, order) = reserve_as_new_buyer(&base, &event).await;
    let payment = buyer
        .pay(&order, "pm_card_threeDSecure2Required")
        .await
        .expect(202);
    // Leaves one worker as the only process.
    cluster.web_replicas[1].kill().await;
    cluster.workers[1].kill().await;
    slow_next_stripe_call(&cluster, "payment_intents.capture").await;
    let (intent, secret) = (
        payment["stripeId"].as_str().unwrap(),
        payment["clientSecret"].as_str().unwrap(),
    );
    cluster.web_replicas[0].kill().await;
    let bank = Client::new(&cluster.stripe);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = format!("client_secret={secret}&answer=approve");
    bank.send("POST", &format!("/bank/{intent}"), &form, answer)
        .await;
    // No web replica receives the webhook: the worker requests the payment after the end of the hold.
    cluster
        .wait_until_found(&started_calls_sql(&order, "capture"))
        .await;
    cluster.workers[0].ask_to_stop();
    let status = cluster.workers[0].wait_for_exit(EXIT_TIMEOUT).await;
    assert!(status.success(), "{status}");
    let id = order["id"].as_str().unwrap();
    let complete =
        format!("SELECT COUNT(*) AS n FROM orders WHERE id = '{id}' AND status = 'complete'");
    assert_eq!(
        cluster.number(&complete).await,
        1,
        "the capture was not settled before the exit"
    );
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_reports_its_readiness_and_metrics() {
    let cluster = Cluster::start().await;
    for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
        let (status, body) = replica.fetch_readiness().await;
        assert_eq!(status, 200, "{body}");
        for part in ["database", "migrations", "queue", "jobs"] {
            assert_eq!(body[part], "ok", "{body}");
        }
        assert_eq!(
            (&body["ready"], &body["draining"]),
            (&true.into(), &false.into())
        );
        let up = replica.fetch_metric("stagedoor_redis_up").await;
        assert!((up - 1.0).abs() < f64::EPSILON, "{up}");
    }
    for worker in &cluster.workers {
        let page = Client::new(&worker.base).page("/").await;
        assert_eq!(page.status, 404, "a worker serves no pages");
        let up = worker.fetch_metric("stagedoor_worker_up").await;
        assert!((up - 1.0).abs() < f64::EPSILON, "{up}");
    }
    for web in &cluster.web_replicas {
        Client::new(&web.base).page("/").await.expect(200);
        let up = web.fetch_metric("stagedoor_worker_up").await;
        assert!(
            up.abs() < f64::EPSILON,
            "a web replica runs no worker: {up}"
        );
    }
    cluster.close().await;
}
