//! Single-flight: concurrent callers that want the same read share one execution.
//!
//! Under load, thousands of requests read one event, and each read counts all of its tickets. Callers
//! that arrive while a read is running share the next one. It starts after they called, so its result
//! is never older than that of a read of their own. Results are not cached, so nothing has to be
//! invalidated when a ticket changes.

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

type Flight<V> = BoxFuture<'static, V>;

/// Reads in progress, by key.
pub(crate) struct SingleFlight<K, V> {
    latest: Mutex<HashMap<K, Latest<V>>>,
}

/// The most recently created flight of a key, which may not have started.
struct Latest<V> {
    /// Dropped once no caller waits for it.
    flight: WeakShared<Flight<V>>,
    has_started: Arc<AtomicBool>,
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self {
            latest: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> SingleFlight<K, V> {
    /// Joins the flight of `key` that has not started yet, or creates one that executes `read` after
    /// the running one has ended.
    pub(crate) async fn run(&self, key: K, read: impl Future<Output = V> + Send + 'static) -> V {
        self.join(key, read).await
    }

    fn join(&self, key: K, read: impl Future<Output = V> + Send + 'static) -> Shared<Flight<V>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let current = latest.get(&key).and_then(|latest| {
            let flight = latest.flight.upgrade()?;
            Some((flight, latest.has_started.load(Ordering::SeqCst)))
        });
        let running = match current {
            Some((pending, false)) => return pending,
            Some((running, true)) => Some(running),
            None => None,
        };
        let has_started = Arc::new(AtomicBool::new(false));
        let started = has_started.clone();
        let flight = async move {
            if let Some(running) = running {
                running.await;
            }
            started.store(true, Ordering::SeqCst);
            read.await
        };
        let flight = flight.boxed().shared();
        latest.retain(|_, latest| latest.flight.upgrade().is_some());
        if let Some(flight) = flight.downgrade() {
            latest.insert(
                key,
                Latest {
                    flight,
                    has_started,
                },
            );
        }
        flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{future::join_all, poll};
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Semaphore;

    #[derive(Default)]
    struct Counts {
        started: AtomicUsize,
        finished: AtomicUsize,
    }

    /// Reads that end only when `permits` are added.
    struct Fixture {
        counts: Arc<Counts>,
        permits: Arc<Semaphore>,
        single_flight: SingleFlight<&'static str, usize>,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                counts: Arc::default(),
                permits: Arc::new(Semaphore::new(0)),
                single_flight: SingleFlight::default(),
            }
        }

        /// Joins a flight now, whenever the result is polled. A read returns its number, from 1.
        fn join(&self, key: &'static str) -> Shared<Flight<usize>> {
            let (counts, permits) = (self.counts.clone(), self.permits.clone());
            self.single_flight.join(key, async move {
                let number = counts.started.fetch_add(1, Ordering::SeqCst) + 1;
                permits.acquire().await.unwrap().forget();
                counts.finished.fetch_add(1, Ordering::SeqCst);
                number
            })
        }

        fn finished(&self) -> usize {
            self.counts.finished.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn callers_during_a_running_read_share_the_next_one() {
        let fixture = Fixture::new();
        let mut first = fixture.join("event");
        assert!(poll!(&mut first).is_pending(), "it is running");
        let others: Vec<_> = (0..50).map(|_| fixture.join("event")).collect();
        fixture.permits.add_permits(2);
        assert_eq!(first.await, 1);
        assert!(join_all(others).await.iter().all(|number| *number == 2));
        assert_eq!(fixture.finished(), 2);
    }

    #[tokio::test]
    async fn callers_before_a_read_starts_share_it() {
        let fixture = Fixture::new();
        let joined = [fixture.join("event"), fixture.join("event")];
        fixture.permits.add_permits(1);
        assert_eq!(join_all(joined).await, [1, 1]);
    }

    #[tokio::test]
    async fn a_result_is_not_cached() {
        let fixture = Fixture::new();
        fixture.permits.add_permits(2);
        assert_eq!(fixture.join("event").await, 1);
        assert_eq!(fixture.join("event").await, 2);
    }

    #[tokio::test]
    async fn reads_of_different_keys_run_concurrently() {
        let fixture = Fixture::new();
        let mut first = fixture.join("event");
        assert!(poll!(&mut first).is_pending());
        let mut other = fixture.join("another");
        assert!(poll!(&mut other).is_pending());
        assert_eq!(fixture.counts.started.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_caller_that_is_dropped_does_not_block_the_others() {
        let fixture = Fixture::new();
        let mut first = fixture.join("event");
        assert!(poll!(&mut first).is_pending());
        let (mut dropped, kept) = (fixture.join("event"), fixture.join("event"));
        assert!(poll!(&mut dropped).is_pending());
        drop((first, dropped));
        fixture.permits.add_permits(2);
        assert_eq!(kept.await, 2);
    }

    #[tokio::test]
    async fn flights_without_callers_are_removed() {
        let fixture = Fixture::new();
        for key in ["a", "b", "c"] {
            let mut joined = fixture.join(key);
            assert!(poll!(&mut joined).is_pending());
        }
        let _joined = fixture.join("d");
        let latest = fixture.single_flight.latest.lock().unwrap();
        assert_eq!(latest.keys().collect::<Vec<_>>(), [&"d"]);
    }
}
