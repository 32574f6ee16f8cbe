//! Cleans the queue of expiry jobs in Redis. Each step is atomic, so every worker may do it.

use super::periodic::PeriodicTask;
use shop::expiration::QueueCleaner;
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "expiry queue",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(5),
};

pub(super) async fn run(redis: redis::Client) {
    let cleaner = Arc::new(QueueCleaner::new(redis));
    let run_once = || {
        let cleaner = Arc::clone(&cleaner);
        async move {
            cleaner.clean().await;
            Ok(())
        }
    };
    TASK.run(run_once).await;
}
