//! Redis, NATS and PostgreSQL stop and restart under load.

use super::{
    services::StopMode,
    set::{Cluster, ClusterOptions, wait_for_payments},
};
use crate::{
    crash::{clients::Workload, process::POLL_INTERVAL},
    support::{
        Client,
        broker::{self, Message},
        client, seeded,
    },
};
use serde_json::Value;
use sqlx::Row;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const BUYERS: u64 = 8;
const TICKETS: i64 = 2000;
/// The relay waits up to half a minute between two tries.
const RELAY_TIMEOUT: Duration = Duration::from_mins(1);
const PAYMENTS_PER_PHASE: usize = 6;
const RESERVE_INTERVAL: Duration = Duration::from_millis(250);
/// A worker of the queue counts as dead after fifteen seconds.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(1);
/// `secondsLeft` is rounded up by less than this.
const ROUNDING: Duration = Duration::from_secs(1);

/// A buyer reserves a ticket and does not pay: asserts that the ticket is for sale at the hold's end, and not
/// before.
async fn assert_hold_ends_on_time(cluster: &Cluster) {
    let seller = Client::sign_up(&cluster.web_replicas[0].base, "seller").await;
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let buyer = Client::sign_up(&cluster.web_replicas[1].base, "buyer").await;
    let requested_at = Instant::now();
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    let hold = Duration::from_secs(order["secondsLeft"].as_u64().unwrap());
    let earliest_end = (requested_at + hold).checked_sub(ROUNDING).unwrap();
    let latest_end = Instant::now() + hold;
    // An answer may be slow, but it was true at some moment between its request and its arrival.
    loop {
        let asked_at = Instant::now();
        if buyer.ticket_now(&ticket).await["status"] == "available" {
            assert!(Instant::now() >= earliest_end, "the hold ended too early");
            break;
        }
        assert!(asked_at < latest_end, "the hold ended too late");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let next = Client::sign_up(&cluster.web_replicas[0].base, "next").await;
    next.reserve(&[&ticket]).await.expect(201);
}

/// Asserts that jobs of the queue expire orders, not only the sweep: a buyer reserves tickets repeatedly
/// until a job has expired an order.
async fn assert_queue_expires_orders(cluster: &Cluster) {
    let expired_by_jobs = async || {
        let mut total = 0.0;
        for worker in &cluster.workers {
            total += worker
                .fetch_metric("stagedoor_jobs_expired_orders_total")
                .await;
        }
        total
    };
    let seller = Client::sign_up(&cluster.web_replicas[0].base, "seller").await;
    let event = seller.event().await;
    let buyer = Client::sign_up(&cluster.web_replicas[1].base, "buyer").await;
    let before = expired_by_jobs().await;
    let began = Instant::now();
    while expired_by_jobs().await <= before {
        assert!(
            began.elapsed() < QUEUE_TIMEOUT,
            "no job has expired an order"
        );
        // A new ticket for each order, because another reservation of the ticket would expire the order.
        let ticket = seller.ticket(&event, 2500).await;
        buyer.reserve(&[&ticket]).await.expect(201);
        tokio::time::sleep(RESERVE_INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stops_and_loses_its_data_under_load_delays_no_sale() {
    let mut random = seeded();
    let mut cluster = Cluster::start().await;
    let workload = Workload::prepare(cluster.web_urls(), &cluster.stripe, TICKETS).await;
    let buyers = workload.start_buyers(BUYERS, &mut random).await;
    assert_queue_expires_orders(&cluster).await;

    cluster.redis.stop(StopMode::Kill).await;
    for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
        replica.wait_for_status("queue", "away").await;
        let (status, body) = replica.fetch_readiness().await;
        assert_eq!(status, 200, "not ready without Redis: {body}");
        let up = replica.fetch_metric("stagedoor_redis_up").await;
        assert!(up.abs() < f64::EPSILON, "{up}");
    }
    wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    assert_hold_ends_on_time(&cluster).await;

    // Redis restarts without data.
    cluster.redis.start().await;
    for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
        replica.wait_for_status("queue", "ok").await;
    }
    assert_queue_expires_orders(&cluster).await;

    cluster.redis.run_redis_command("FLUSHALL").await;
    wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    assert_hold_ends_on_time(&cluster).await;
    assert_queue_expires_orders(&cluster).await;
    let interruption = "Redis killed, started empty, and flushed";
    cluster
        .assert_consistent_after(interruption, &workload, buyers)
        .await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_that_stops_under_load_gets_every_event_after_its_restart() {
    let mut random = seeded();
    let mut cluster = Cluster::start().await;
    let workload = Workload::prepare(cluster.web_urls(), &cluster.stripe, TICKETS).await;
    let buyers = workload.start_buyers(BUYERS, &mut random).await;
    wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    for _ in 0..2 {
        cluster.nats.stop(StopMode::Kill).await;
        for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
            replica.wait_for_status("events", "away").await;
            assert_eq!(replica.fetch_readiness().await.0, 200);
        }
        wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
        cluster.nats.start().await;
        for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
            replica.wait_for_status("events", "ok").await;
        }
        wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    }
    cluster
        .assert_consistent_after("NATS killed twice", &workload, buyers)
        .await;
    let appended = cluster.number("SELECT COUNT(*) AS n FROM outbox").await;
    let sent = assert_events_match_database(&cluster).await;
    assert_eq!(sent, usize::try_from(appended).unwrap());
    println!("NATS killed twice: {sent} events in order, which match the tickets and orders");
    cluster.close().await;
}

/// Waits until the relay has sent all events, and asserts that tickets and orders that are computed from
/// the events alone equal those of the database. Returns the number of events.
async fn assert_events_match_database(cluster: &Cluster) -> usize {
    let unpublished = "SELECT COUNT(*) AS n FROM outbox WHERE published_at IS NULL";
    let began = Instant::now();
    while cluster.number(unpublished).await > 0 {
        assert!(began.elapsed() < RELAY_TIMEOUT, "events are unpublished");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let messages = broker::messages(&cluster.nats.url()).await;
    broker::in_order(&messages);
    let db = cluster.connect_database().await;
    for (aggregate, sql) in [
        (
            "ticket",
            "SELECT id, version, CASE WHEN state = 'listed' THEN 'available' ELSE '' END AS says \
             FROM tickets",
        ),
        ("order", "SELECT id, version, status AS says FROM orders"),
    ] {
        let rows = sqlx::query(sql).fetch_all(&db).await.unwrap();
        let stored: BTreeMap<String, (i64, String)> = rows
            .iter()
            .map(|row| (row.get("id"), (row.get("version"), row.get("says"))))
            .collect();
        let mut computed = BTreeMap::new();
        let of_this_type = |message: &&Message| message.event["aggregateType"] == aggregate;
        for message in messages.iter().filter(of_this_type) {
            let event = &message.event;
            let id = event["aggregateId"].as_str().unwrap().to_owned();
            let status = event["data"]["status"].as_str().unwrap();
            let state = if aggregate == "order" || status == "available" {
                status
            } else {
                ""
            };
            computed.insert(id, (event["version"].as_i64().unwrap(), state.to_owned()));
        }
        let different: Vec<_> = stored
            .iter()
            .filter(|(id, row)| computed.get(*id) != Some(*row))
            .collect();
        assert!(
            different.is_empty(),
            "{aggregate}s computed from events differ from {different:?}"
        );
        assert_eq!(computed.len(), stored.len(), "{aggregate}s");
    }
    db.close().await;
    messages.len()
}

/// A user who requests pages and signs in repeatedly, and counts successes and 503s. Asserts that every
/// answer is 200, or 503 with `Retry-After`: in particular, no session is refused.
struct Reader {
    client: Client,
    event: Value,
    stop: AtomicBool,
    successes: AtomicUsize,
    unavailable: AtomicUsize,
}

impl Reader {
    async fn start(
        cluster: &Cluster,
        workload: &Workload,
    ) -> (Arc<Self>, tokio::task::JoinHandle<()>) {
        let reader = Arc::new(Self {
            client: Client::sign_up(&cluster.web_replicas[0].base, "reader")
                .await
                .impatient(),
            event: workload.event.clone(),
            stop: false.into(),
            successes: 0.into(),
            unavailable: 0.into(),
        });
        let bases: Vec<String> = cluster
            .web_replicas
            .iter()
            .map(|web| web.base.clone())
            .collect();
        let running = tokio::spawn(reader.clone().read(bases));
        (reader, running)
    }

    async fn read(self: Arc<Self>, bases: Vec<String>) {
        let id = self.event["id"].as_str().unwrap();
        let password = serde_json::json!({
            "email": self.client.email, "password": client::PASSWORD,
        });
        for base in bases.iter().cycle() {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let signed_in = self.client.at(base);
            // Without cookies: a sign-in ends the browser's session first, even if it then fails.
            let anonymous = Client::new(base).impatient();
            let answers = [
                signed_in.page(&format!("/events/{id}")).await,
                signed_in.page("/orders").await,
                anonymous.post("/api/user/signin", password.clone()).await,
            ];
            for answer in answers {
                if answer.status == 200 {
                    self.successes.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                assert_eq!(answer.status, 503, "{}", answer.text);
                let after: u64 = answer.header("retry-after").parse().unwrap();
                assert!(after > 0 && !answer.text.is_empty());
                self.unavailable.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_restarts_under_load_causes_only_clean_503s() {
    let mut random = seeded();
    let options = ClusterOptions {
        own_postgres: true,
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::start_with(options).await;
    let workload = Workload::prepare(cluster.web_urls(), &cluster.stripe, TICKETS).await;
    let buyers = workload.start_buyers(BUYERS, &mut random).await;
    let (reader, reading) = Reader::start(&cluster, &workload).await;
    wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    for mode in [StopMode::Fast, StopMode::Immediate, StopMode::Fast] {
        cluster.postgres.as_mut().unwrap().stop(mode).await;
        for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
            replica.wait_for_status("database", "away").await;
            assert_eq!(replica.fetch_readiness().await.0, 503);
        }
        cluster.postgres.as_mut().unwrap().start().await;
        for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
            replica.wait_for_status("database", "ok").await;
        }
        wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    }
    wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    reader.stop.store(true, Ordering::SeqCst);
    reading.await.unwrap();
    let unavailable = reader.unavailable.load(Ordering::SeqCst);
    assert!(unavailable > 0, "the reader got no 503");
    println!(
        "PostgreSQL restarted: {} pages and sign-ins, {unavailable} answers 503",
        reader.successes.load(Ordering::SeqCst)
    );
    let interruption = "PostgreSQL restarted three times";
    cluster
        .assert_consistent_after(interruption, &workload, buyers)
        .await;
    for replica in cluster.web_replicas.iter().chain(&cluster.workers) {
        let log = cluster.read_log(replica);
        assert!(!log.contains("unexpected error"), "a 500: {log}");
    }
    cluster.close().await;
}
