//! Compares our payments with the provider's; the first time soon after the start.

use super::periodic::PeriodicTask;
use platform::telemetry::spans;
use shop::payments::Reconciler;
use std::{sync::Arc, time::Duration};
use tracing::Instrument;

const TASK: PeriodicTask = PeriodicTask {
    name: "reconciliation",
    period: Duration::from_hours(1),
    time_limit: Duration::from_hours(2),
};

pub(super) async fn run(reconciler: Reconciler) {
    let reconciler = Arc::new(reconciler);
    let run_once = || {
        let reconciler = Arc::clone(&reconciler);
        let compare = async move {
            let found = reconciler.reconcile().await?;
            tracing::info!(
                intents = found.intents,
                mended = found.mended,
                open = found.open,
                "compared payments with the provider's"
            );
            Ok(())
        };
        compare.instrument(spans::round(TASK.name))
    };
    TASK.run(run_once).await;
}
