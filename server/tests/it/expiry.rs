//! Expiry by the system's clock with each kind of queue: in the process, in Redis, and with a Redis that
//! never starts, is killed or loses its data.

use crate::support::{App, Client, Jobs, SHORT_HOLD_SECONDS, database::Database};
use serde_json::Value;
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A job expires the order within this time after the hold's end; the sweep may take ten seconds longer.
const BY_JOB: Duration = Duration::from_secs(4);
pub const BY_SWEEP: Duration = Duration::from_secs(20);
const STARTS_WITHIN: Duration = Duration::from_mins(1);
/// On a busy machine a hold may end before the other buyer has requested the ticket.
const TRIES: usize = 10;
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A private Redis, stopped on drop.
pub struct Redis {
    process: Child,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Redis {
    pub async fn start() -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts: `make setup` installs it");
        let redis = Self {
            process,
            url: format!("redis://127.0.0.1:{port}"),
            _folder: folder,
        };
        let began = Instant::now();
        while redis.ask("PING").await.is_err() {
            assert!(began.elapsed() < STARTS_WITHIN, "Redis does not answer");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        redis
    }

    pub async fn ask(&self, command: &str) -> redis::RedisResult<String> {
        let client = redis::Client::open(self.url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd(command).query_async(&mut connection).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub struct Story {
    app: App,
    ann: Client,
    pub bob: Client,
    pub ticket: Value,
    order: Value,
    /// The hold ends between these two times, because it began while Ann's request was in progress.
    ends_from: Instant,
    ended_by: Instant,
}

/// Starts a shop in which Ann holds a ticket and Bob has been refused it.
pub async fn held(database: Database, jobs: Jobs) -> Story {
    let app = App::start_with(database, jobs).await;
    let (seller, ann, bob) = (
        app.user("seller").await,
        app.user("ann").await,
        app.user("bob").await,
    );
    let event = seller.event().await;
    let hold = Duration::from_secs(u64::try_from(SHORT_HOLD_SECONDS).unwrap());
    for _ in 0..TRIES {
        let ticket = seller.ticket(&event, 2500).await;
        let before = Instant::now();
        let order = ann.reserve(&[&ticket]).await.expect(201);
        let (ends_from, ended_by) = (before + hold, Instant::now() + hold);
        let refused = bob.reserve(&[&ticket]).await;
        if refused.status == 201 {
            assert!(Instant::now() >= ends_from, "the ticket was reserved twice");
            continue;
        }
        refused.refused(409, "ticket_reserved");
        return Story {
            app,
            ann,
            bob,
            ticket,
            order,
            ends_from,
            ended_by,
        };
    }
    panic!("{TRIES} holds ended before the other request");
}

impl Story {
    /// Waits for the domain event `OrderExpired`.
    pub async fn expired_within(&self, limit: Duration) {
        let has_expired =
            |events: Vec<(String, i64)>| events.iter().any(|(kind, _)| kind == "OrderExpired");
        while !has_expired(self.app.events_of(&self.order).await) {
            assert!(
                Instant::now() < self.ended_by + limit,
                "the order was not expired"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        assert!(
            Instant::now() >= self.ends_from,
            "the order expired before the hold ended"
        );
        assert_eq!(self.ann.order(&self.order).await["status"], "expired");
        self.app.assert_tables().await;
    }

    /// Checks that Bob can reserve the ticket at the hold's end, and not before.
    pub async fn sellable_at_the_holds_end(&self) {
        // An answer reflects some time between the request and the response.
        loop {
            let asked = Instant::now();
            let now = self.bob.ticket_now(&self.ticket).await;
            if now["status"] == "available" {
                assert!(Instant::now() >= self.ends_from, "{now}");
                break;
            }
            assert!(asked < self.ended_by, "{now}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        self.bob.reserve(&[&self.ticket]).await.expect(201);
        assert_eq!(self.ann.order(&self.order).await["status"], "expired");
        let seen = self.bob.get("/api/orders").await.expect(200);
        let reserved = &seen["orders"][0]["tickets"][0];
        assert_eq!(reserved["id"], self.ticket["id"], "Bob has the ticket");
        self.app.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_the_process_expires_the_order_on_time() {
    held(Database::sqlite(), Jobs::InProcess)
        .await
        .expired_within(BY_JOB)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_redis_expires_the_order_on_time() {
    let redis = Redis::start().await;
    let jobs = Jobs::InRedis(redis.url.clone());
    let story = held(Database::postgres().await, jobs).await;
    story.expired_within(BY_JOB).await;
    story.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_redis_that_never_starts_the_ticket_is_sellable_and_the_sweep_expires_the_order() {
    let jobs = || Jobs::InRedis(format!("redis://127.0.0.1:{}", free_port()));
    let sellable = async {
        held(Database::sqlite(), jobs())
            .await
            .sellable_at_the_holds_end()
            .await;
    };
    let expired = async {
        held(Database::sqlite(), jobs())
            .await
            .expired_within(BY_SWEEP)
            .await;
    };
    tokio::join!(sellable, expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_redis_that_is_killed_the_ticket_is_sellable_at_the_holds_end() {
    let redis = Redis::start().await;
    let story = held(Database::postgres().await, Jobs::InRedis(redis.url.clone())).await;
    drop(redis);
    story.sellable_at_the_holds_end().await;
    story.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_redis_that_loses_its_data_the_ticket_is_sellable_and_the_sweep_expires_the_order() {
    let redis = Redis::start().await;
    let story = held(Database::sqlite(), Jobs::InRedis(redis.url.clone())).await;
    redis.ask("FLUSHALL").await.unwrap();
    story.expired_within(BY_SWEEP).await;
    let story = held(Database::sqlite(), Jobs::InRedis(redis.url.clone())).await;
    redis.ask("FLUSHALL").await.unwrap();
    story.sellable_at_the_holds_end().await;
}
