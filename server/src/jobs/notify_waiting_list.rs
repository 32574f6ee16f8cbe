//! Queues mails to the people on the waiting list when tickets become available.

use super::periodic::PeriodicTask;
use shop::waiting::Rounds;
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "waiting list",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(5),
};

pub(super) async fn run(rounds: Rounds) {
    let rounds = Arc::new(rounds);
    let run_once = || {
        let rounds = Arc::clone(&rounds);
        async move { rounds.tell_due().await.map(|_| ()) }
    };
    TASK.run(run_once).await;
}
