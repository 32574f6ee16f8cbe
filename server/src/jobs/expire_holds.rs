//! Expires the orders whose hold is over and that no job of the queue has expired. Stripe is called
//! beside it (`call_stripe.rs`), so holds end on time however long Stripe takes to answer.

use super::periodic::PeriodicTask;
use platform::telemetry::spans;
use shop::expiration::Sweeper;
use std::{sync::Arc, time::Duration};
use tracing::Instrument;

const TASK: PeriodicTask = PeriodicTask {
    name: "expiry",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(1),
};

pub(super) async fn run(sweeper: Arc<Sweeper>) {
    let run_once = || {
        let sweeper = Arc::clone(&sweeper);
        let expire = async move { sweeper.expire_due().await.map(|_| ()) };
        expire.instrument(spans::round(TASK.name))
    };
    TASK.run(run_once).await;
}
