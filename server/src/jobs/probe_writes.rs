//! Checks that the database accepts writes.

use super::periodic::PeriodicTask;
use platform::{clock::SharedClock, db::Db, write_probe::WriteProbe};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// An attempt limits its write and its read to ten seconds each.
const TASK: PeriodicTask = PeriodicTask {
    name: "write probe",
    period: Duration::from_secs(10),
    time_limit: Duration::from_mins(1),
};

pub(super) async fn run(probe: Arc<WriteProbe>, db: Db, clock: SharedClock) {
    let process: Arc<str> = Uuid::now_v7().to_string().into();
    let delayed = Arc::new(AtomicU32::new(0));
    let run_once = || {
        let (probe, process, delayed) = (probe.clone(), process.clone(), delayed.clone());
        let (db, clock) = (db.clone(), clock.clone());
        async move {
            let before = delayed.load(Ordering::Relaxed);
            let after = probe.try_once(&db, &clock, &process, before).await;
            delayed.store(after, Ordering::Relaxed);
            Ok(())
        }
    };
    TASK.run(run_once).await;
}
