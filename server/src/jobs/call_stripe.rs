//! Checks payments whose hold is about to end, makes the calls to Stripe that are due, and processes
//! stored webhooks. Also runs at once when a webhook arrives or an order expires.

use super::periodic::PeriodicTask;
use platform::telemetry::spans;
use shop::payments::Engine;
use std::{sync::Arc, time::Duration};
use tracing::Instrument;

/// A call that is cancelled at the time limit is made again once its lease is over.
const TASK: PeriodicTask = PeriodicTask {
    name: "calls",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(10),
};

pub(super) async fn run(engine: Arc<Engine>) {
    let run_once = || {
        let engine = Arc::clone(&engine);
        let call = async move {
            engine.refresh_stalled().await?;
            engine.drain().await?;
            Ok(())
        };
        call.instrument(spans::round(TASK.name))
    };
    TASK.run_or_when(|| engine.wait_for_wake(), run_once).await;
}
