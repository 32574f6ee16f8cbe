//! A rolling restart behind a load balancer: replicas and workers are replaced one by one, and no request
//! fails.

use super::set::{Cluster, ClusterOptions, wait_for_payments};
use crate::{crash::clients::Workload, support::seeded};
use std::{sync::Arc, time::Duration};

const BUYERS: u64 = 8;
const TICKETS: i64 = 2000;
const PAYMENTS_PER_PHASE: usize = 5;
/// Longer than the load balancer takes to notice that a replica is not ready.
const DRAIN_SECONDS: u32 = 2;
const EXIT_TIMEOUT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request_and_loses_no_job() {
    let mut random = seeded();
    let options = ClusterOptions {
        drain_seconds: DRAIN_SECONDS,
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::start_with(options).await;
    let workload = Workload::prepare(cluster.web_urls(), &cluster.stripe, TICKETS).await;
    let balancer = tokio::spawn({
        let workload = Arc::clone(&workload);
        async move { workload.shop_urls.poll_readiness().await }
    });
    let buyers = workload.start_buyers(BUYERS, &mut random).await;
    wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    for number in 0..2 {
        cluster.web_replicas[number].ask_to_stop();
        workload.shop_urls.wait_for_readiness(number, false).await;
        let status = cluster.web_replicas[number]
            .wait_for_exit(EXIT_TIMEOUT)
            .await;
        assert!(status.success(), "{status}");
        cluster.launch_web(number);
        workload.shop_urls.wait_for_readiness(number, true).await;
        wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    }
    for number in 0..2 {
        cluster.workers[number].ask_to_stop();
        let status = cluster.workers[number].wait_for_exit(EXIT_TIMEOUT).await;
        assert!(status.success(), "{status}");
        cluster.launch_worker(number);
        cluster.wait_for_worker(number).await;
        wait_for_payments(&workload, PAYMENTS_PER_PHASE).await;
    }
    let unanswered = workload.answers.lock().unwrap().unanswered;
    cluster
        .assert_consistent_after("a rolling restart of all four", &workload, buyers)
        .await;
    assert_eq!(unanswered, 0, "unanswered requests");
    balancer.abort();
    cluster.close().await;
}
