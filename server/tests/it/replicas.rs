//! Two processes of one shop: what they share through Redis, and their behaviour without it.

use crate::{
    expiry::Redis,
    live::Listener,
    support::{App, Client, Jobs, client::PASSWORD, database::Database},
};
use apalis::prelude::{TaskBuilder, TaskSink};
use apalis_redis::{Config, RedisStorage};
use model::ids::OrderId;
use serde_json::{Value, json};
use shop::expiration::ExpireOrder;
use std::time::{Duration, Instant, UNIX_EPOCH};

const QUEUE: &str = "stagedoor:expire-order";
/// The queue is cleaned up every ten seconds, and a worker counts as dead after fifteen.
const CLEANUP_TIMEOUT: Duration = Duration::from_mins(2);
const EVENT_TIMEOUT: Duration = Duration::from_secs(1);

struct TwoProcesses {
    first: App,
    second: App,
    redis: Redis,
}

impl TwoProcesses {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let jobs = Jobs::InRedis(redis.url.clone());
        let first = App::start_with(Database::postgres().await, jobs).await;
        let second = first.beside(&redis.url).await;
        Self {
            first,
            second,
            redis,
        }
    }

    async fn close(self) {
        self.second.close().await;
        self.first.close().await;
    }
}

async fn fetch_name(client: &Client) -> Value {
    client.get("/api/user/currentuser").await.expect(200)["currentUser"]["name"].clone()
}

