//! Deletes the tickets of abandoned batches of listings. Also runs at once when this process abandons
//! a batch.

use super::periodic::PeriodicTask;
use shop::tickets::TicketsService;
use std::time::Duration;

const TASK: PeriodicTask = PeriodicTask {
    name: "abandoned listings",
    period: Duration::from_secs(15),
    time_limit: Duration::from_mins(5),
};

pub(super) async fn run(tickets: TicketsService) {
    let run_once = || {
        let tickets = tickets.clone();
        async move { tickets.delete_abandoned_batches().await }
    };
    TASK.run_or_when(|| tickets.wait_for_abandoned_batch(), run_once)
        .await;
}
