//! Tidies the queue of expiry jobs in Redis. Each step is atomic, so every worker may do it.

use super::periodic::PeriodicTask;
use shop::expiration::QueueTidier;
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "expiry queue",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(5),
};

pub(super) async fn run(redis: redis::Client) {
    let tidier = Arc::new(QueueTidier::new(redis));
    let run_once = || {
        let tidier = Arc::clone(&tidier);
        async move {
            tidier.tidy().await;
            Ok(())
        }
    };
    TASK.run(run_once).await;
}
