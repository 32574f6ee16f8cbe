//! Processes that are killed in the middle of a rush: nobody is told, nothing is flushed.

use super::set::{Set, more_are_paid};
use crate::{
    crash::{break_stripe, clients::Crowd, mend_stripe},
    support::seeded,
};
use rand::RngExt;
use std::time::Duration;

const BUYERS: u64 = 8;
const ROUNDS: u32 = 6;
const LIFE_MILLIS: std::ops::Range<u64> = 300..1500;
/// Never sold out, in however many rounds.
const TICKETS_A_ROUND: i64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_killed_in_a_rush_lose_nothing_that_was_answered() {
    let mut random = seeded();
    let mut set = Set::start().await;
    let crowd = Crowd::gather(set.doors(), &set.stripe, TICKETS_A_ROUND).await;
    let buyers = crowd.buyers(BUYERS, &mut random).await;
    let rounds = rounds();
    for round in 0..rounds {
        break_stripe(&set.stripe, &mut random).await;
        let life = Duration::from_millis(random.random_range(LIFE_MILLIS));
        tokio::time::sleep(life).await;
        let number = random.random_range(0..2);
        if round % 2 == 0 {
            set.webs[number].kill().await;
            // The other goes on alone.
            more_are_paid(&crowd, 2).await;
            set.launch_web(number);
            set.web_is_ready(number).await;
        } else {
            set.workers[number].kill().await;
            more_are_paid(&crowd, 2).await;
            set.launch_worker(number);
            set.worker_is_ready(number).await;
        }
        crowd
            .seller
            .batch(&crowd.event, TICKETS_A_ROUND, 2500)
            .await;
    }
    mend_stripe(&set.stripe).await;
    let what = format!("{rounds} kills of web replicas and workers");
    set.comes_through(&what, &crowd, buyers).await;
    set.close().await;
}

/// `make soak` sets more.
fn rounds() -> u32 {
    let set = std::env::var("STAGEDOOR_CLUSTER_ROUNDS").unwrap_or_default();
    match set.as_str() {
        "" => ROUNDS,
        set => set.parse().expect("STAGEDOOR_CLUSTER_ROUNDS is a number"),
    }
}
