//! Queues mails to the buyers of events whose title, time or place has changed.

use super::periodic::PeriodicTask;
use shop::events::changes::ChangeNotifier;
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "changed events",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(5),
};

pub(super) async fn run(notifier: ChangeNotifier) {
    let notifier = Arc::new(notifier);
    let run_once = || {
        let notifier = Arc::clone(&notifier);
        async move { notifier.notify_due().await.map(|_| ()) }
    };
    TASK.run(run_once).await;
}
