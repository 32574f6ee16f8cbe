//! Web replicas and workers are killed and restarted under load.

use super::set::{Cluster, wait_for_payments};
use crate::{
    crash::{clear_stripe_faults, clients::Workload, inject_stripe_faults},
    support::seeded,
};
use rand::RngExt;
use std::time::Duration;

const BUYERS: u64 = 8;
const ROUNDS: u32 = 6;
const UPTIME_MILLIS: std::ops::Range<u64> = 300..1500;
/// Enough that the event is never sold out, however many rounds there are.
const TICKETS_PER_ROUND: i64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_killed_under_load_lose_nothing_that_was_answered() {
    let mut random = seeded();
    let mut cluster = Cluster::start().await;
    let workload = Workload::prepare(cluster.web_urls(), &cluster.stripe, TICKETS_PER_ROUND).await;
    let buyers = workload.start_buyers(BUYERS, &mut random).await;
    let rounds = rounds();
    for round in 0..rounds {
        inject_stripe_faults(&cluster.stripe, &mut random).await;
        let uptime = Duration::from_millis(random.random_range(UPTIME_MILLIS));
        tokio::time::sleep(uptime).await;
        let number = random.random_range(0..2);
        if round % 2 == 0 {
            cluster.web_replicas[number].kill().await;
            // The other replica continues alone.
            wait_for_payments(&workload, 2).await;
            cluster.launch_web(number);
            cluster.wait_for_web(number).await;
        } else {
            cluster.workers[number].kill().await;
            wait_for_payments(&workload, 2).await;
            cluster.launch_worker(number);
            cluster.wait_for_worker(number).await;
        }
        workload
            .seller
            .batch(&workload.event, TICKETS_PER_ROUND, 2500)
            .await;
    }
    clear_stripe_faults(&cluster.stripe).await;
    let interruption = format!("{rounds} kills of web replicas and workers");
    cluster
        .assert_consistent_after(&interruption, &workload, buyers)
        .await;
    cluster.close().await;
}

/// `make soak` sets a higher number.
fn rounds() -> u32 {
    let rounds = std::env::var("STAGEDOOR_CLUSTER_ROUNDS").unwrap_or_default();
    match rounds.as_str() {
        "" => ROUNDS,
        rounds => rounds
            .parse()
            .expect("STAGEDOOR_CLUSTER_ROUNDS is a number"),
    }
}
