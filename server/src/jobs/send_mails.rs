//! Sends the mails that are due.

use super::periodic::PeriodicTask;
use shop::letters::Mailer;
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "mails",
    period: Duration::from_secs(3),
    time_limit: Duration::from_mins(10),
};

pub(super) async fn run(mailer: Arc<Mailer>) {
    let run_once = || {
        let mailer = Arc::clone(&mailer);
        async move { mailer.send_due().await.map(|_| ()) }
    };
    TASK.run(run_once).await;
}
