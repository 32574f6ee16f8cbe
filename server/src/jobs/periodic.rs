//! A task that runs again and again for as long as the process lives.
//!
//! Owns when a run starts, and what happens when one fails, panics or exceeds its time limit. What a
//! run does is up to the caller.

use platform::fault::{FaultResult, chain};
use std::time::Duration;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// A task that runs periodically.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeriodicTask {
    /// Its name in the log.
    pub name: &'static str,
    /// The time between the starts of two runs.
    pub period: Duration,
    /// How long one run may take. A lost connection to the database may never report an error, so a
    /// run is cancelled at whatever point it has reached, and the next one continues.
    pub time_limit: Duration,
}

impl PeriodicTask {
    /// Calls `run_once` at once and then every period, forever. A run that fails, panics or takes too
    /// long is logged, and does not prevent the next one.
    pub(super) async fn run<R>(self, run_once: impl Fn() -> R)
    where
        R: Future<Output = FaultResult<()>> + Send + 'static,
    {
        self.run_or_when(std::future::pending, run_once).await;
    }

    /// As [`PeriodicTask::run`], and also starts a run as soon as `woken` returns.
    pub(super) async fn run_or_when<W, R>(self, woken: impl Fn() -> W, run_once: impl Fn() -> R)
    where
        W: Future<Output = ()>,
        R: Future<Output = FaultResult<()>> + Send + 'static,
    {
        let of = self.name;
        let mut tick = interval(self.period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = woken() => {}
            }
            // A set, since it aborts the run if this task is dropped.
            let mut run = JoinSet::new();
            run.spawn(timeout(self.time_limit, run_once()));
            match run.join_next().await {
                None | Some(Ok(Ok(Ok(())))) => {}
                Some(Ok(Ok(Err(fault)))) => {
                    tracing::error!(of, error = chain(&fault), "a periodic task failed");
                }
                Some(Ok(Err(_))) => tracing::error!(of, "a periodic task exceeded its time limit"),
                Some(Err(panic)) => tracing::error!(of, error = %panic, "a periodic task panicked"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::fault::Fault;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };
    use tokio::sync::mpsc;

    const TASK: PeriodicTask = PeriodicTask {
        name: "test",
        period: Duration::from_secs(10),
        time_limit: Duration::from_mins(1),
    };

    /// The seconds at which the first `runs` runs start, where the first one does `first`.
    async fn run_starts<R>(first: fn() -> R, runs: usize) -> Vec<u64>
    where
        R: Future<Output = FaultResult<()>> + Send + 'static,
    {
        let (starts, mut started) = mpsc::unbounded_channel();
        let began = tokio::time::Instant::now();
        let number = Arc::new(AtomicU32::new(0));
        let task = tokio::spawn(TASK.run(move || {
            starts.send(began.elapsed().as_secs()).unwrap();
            let is_first = number.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if is_first { first().await } else { Ok(()) } }
        }));
        let mut all = Vec::new();
        while all.len() < runs {
            all.push(started.recv().await.unwrap());
        }
        task.abort();
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_runs_every_period() {
        assert_eq!(run_starts(|| async { Ok(()) }, 3).await, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_run_does_not_end_the_task() {
        let fails = || async { Err(Fault::unexpected("it fails", "on purpose")) };
        assert_eq!(run_starts(fails, 3).await, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_does_not_end_the_task() {
        let panics = || async { panic!("on purpose") };
        assert_eq!(run_starts(panics, 3).await, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_is_cancelled_at_its_time_limit() {
        let hangs = || async {
            std::future::pending::<()>().await;
            Ok(())
        };
        assert_eq!(run_starts(hangs, 3).await, [0, 60, 70]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_with_its_task() {
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let (starts, mut started) = mpsc::unbounded_channel();
        let task = tokio::spawn(TASK.run(move || {
            let alive = alive.clone();
            starts.send(()).unwrap();
            async move {
                std::future::pending::<()>().await;
                drop(alive);
                Ok(())
            }
        }));
        started.recv().await.unwrap();
        task.abort();
        // None: the run that held the sender is gone.
        assert_eq!(ended.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_woken_task_runs_before_its_period_is_over() {
        let wake = Arc::new(tokio::sync::Notify::new());
        let (starts, mut started) = mpsc::unbounded_channel();
        let woken = wake.clone();
        let task = tokio::spawn(TASK.run_or_when(
            move || {
                let woken = woken.clone();
                async move { woken.notified().await }
            },
            move || {
                starts.send(tokio::time::Instant::now()).unwrap();
                async { Ok(()) }
            },
        ));
        let first = started.recv().await.unwrap();
        wake.notify_one();
        assert_eq!(started.recv().await.unwrap(), first);
        task.abort();
    }
}
