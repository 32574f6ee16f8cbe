//! Queues mails to the people on the waiting list when tickets become available.

use super::periodic::PeriodicTask;
use shop::waiting::WaitingListNotifier;
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "waiting list",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(5),
};

pub(super) async fn run(notifier: WaitingListNotifier) {
    let notifier = Arc::new(notifier);
    let run_once = || {
        let notifier = Arc::clone(&notifier);
        async move { notifier.notify_due().await.map(|_| ()) }
    };
    TASK.run(run_once).await;
}
