//! Services that go away in the middle of a rush and come back: Redis, NATS, PostgreSQL.

use super::{
    services::Stop,
    set::{Set, Wants, more_are_paid},
};
use crate::{
    crash::{clients::Crowd, process::LOOK_AGAIN},
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
const CAUGHT_UP_WITHIN: Duration = Duration::from_mins(1);
const PAID_MEANWHILE: usize = 6;
const LEAVES_EVERY: Duration = Duration::from_millis(250);
/// A worker of before counts as dead after a quarter of a minute.
const QUEUE_WORKS_WITHIN: Duration = Duration::from_mins(1);
/// `secondsLeft` is rounded up.
const ROUNDED: Duration = Duration::from_secs(1);

/// Somebody reserves a ticket and walks away: at the hold's end, and not before, it is for sale.
async fn a_hold_ends_on_time(set: &Set) {
    let seller = Client::sign_up(&set.webs[0].base, "seller").await;
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let buyer = Client::sign_up(&set.webs[1].base, "buyer").await;
    let before = Instant::now();
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    let hold = Duration::from_secs(order["secondsLeft"].as_u64().unwrap());
    let ends_from = (before + hold).checked_sub(ROUNDED).unwrap();
    let ended_by = Instant::now() + hold;
    // However long an answer takes: it is true of some moment between the question and itself.
    loop {
        let asked = Instant::now();
        if buyer.ticket_now(&ticket).await["status"] == "available" {
            assert!(Instant::now() >= ends_from, "the hold is not over");
            break;
        }
        assert!(asked < ended_by, "the hold is over");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let next = Client::sign_up(&set.webs[0].base, "next").await;
    next.reserve(&[&ticket]).await.expect(201);
}

/// Jobs of the queue, not the sweep alone, expire orders: of those that somebody leaves one after the
/// other, some job has had one.
async fn the_queue_works(set: &Set) {
    let done = async || {
        let mut done = 0.0;
        for worker in &set.workers {
            done += worker.figure("stagedoor_jobs_expired_orders_total").await;
        }
        done
    };
    let seller = Client::sign_up(&set.webs[0].base, "seller").await;
    let event = seller.event().await;
    let buyer = Client::sign_up(&set.webs[1].base, "buyer").await;
    let before = done().await;
    let began = Instant::now();
    while done().await <= before {
        assert!(
            began.elapsed() < QUEUE_WORKS_WITHIN,
            "no job has expired an order"
        );
        // One that nobody else wants: a rival would expire the order.
        let ticket = seller.ticket(&event, 2500).await;
        buyer.reserve(&[&ticket]).await.expect(201);
        tokio::time::sleep(LEAVES_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stops_and_forgets_in_a_rush_delays_no_sale() {
    let mut random = seeded();
    let mut set = Set::start().await;
    let crowd = Crowd::gather(set.doors(), &set.stripe, TICKETS).await;
    let buyers = crowd.buyers(BUYERS, &mut random).await;
    the_queue_works(&set).await;

    set.redis.stop(Stop::Kill).await;
    for replica in set.webs.iter().chain(&set.workers) {
        replica.until_it_says("queue", "away").await;
        let (status, body) = replica.readiness().await;
        assert_eq!(
            status, 200,
            "it is no reason to send buyers elsewhere: {body}"
        );
        let up = replica.figure("stagedoor_redis_up").await;
        assert!(up.abs() < f64::EPSILON, "{up}");
    }
    more_are_paid(&crowd, PAID_MEANWHILE).await;
    a_hold_ends_on_time(&set).await;

    // What it had is gone with it.
    set.redis.start().await;
    for replica in set.webs.iter().chain(&set.workers) {
        replica.until_it_says("queue", "ok").await;
    }
    the_queue_works(&set).await;

    set.redis.ask("FLUSHALL").await;
    more_are_paid(&crowd, PAID_MEANWHILE).await;
    a_hold_ends_on_time(&set).await;
    the_queue_works(&set).await;
    let what = "Redis killed, started empty, and flushed";
    set.comes_through(what, &crowd, buyers).await;
    set.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_that_stops_in_a_rush_gets_every_event_once_it_is_back() {
    let mut random = seeded();
    let mut set = Set::start().await;
    let crowd = Crowd::gather(set.doors(), &set.stripe, TICKETS).await;
    let buyers = crowd.buyers(BUYERS, &mut random).await;
    more_are_paid(&crowd, PAID_MEANWHILE).await;
    for _ in 0..2 {
        set.nats.stop(Stop::Kill).await;
        for replica in set.webs.iter().chain(&set.workers) {
            replica.until_it_says("events", "away").await;
            assert_eq!(replica.readiness().await.0, 200);
        }
        more_are_paid(&crowd, PAID_MEANWHILE).await;
        set.nats.start().await;
        for replica in set.webs.iter().chain(&set.workers) {
            replica.until_it_says("events", "ok").await;
        }
        more_are_paid(&crowd, PAID_MEANWHILE).await;
    }
    set.comes_through("NATS killed twice", &crowd, buyers).await;
    let told = set.number("SELECT COUNT(*) AS n FROM outbox").await;
    let read = the_events_say_what_the_database_says(&set).await;
    assert_eq!(read, usize::try_from(told).unwrap());
    println!(
        "NATS killed twice: {read} events, each aggregate's in order, and the same tickets and orders"
    );
    set.close().await;
}

/// Waits until the relay has sent all, reads it, and builds from it alone what tickets and orders
/// there are: just those that the database has. Returns how many events it were.
async fn the_events_say_what_the_database_says(set: &Set) -> usize {
    let waits = "SELECT COUNT(*) AS n FROM outbox WHERE published_at IS NULL";
    let began = Instant::now();
    while set.number(waits).await > 0 {
        assert!(began.elapsed() < CAUGHT_UP_WITHIN, "events wait");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let messages = broker::messages(&set.nats.url()).await;
    broker::in_order(&messages);
    let tables = set.tables().await;
    for (aggregate, sql) in [
        (
            "ticket",
            "SELECT id, version, CASE WHEN state = 'listed' THEN 'available' ELSE '' END AS says \
             FROM tickets",
        ),
        ("order", "SELECT id, version, status AS says FROM orders"),
    ] {
        let rows = sqlx::query(sql).fetch_all(&tables).await.unwrap();
        let kept: BTreeMap<String, (i64, String)> = rows
            .iter()
            .map(|row| (row.get("id"), (row.get("version"), row.get("says"))))
            .collect();
        let mut built = BTreeMap::new();
        let of_this = |message: &&Message| message.event["aggregateType"] == aggregate;
        for message in messages.iter().filter(of_this) {
            let event = &message.event;
            let id = event["aggregateId"].as_str().unwrap().to_owned();
            let status = event["data"]["status"].as_str().unwrap();
            let says = if aggregate == "order" || status == "available" {
                status
            } else {
                ""
            };
            built.insert(id, (event["version"].as_i64().unwrap(), says.to_owned()));
        }
        let differ: Vec<_> = kept
            .iter()
            .filter(|(id, is)| built.get(*id) != Some(*is))
            .collect();
        assert!(
            differ.is_empty(),
            "{aggregate}s by the events differ from {differ:?}"
        );
        assert_eq!(built.len(), kept.len(), "{aggregate}s");
    }
    tables.close().await;
    messages.len()
}

/// Somebody who looks at pages, and signs in on another device, whatever happens, and counts how
/// often it was not to be had. Every answer is what it should be, or a 503 that says when to come
/// again; who is signed in is never told that they are not.
struct Reader {
    client: Client,
    event: Value,
    goes_on: AtomicBool,
    seen: AtomicUsize,
    told_to_wait: AtomicUsize,
}

impl Reader {
    async fn begin(set: &Set, crowd: &Crowd) -> (Arc<Self>, tokio::task::JoinHandle<()>) {
        let reader = Arc::new(Self {
            client: Client::sign_up(&set.webs[0].base, "reader")
                .await
                .impatient(),
            event: crowd.event.clone(),
            goes_on: true.into(),
            seen: 0.into(),
            told_to_wait: 0.into(),
        });
        let bases: Vec<String> = set.webs.iter().map(|web| web.base.clone()).collect();
        let running = tokio::spawn(reader.clone().read(bases));
        (reader, running)
    }

    async fn read(self: Arc<Self>, bases: Vec<String>) {
        let id = self.event["id"].as_str().unwrap();
        let password = serde_json::json!({
            "email": self.client.email, "password": client::PASSWORD,
        });
        for base in bases.iter().cycle() {
            if !self.goes_on.load(Ordering::SeqCst) {
                return;
            }
            let here = self.client.at(base);
            // Signing in ends the session that the browser had, and may get no further than that.
            let elsewhere = Client::new(base).impatient();
            let answers = [
                here.page(&format!("/events/{id}")).await,
                here.page("/orders").await,
                elsewhere.post("/api/user/signin", password.clone()).await,
            ];
            for answer in answers {
                if answer.status == 200 {
                    self.seen.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                assert_eq!(answer.status, 503, "{}", answer.text);
                let after: u64 = answer.header("retry-after").parse().unwrap();
                assert!(after > 0 && !answer.text.is_empty());
                self.told_to_wait.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_restarts_in_a_rush_means_only_clean_503s() {
    let mut random = seeded();
    let wants = Wants {
        own_postgres: true,
        ..Wants::default()
    };
    let mut set = Set::start_with(wants).await;
    let crowd = Crowd::gather(set.doors(), &set.stripe, TICKETS).await;
    let buyers = crowd.buyers(BUYERS, &mut random).await;
    let (reader, reading) = Reader::begin(&set, &crowd).await;
    more_are_paid(&crowd, PAID_MEANWHILE).await;
    for how in [Stop::Fast, Stop::Immediate, Stop::Fast] {
        set.postgres.as_mut().unwrap().stop(how).await;
        for replica in set.webs.iter().chain(&set.workers) {
            replica.until_it_says("database", "away").await;
            assert_eq!(replica.readiness().await.0, 503);
        }
        set.postgres.as_mut().unwrap().start().await;
        for replica in set.webs.iter().chain(&set.workers) {
            replica.until_it_says("database", "ok").await;
        }
        more_are_paid(&crowd, PAID_MEANWHILE).await;
    }
    more_are_paid(&crowd, PAID_MEANWHILE).await;
    reader.goes_on.store(false, Ordering::SeqCst);
    reading.await.unwrap();
    let waited = reader.told_to_wait.load(Ordering::SeqCst);
    assert!(waited > 0, "the reader has met it");
    println!(
        "PostgreSQL restarted: {} pages and sign-ins, {waited} told to wait",
        reader.seen.load(Ordering::SeqCst)
    );
    let what = "PostgreSQL restarted three times";
    set.comes_through(what, &crowd, buyers).await;
    for replica in set.webs.iter().chain(&set.workers) {
        let log = set.log_of(replica);
        assert!(!log.contains("unexpected error"), "a 500: {log}");
    }
    set.close().await;
}
