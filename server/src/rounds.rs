//! Work that comes round by itself, for as long as the process lives: the sweep, the mails, the
//! waiting list. Owns when a round begins and what becomes of one that goes wrong; what is done in it
//! is its caller's.

use crate::fault::{FaultResult, chain};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// What comes round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// What it is called in the log.
    pub of: &'static str,
    /// How often it comes.
    pub every: Duration,
    /// How long it may take. A database that vanishes says nothing for ever: the round is cut short
    /// wherever it is, and the next one goes on.
    pub within: Duration,
}

impl Round {
    /// Goes round for ever. A round that fails, panics or takes too long is logged, and the next one
    /// comes all the same.
    pub async fn run<R>(self, round: impl Fn() -> R)
    where
        R: Future<Output = FaultResult<()>> + Send + 'static,
    {
        self.run_or_sooner(std::future::pending, round).await;
    }

    /// As [`Round::run`], and at once when `sooner` returns.
    pub async fn run_or_sooner<W, R>(self, sooner: impl Fn() -> W, round: impl Fn() -> R)
    where
        W: Future<Output = ()>,
        R: Future<Output = FaultResult<()>> + Send + 'static,
    {
        let of = self.of;
        let mut tick = interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = sooner() => {}
            }
            match tokio::spawn(timeout(self.within, round())).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(fault))) => {
                    tracing::error!(of, error = chain(&fault), "a round failed");
                }
                Ok(Err(_)) => tracing::error!(of, "a round took too long and was cut short"),
                Err(panic) => tracing::error!(of, error = %panic, "a round panicked"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };
    use tokio::sync::mpsc;

    const ROUND: Round = Round {
        of: "test",
        every: Duration::from_secs(10),
        within: Duration::from_mins(1),
    };

    /// Seconds of a clock that runs ahead, at which the first `rounds` rounds begin, where the first
    /// one does `first`.
    async fn begin_at<R>(first: fn() -> R, rounds: usize) -> Vec<u64>
    where
        R: Future<Output = FaultResult<()>> + Send + 'static,
    {
        let (begins, mut begun) = mpsc::unbounded_channel();
        let began = tokio::time::Instant::now();
        let number = Arc::new(AtomicU32::new(0));
        let going = tokio::spawn(ROUND.run(move || {
            begins.send(began.elapsed().as_secs()).unwrap();
            let is_first = number.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if is_first { first().await } else { Ok(()) } }
        }));
        let mut all = Vec::new();
        while all.len() < rounds {
            all.push(begun.recv().await.unwrap());
        }
        going.abort();
        all
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_come_again_and_again() {
        assert_eq!(begin_at(|| async { Ok(()) }, 3).await, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_ends_nothing() {
        let fails = || async { Err(Fault::unexpected("it fails", "on purpose")) };
        assert_eq!(begin_at(fails, 3).await, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_panics_ends_nothing() {
        let panics = || async { panic!("on purpose") };
        assert_eq!(begin_at(panics, 3).await, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hears_nothing_for_ever_is_cut_short() {
        let hangs = || async {
            std::future::pending::<()>().await;
            Ok(())
        };
        assert_eq!(begin_at(hangs, 3).await, [0, 60, 70]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_comes_sooner_when_it_is_asked_for() {
        let asked = Arc::new(tokio::sync::Notify::new());
        let (begins, mut begun) = mpsc::unbounded_channel();
        let sooner = asked.clone();
        let going = tokio::spawn(ROUND.run_or_sooner(
            move || {
                let sooner = sooner.clone();
                async move { sooner.notified().await }
            },
            move || {
                begins.send(tokio::time::Instant::now()).unwrap();
                async { Ok(()) }
            },
        ));
        let first = begun.recv().await.unwrap();
        asked.notify_one();
        assert_eq!(begun.recv().await.unwrap(), first);
        going.abort();
    }
}
