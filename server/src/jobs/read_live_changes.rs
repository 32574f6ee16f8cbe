//! Reads the outbox for browsers that follow an event's tickets, while there are any.

use super::periodic::PeriodicTask;
use platform::outbox::Live;
use std::{sync::Arc, time::Duration};

/// Each read has a shorter time limit, and logs when it exceeds it.
const TASK: PeriodicTask = PeriodicTask {
    name: "live changes",
    period: Duration::from_millis(250),
    time_limit: Duration::from_mins(1),
};

pub(super) async fn run(live: Arc<Live>) {
    let run_once = || {
        let live = Arc::clone(&live);
        async move {
            live.poll_if_needed(TASK.period).await;
            Ok(())
        }
    };
    TASK.run(run_once).await;
}
