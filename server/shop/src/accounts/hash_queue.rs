//! A fair queue of permits to hash a password: a bounded number at once, handed out to networks in
//! turn (round robin), so that a network with many requests delays only itself.
//!
//! Owns the queue of this process. It does not hash, and does not limit attempts (`attempts.rs`).

use ipnet::IpNet;
use model::error::AppError;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// After this time, the caller gets `Unavailable`.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Over all networks.
const WAITING_MAX: usize = 1024;
/// When a network's queue is full.
const RETRY_SECONDS: i64 = 2;

/// How many permits one network may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// At most at once.
    pub running: usize,
    /// At most waiting.
    pub waiting: usize,
}

impl Share {
    /// While limits are on. Enough for a school behind one address.
    pub(crate) const LIMITED: Self = Self {
        running: 4,
        waiting: 64,
    };
    /// While limits are off.
    pub(crate) const UNLIMITED: Self = Self {
        running: usize::MAX,
        waiting: usize::MAX,
    };
}

/// Hands out permits.
#[derive(Debug)]
pub(crate) struct HashQueue {
    running_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    networks: HashMap<IpNet, Network>,
    /// The networks with waiting requests, the next one first.
    round: VecDeque<IpNet>,
}

#[derive(Debug, Default)]
struct Network {
    running: usize,
    running_max: usize,
    waiting: VecDeque<oneshot::Sender<HashPermit>>,
}

/// Permission to hash one password. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct HashPermit {
    queue: Arc<HashQueue>,
    network: IpNet,
    /// False: its receiver had gone, and it was not counted.
    counted: bool,
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        if self.counted {
            let mut state = self.queue.lock();
            state.count_ended(self.network);
            self.queue.hand_out(&mut state);
        }
    }
}

impl HashQueue {
    /// A queue with `running_max` permits.
    pub(crate) fn new(running_max: usize) -> Arc<Self> {
        Arc::new(Self {
            running_max,
            state: Mutex::default(),
        })
    }

    /// Waits for a permit for `network`.
    ///
    /// Errors: `TooManyRequests`, if the network's queue is full; `Unavailable`, if the whole queue is
    /// full or the wait took too long.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        network: IpNet,
        share: Share,
    ) -> Result<HashPermit, AppError> {
        let receiver = self.enqueue(network, share)?;
        match tokio::time::timeout(WAIT_MAX, receiver).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(AppError::Unavailable),
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        network: IpNet,
        share: Share,
    ) -> Result<oneshot::Receiver<HashPermit>, AppError> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        let queue = state.networks.entry(network).or_default();
        queue.waiting.retain(|waiting| !waiting.is_closed());
        if queue.waiting.len() >= share.waiting {
            return Err(AppError::TooManyRequests {
                retry_after_seconds: RETRY_SECONDS,
            });
        }
        if state.waiting() >= WAITING_MAX {
            state.remove_if_idle(network);
            return Err(AppError::Unavailable);
        }
        let queue = state.networks.entry(network).or_default();
        queue.running_max = share.running;
        queue.waiting.push_back(sender);
        if !state.round.contains(&network) {
            state.round.push_back(network);
        }
        self.hand_out(&mut state);
        Ok(receiver)
    }

    /// Hands free permits to waiting requests, one network after the other.
    fn hand_out(self: &Arc<Self>, state: &mut State) {
        let mut skipped = 0;
        while state.running < self.running_max && skipped < state.round.len() {
            let Some(network) = state.round.pop_front() else {
                return;
            };
            let queue = state.networks.entry(network).or_default();
            if queue.running >= queue.running_max {
                state.round.push_back(network);
                skipped += 1;
                continue;
            }
            let Some(sender) = queue.waiting.pop_front() else {
                state.remove_if_idle(network);
                continue;
            };
            if !queue.waiting.is_empty() {
                state.round.push_back(network);
            }
            let permit = HashPermit {
                queue: Arc::clone(self),
                network,
                counted: true,
            };
            if let Err(mut permit) = sender.send(permit) {
                // The receiver has gone. Dropping the permit must not lock again.
                permit.counted = false;
                state.remove_if_idle(network);
                continue;
            }
            state.count_begun(network);
            skipped = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count_begun(&mut self, network: IpNet) {
        self.running += 1;
        self.networks.entry(network).or_default().running += 1;
    }

    fn count_ended(&mut self, network: IpNet) {
        self.running = self.running.saturating_sub(1);
        let queue = self.networks.entry(network).or_default();
        queue.running = queue.running.saturating_sub(1);
        self.remove_if_idle(network);
    }

    fn remove_if_idle(&mut self, network: IpNet) {
        let idle = |queue: &Network| queue.running == 0 && queue.waiting.is_empty();
        if self.networks.get(&network).is_some_and(idle) {
            self.networks.remove(&network);
        }
    }

    fn waiting(&self) -> usize {
        self.networks
            .values()
            .map(|queue| queue.waiting.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> IpNet {
        IpNet::from(std::net::IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn a_network_with_many_requests_delays_others_by_one_permit() {
        let queue = HashQueue::new(1);
        let running = queue.acquire(network(1), Share::LIMITED).await.unwrap();
        let mut crowd: Vec<_> = (0..64)
            .map(|_| queue.enqueue(network(1), Share::LIMITED).unwrap())
            .collect();
        assert_eq!(
            queue.enqueue(network(1), Share::LIMITED).unwrap_err(),
            AppError::TooManyRequests {
                retry_after_seconds: RETRY_SECONDS
            }
        );
        let mut other = queue.enqueue(network(2), Share::LIMITED).unwrap();
        drop(running);
        let first = crowd[0].try_recv().unwrap();
        assert!(other.try_recv().is_err());
        drop(first);
        assert!(other.try_recv().is_ok(), "the other network is next");
    }

    #[tokio::test]
    async fn no_turn_is_lost_with_who_stops_waiting() {
        let queue = HashQueue::new(2);
        let running = (
            queue.acquire(network(1), Share::LIMITED).await.unwrap(),
            queue.acquire(network(1), Share::LIMITED).await.unwrap(),
        );
        let gone = queue.enqueue(network(1), Share::LIMITED).unwrap();
        let mut stays = queue.enqueue(network(1), Share::LIMITED).unwrap();
        drop(gone);
        drop(running);
        assert!(stays.try_recv().is_ok());
        assert!(
            queue.lock().networks.is_empty(),
            "no state of the network is left"
        );
        assert_eq!(queue.lock().running, 0);
    }

    #[tokio::test]
    async fn one_network_has_no_more_than_its_share_at_once() {
        let queue = HashQueue::new(8);
        let mut running = Vec::new();
        for _ in 0..4 {
            running.push(queue.acquire(network(1), Share::LIMITED).await.unwrap());
        }
        let mut fifth = queue.enqueue(network(1), Share::LIMITED).unwrap();
        assert!(fifth.try_recv().is_err());
        assert!(queue.acquire(network(2), Share::LIMITED).await.is_ok());
        running.pop();
        assert!(fifth.try_recv().is_ok());
    }
}
