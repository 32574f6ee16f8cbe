//! Two processes of one shop: what they share through Redis, and how they work without it.

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
/// The queue is tidied every ten seconds, and a worker counts as dead after fifteen.
const TIDY_WITHIN: Duration = Duration::from_mins(2);
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

struct Two {
    one: App,
    other: App,
    redis: Redis,
}

impl Two {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let jobs = Jobs::InRedis(redis.url.clone());
        let one = App::start_with(Database::postgres().await, jobs).await;
        let other = one.beside(&redis.url).await;
        Self { one, other, redis }
    }

    async fn close(self) {
        self.other.close().await;
        self.one.close().await;
    }
}

async fn name_seen(client: &Client) -> Value {
    client.get("/api/user/currentuser").await.expect(200)["currentUser"]["name"].clone()
}

async fn is_signed_in(client: &Client) -> bool {
    client.get("/api/orders").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_changes_of_a_user_the_other_knows_at_once() {
    let two = Two::start().await;
    let here = two.one.user("ann").await;
    let there = here.at(&two.other.base);
    for round in 0..3 {
        // Both processes have cached it in Redis by now.
        for _ in 0..2 {
            name_seen(&here).await;
            name_seen(&there).await;
        }
        let name = format!("Ann the {round}th");
        let fields = [("name", name.as_str())];
        here.form("/fn/accounts/rename", "/account", &fields).await;
        assert_eq!(name_seen(&there).await, name);
        assert_eq!(name_seen(&here).await, name);
    }
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_out_at_one_is_signed_out_at_the_other() {
    let two = Two::start().await;
    let here = two.one.user("ann").await;
    let password = json!({"email": here.email, "password": PASSWORD});
    let elsewhere = Client::new(&two.other.base);
    let signed_in = elsewhere.post("/api/user/signin", password.clone()).await;
    signed_in.expect(200);
    let third = Client::new(&two.one.base);
    third.post("/api/user/signin", password).await.expect(200);
    for client in [&here, &elsewhere, &third] {
        assert!(is_signed_in(&client.at(&two.one.base)).await);
        assert!(is_signed_in(&client.at(&two.other.base)).await);
    }
    third
        .post("/api/user/signout", json!({}))
        .await
        .expect_2xx();
    assert!(!is_signed_in(&third.at(&two.other.base)).await);
    // Signs out everywhere else, through the other process.
    let all = here.at(&two.other.base).delete("/api/user/sessions").await;
    assert_eq!(all.status, 204);
    assert!(is_signed_in(&here).await, "who asked stays");
    for base in [&two.one.base, &two.other.base] {
        assert!(!is_signed_in(&elsewhere.at(base)).await);
    }
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_or_dies_signs_nobody_out() {
    let two = Two::start().await;
    let here = two.one.user("ann").await;
    let there = here.at(&two.other.base);
    assert!(is_signed_in(&here).await && is_signed_in(&there).await);
    two.redis.ask("FLUSHALL").await.unwrap();
    assert!(is_signed_in(&here).await && is_signed_in(&there).await);
    let Two { one, other, redis } = two;
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
    assert!(!is_signed_in(&here.at(&other.base)).await);
    other.close().await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_are_counted_by_both_together_and_by_each_without_redis() {
    let two = Two::start().await;
    two.one.limits_on();
    two.other.limits_on();
    let ann = two.one.user("ann").await;
    let wrong = |client: &Client| {
        let body = json!({"email": client.email, "password": "not this one"});
        let client = client.clone();
        async move { client.post("/api/user/signin", body).await }
    };
    for base in [&two.one.base, &two.other.base] {
        for _ in 0..5 {
            wrong(&ann.at(base)).await.refused(401, "bad_credentials");
        }
    }
    for base in [&two.one.base, &two.other.base] {
        let refused = wrong(&ann.at(base)).await;
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((540..=600).contains(&seconds), "{seconds}");
        refused.refused(429, "too_many_requests");
    }
    let Two { one, other, redis } = two;
    drop(redis);
    let bob = one.user("bob").await;
    for _ in 0..10 {
        wrong(&bob).await.refused(401, "bad_credentials");
    }
    wrong(&bob).await.refused(429, "too_many_requests");
    other.close().await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_at_one_shows_on_pages_of_the_other_within_a_second() {
    let two = Two::start().await;
    let (seller, buyer) = (two.one.user("seller").await, two.one.user("buyer").await);
    let event = seller.event().await;
    let mut here = Listener::open(&two.one.base, &event, None).await;
    let mut there = Listener::open(&two.other.base, &event, None).await;
    // The delay of a busy machine varies: the fastest try shows the shop's own time.
    let shown = async |here: &mut Listener, there: &mut Listener| {
        let ticket = seller.ticket(&event, 2500).await;
        let began = Instant::now();
        buyer.reserve(&[&ticket]).await.expect(201);
        here.until(&ticket, "reserved").await;
        there.until(&ticket, "reserved").await;
        began.elapsed()
    };
    let fastest = async |here: &mut Listener, there: &mut Listener| {
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            fastest = fastest.min(shown(here, there).await);
        }
        assert!(fastest < SHOWN_WITHIN, "{fastest:?}");
    };
    fastest(&mut here, &mut there).await;
    let Two { one, other, redis } = two;
    drop(redis);
    fastest(&mut here, &mut there).await;
    drop((here, there));
    other.close().await;
    one.close().await;
}

/// More jobs are due than apalis can hand out at once, on which it would fail forever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_too_much_due_and_with_broken_jobs_comes_to_rest() {
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
    let broken = redis::cmd("RPUSH")
        .arg(format!("{QUEUE}:active"))
        .arg("a job without data")
        .to_owned();
    broken.exec_async(&mut connection).await.unwrap();

    let app = App::start_with(Database::sqlite(), Jobs::InRedis(redis.url.clone())).await;
    let began = Instant::now();
    let left = async |connection: &mut redis::aio::ConnectionManager| -> (i64, i64) {
        redis::pipe()
            .zcard(format!("{QUEUE}:scheduled"))
            .llen(format!("{QUEUE}:active"))
            .query_async(connection)
            .await
            .unwrap()
    };
    while left(&mut connection).await != (0, 0) {
        let stands = left(&mut connection).await;
        assert!(began.elapsed() < TIDY_WITHIN, "{stands:?} are left");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // A short queue is handed out completely, and jobs of a worker that ended are returned to it.
    broken.exec_async(&mut connection).await.unwrap();
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
        assert!(began.elapsed() < TIDY_WITHIN, "{kept} jobs are kept");
        let mut long_ago = redis::pipe();
        for id in &done {
            let meta = format!("{QUEUE}:meta:{id}");
            long_ago.hset(meta, "done_at", 1).ignore();
        }
        // The jobs left may not be done yet, and Redis accepts no command without arguments.
        if !done.is_empty() {
            long_ago.exec_async(&mut connection).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    app.close().await;
}
