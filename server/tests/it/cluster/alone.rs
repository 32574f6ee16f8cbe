//! One process on SQLite with Redis, with NATS, or with both: neither needs PostgreSQL or the other.

use super::services::Service;
use crate::{
    crash::{
        checks,
        process::{Holds, POLL_INTERVAL, Shop, WAIT_TIMEOUT},
    },
    support::{Client, broker, database::Database, sound},
};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_on_sqlite_works_with_redis_with_nats_or_with_both() {
    let (redis, nats) = tokio::join!(Service::redis(), Service::nats());
    let (redis_url, nats_url) = (redis.url(), nats.url());
    let holds = Holds {
        seconds: 60,
        grace_seconds: 1,
    };
    let mut shop = Shop::open(Database::sqlite(), holds).await;
    let both = [
        ("REDIS_URL", redis_url.as_str()),
        ("NATS_URL", nats_url.as_str()),
    ];
    for urls in [&both[..1], &both[1..], &both[..]] {
        shop.kill().await;
        shop.start_with(urls).await;
        let seller = Client::sign_up(&shop.base, "seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let buyer = Client::sign_up(&shop.base, "buyer").await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay_to_the_end(&order).await;
    }
    // Events from before NATS was configured are sent, too.
    let db = shop.connect_database().await;
    let unpublished = "SELECT COUNT(*) AS n FROM outbox WHERE published_at IS NULL";
    let began = Instant::now();
    while sound::number(&db, unpublished).await > 0 {
        assert!(began.elapsed() < WAIT_TIMEOUT, "events are unpublished");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let events = sound::number(&db, "SELECT COUNT(*) AS n FROM outbox").await;
    let sent = broker::in_order(&broker::messages(&nats_url).await).len();
    assert_eq!(sent, usize::try_from(events).unwrap());
    checks::assert_sound(&shop.stripe, shop.audit_command(), &db).await;
    db.close().await;
    shop.close().await;
}
