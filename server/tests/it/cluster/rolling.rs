//! A new version in the place of the old one, replica by replica, while buyers come in through a load
//! balancer: not one of them notices.

use super::set::{Set, Wants, more_are_paid};
use crate::{crash::clients::Crowd, support::seeded};
use std::{sync::Arc, time::Duration};

const BUYERS: u64 = 8;
const TICKETS: i64 = 2000;
const PAID_BETWEEN: usize = 5;
/// Longer than a load balancer takes to see that a replica wants no more.
const DRAIN_SECONDS: u32 = 2;
const OUT_WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request_and_loses_no_job() {
    let mut random = seeded();
    let wants = Wants {
        drain_seconds: DRAIN_SECONDS,
        ..Wants::default()
    };
    let mut set = Set::start_with(wants).await;
    let crowd = Crowd::gather(set.doors(), &set.stripe, TICKETS).await;
    let balancer = tokio::spawn({
        let crowd = Arc::clone(&crowd);
        async move { crowd.doors.watch().await }
    });
    let buyers = crowd.buyers(BUYERS, &mut random).await;
    more_are_paid(&crowd, PAID_BETWEEN).await;
    for number in 0..2 {
        set.webs[number].ask_to_stop();
        crowd.doors.until(number, false).await;
        let status = set.webs[number].ends_within(OUT_WITHIN).await;
        assert!(status.success(), "{status}");
        set.launch_web(number);
        crowd.doors.until(number, true).await;
        more_are_paid(&crowd, PAID_BETWEEN).await;
    }
    for number in 0..2 {
        set.workers[number].ask_to_stop();
        let status = set.workers[number].ends_within(OUT_WITHIN).await;
        assert!(status.success(), "{status}");
        set.launch_worker(number);
        set.worker_is_ready(number).await;
        more_are_paid(&crowd, PAID_BETWEEN).await;
    }
    let cut_off = crowd.answered.lock().unwrap().cut_off;
    set.comes_through("a rolling restart of all four", &crowd, buyers)
        .await;
    assert_eq!(cut_off, 0, "requests failed");
    balancer.abort();
    set.close().await;
}
