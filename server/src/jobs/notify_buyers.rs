//! Queues mails to the buyers of events whose title, time or place has changed.

use super::periodic::PeriodicTask;
use shop::events::changes::Changes;
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "changed events",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(5),
};

pub(super) async fn run(changes: Changes) {
    let changes = Arc::new(changes);
    let run_once = || {
        let changes = Arc::clone(&changes);
        async move { changes.tell_due().await.map(|_| ()) }
    };
    TASK.run(run_once).await;
}
