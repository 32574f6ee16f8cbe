//! One process on SQLite, with a Redis and a NATS that it shares with nobody: neither of them needs
//! PostgreSQL, nor the other.

use super::services::Service;
use crate::{
    crash::{
        checks,
        process::{Holds, LOOK_AGAIN, Shop, UP_WITHIN},
    },
    support::{Client, broker, database::Database, sound},
};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_on_sqlite_works_with_redis_with_nats_and_with_both() {
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
    for set in [&both[..1], &both[1..], &both[..]] {
        shop.kill().await;
        shop.start_with(set).await;
        let seller = Client::sign_up(&shop.base, "seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let buyer = Client::sign_up(&shop.base, "buyer").await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay_to_the_end(&order).await;
    }
    // What happened while there was no NATS is told as well.
    let tables = shop.tables().await;
    let waits = "SELECT COUNT(*) AS n FROM outbox WHERE published_at IS NULL";
    let began = Instant::now();
    while sound::number(&tables, waits).await > 0 {
        assert!(began.elapsed() < UP_WITHIN, "events wait");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let told = sound::number(&tables, "SELECT COUNT(*) AS n FROM outbox").await;
    let sent = broker::in_order(&broker::messages(&nats_url).await).len();
    assert_eq!(sent, usize::try_from(told).unwrap());
    checks::assert_sound(&shop.stripe, shop.audit(), &tables).await;
    tables.close().await;
    shop.close().await;
}