async fn is_signed_in(client: &Client) -> bool {
    client.get("/api/orders").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_changed_at_one_process_is_changed_at_the_other_at_once() {
    let two = TwoProcesses::start().await;
    let here = two.first.user("ann").await;
    let there = here.at(&two.second.base);
    for round in 0..3 {
        // After this, both processes have cached the user in Redis.
        for _ in 0..2 {
            fetch_name(&here).await;
            fetch_name(&there).await;
        }
        let name = format!("Ann the {round}th");
        let fields = [("name", name.as_str())];
        here.form("/fn/accounts/rename", "/account", &fields).await;
        assert_eq!(fetch_name(&there).await, name);
        assert_eq!(fetch_name(&here).await, name);
    }
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_at_one_process_is_ended_at_the_other() {
    let two = TwoProcesses::start().await;
    let here = two.first.user("ann").await;
    let password = json!({"email": here.email, "password": PASSWORD});
    let elsewhere = Client::new(&two.second.base);
    let signed_in = elsewhere.post("/api/user/signin", password.clone()).await;
    signed_in.expect(200);
    let third = Client::new(&two.first.base);
    third.post("/api/user/signin", password).await.expect(200);
    for client in [&here, &elsewhere, &third] {
        assert!(is_signed_in(&client.at(&two.first.base)).await);
        assert!(is_signed_in(&client.at(&two.second.base)).await);
    }
    third
        .post("/api/user/signout", json!({}))
        .await
        .expect_2xx();
    assert!(!is_signed_in(&third.at(&two.second.base)).await);
    // Ends all other sessions of the user, through the second process.
    let ended = here.at(&two.second.base).delete("/api/user/sessions").await;
    assert_eq!(ended.status, 204);
    assert!(
        is_signed_in(&here).await,
        "the session of the request was ended"
    );
    for base in [&two.first.base, &two.second.base] {
        assert!(!is_signed_in(&elsewhere.at(base)).await);
    }
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_loses_its_data_or_stops_ends_no_session() {
    let two = TwoProcesses::start().await;
    let here = two.first.user("ann").await;
    let there = here.at(&two.second.base);
    assert!(is_signed_in(&here).await && is_signed_in(&there).await);
    two.redis.ask("FLUSHALL").await.unwrap();
    assert!(is_signed_in(&here).await && is_signed_in(&there).await);
    let TwoProcesses {
        first,
        second,
        redis,
    } = two;
    drop(redis);
    let ready = there.get("/readyz").await.expect(200);
    assert_eq!(ready["queue"], "away", "{ready}");
    assert!(is_signed_in(&here).await && is_signed_in(&there).await);
    let again = json!({"email": here.email, "password": PASSWORD});
    there.post("/api/user/signin", again).await.expect(200);
    there
        .post("/api/user/signout", json!({}))
        .await
        .expect_2xx();
    assert!(!is_signed_in(&here.at(&second.base)).await);
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_limits_are_shared_with_redis_and_per_process_without() {
    let two = TwoProcesses::start().await;
    two.first.limits_on();
    two.second.limits_on();
    let ann = two.first.user("ann").await;
    let sign_in_with_wrong_password = |client: &Client| {
        let body = json!({"email": client.email, "password": "not this one"});
        let client = client.clone();
        async move { client.post("/api/user/signin", body).await }
    };
    for base in [&two.first.base, &two.second.base] {
        for _ in 0..5 {
            sign_in_with_wrong_password(&ann.at(base))
                .await
                .refused(401, "bad_credentials");
        }
    }
    for base in [&two.first.base, &two.second.base] {
        let refused = sign_in_with_wrong_password(&ann.at(base)).await;
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((540..=600).contains(&seconds), "{seconds}");
        refused.refused(429, "too_many_requests");
    }
    let TwoProcesses {
        first,
        second,
        redis,
    } = two;
    drop(redis);
    let bob = first.user("bob").await;
    for _ in 0..10 {
        sign_in_with_wrong_password(&bob)
            .await
            .refused(401, "bad_credentials");
    }
    sign_in_with_wrong_password(&bob)
        .await
        .refused(429, "too_many_requests");
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_of_one_process_shows_reservations_at_the_other_within_a_second() {
    let two = TwoProcesses::start().await;
    let (seller, buyer) = (
        two.first.user("seller").await,
        two.first.user("buyer").await,
    );
    let event = seller.event().await;
    let mut here = Listener::open(&two.first.base, &event, None).await;
    let mut there = Listener::open(&two.second.base, &event, None).await;
    // A busy machine adds delays that vary: the shortest one is closest to the shop's own.
    let measure = async |here: &mut Listener, there: &mut Listener| {
        let ticket = seller.ticket(&event, 2500).await;
        let began = Instant::now();
        buyer.reserve(&[&ticket]).await.expect(201);
        here.until(&ticket, "reserved").await;
        there.until(&ticket, "reserved").await;
        began.elapsed()
    };
    let assert_fast = async |here: &mut Listener, there: &mut Listener| {
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            fastest = fastest.min(measure(here, there).await);
        }
        assert!(fastest < EVENT_TIMEOUT, "{fastest:?}");
    };
    assert_fast(&mut here, &mut there).await;
    let TwoProcesses {
        first,
        second,
        redis,
    } = two;
    drop(redis);
    assert_fast(&mut here, &mut there).await;
    drop((here, there));
    second.close().await;
    first.close().await;
}

/// More jobs are overdue than apalis can fetch at once; without a limit it would fail forever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_many_overdue_jobs_and_broken_jobs_is_emptied() {
    let redis = Redis::start().await;
    let client = redis::Client::open(redis.url.as_str()).unwrap();
    let mut connection = client.get_connection_manager().await.unwrap();
    let config = Config::default().queue(QUEUE);
    let mut storage = RedisStorage::new(connection.clone()).with_config(config);
    let overdue = (0..10_000).map(|_| {
        let order = OrderId(uuid::Uuid::now_v7());
        TaskBuilder::new(ExpireOrder { order })
            .run_at_time(UNIX_EPOCH + Duration::from_secs(1))
            .build()
    });
    for task in overdue {
        storage.push_task(task).await.unwrap();
    }
    let push_broken_job = redis::cmd("RPUSH")
        .arg(format!("{QUEUE}:active"))
        .arg("a job without data")
        .to_owned();
    push_broken_job.exec_async(&mut connection).await.unwrap();

    let app = App::start_with(Database::sqlite(), Jobs::InRedis(redis.url.clone())).await;
    let began = Instant::now();
    let count_jobs = async |connection: &mut redis::aio::ConnectionManager| -> (i64, i64) {
        redis::pipe()
            .zcard(format!("{QUEUE}:scheduled"))
            .llen(format!("{QUEUE}:active"))
            .query_async(connection)
            .await
            .unwrap()
    };
    while count_jobs(&mut connection).await != (0, 0) {
        let remaining = count_jobs(&mut connection).await;
        assert!(
            began.elapsed() < CLEANUP_TIMEOUT,
            "{remaining:?} jobs remain"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // In a short queue, all jobs are fetched, and those of an ended worker are returned to the queue.
    push_broken_job.exec_async(&mut connection).await.unwrap();
    let order = OrderId(uuid::Uuid::now_v7());
    storage.push(ExpireOrder { order }).await.unwrap();
    // Old finished jobs are deleted.
    let began = Instant::now();
    loop {
        let (kept, done): (i64, Vec<String>) = redis::pipe()
            .hlen(format!("{QUEUE}:data"))
            .smembers(format!("{QUEUE}:done"))
            .query_async(&mut connection)
            .await
            .unwrap();
        if kept == 0 {
            break;
        }
        assert!(
            began.elapsed() < CLEANUP_TIMEOUT,
            "{kept} finished jobs are kept"
        );
        let mut backdate = redis::pipe();
        for id in &done {
            let meta = format!("{QUEUE}:meta:{id}");
            backdate.hset(meta, "done_at", 1).ignore();
        }
        // The remaining jobs may be unfinished, and an empty pipeline is an error.
        if !done.is_empty() {
            backdate.exec_async(&mut connection).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    app.close().await;
}
