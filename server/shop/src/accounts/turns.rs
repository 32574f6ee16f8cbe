//! Whose turn it is to have a password hashed: a bounded number at a time, and fairly between
//! networks, so that one that asks without end makes only itself wait.
//!
//! Owns the lines of those who wait, in this process. What is done in a turn, and whether it may be
//! tried at all, is decided elsewhere.

use ipnet::IpNet;
use model::error::AppError;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// How long somebody waits for their turn before they are told that the server is busy.
const TURN_WAIT: Duration = Duration::from_secs(5);
/// So many may wait in all.
const WAITING_MAX: usize = 1024;
/// Seconds after which a network whose line is full may try again.
const RETRY_SECONDS: i64 = 2;

/// How much of the turns one network may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// So many at once.
    pub running: usize,
    /// So many waiting.
    pub waiting: usize,
}

impl Share {
    /// While tries are counted. A school behind one address fits.
    pub(crate) const LIMITED: Self = Self {
        running: 4,
        waiting: 64,
    };
    /// While they are not.
    pub(crate) const UNLIMITED: Self = Self {
        running: usize::MAX,
        waiting: usize::MAX,
    };
}

/// Hands out turns.
#[derive(Debug)]
pub(crate) struct Turns {
    at_once: usize,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    running: usize,
    of: HashMap<IpNet, Line>,
    /// The networks for which somebody waits, the next one first.
    round: VecDeque<IpNet>,
}

#[derive(Debug, Default)]
struct Line {
    running: usize,
    running_max: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A turn. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    of: IpNet,
    /// False: it was never handed over.
    taken: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.taken {
            let mut lines = self.turns.lock();
            lines.count_ended(self.of);
            self.turns.hand_out(&mut lines);
        }
    }
}

impl Turns {
    /// So many at once.
    pub(crate) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            at_once,
            lines: Mutex::default(),
        })
    }

    /// Waits for a turn of `network`.
    ///
    /// Errors: `TooManyRequests`, if its share is used up; `Unavailable`, if too many wait in all, or
    /// it took too long.
    pub(crate) async fn take(
        self: &Arc<Self>,
        network: IpNet,
        share: Share,
    ) -> Result<Turn, AppError> {
        let handed = self.queue(network, share)?;
        match tokio::time::timeout(TURN_WAIT, handed).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(AppError::Unavailable),
        }
    }

    fn queue(
        self: &Arc<Self>,
        network: IpNet,
        share: Share,
    ) -> Result<oneshot::Receiver<Turn>, AppError> {
        let (hand, handed) = oneshot::channel();
        let mut lines = self.lock();
        let line = lines.of.entry(network).or_default();
        line.waiting.retain(|waiting| !waiting.is_closed());
        if line.waiting.len() >= share.waiting {
            return Err(AppError::TooManyRequests {
                retry_after_seconds: RETRY_SECONDS,
            });
        }
        if lines.waiting() >= WAITING_MAX {
            lines.forget_if_idle(network);
            return Err(AppError::Unavailable);
        }
        let line = lines.of.entry(network).or_default();
        line.running_max = share.running;
        line.waiting.push_back(hand);
        if !lines.round.contains(&network) {
            lines.round.push_back(network);
        }
        self.hand_out(&mut lines);
        Ok(handed)
    }

    /// Hands free turns to those who wait, one network after the other.
    fn hand_out(self: &Arc<Self>, lines: &mut Lines) {
        let mut passed_over = 0;
        while lines.running < self.at_once && passed_over < lines.round.len() {
            let Some(network) = lines.round.pop_front() else {
                return;
            };
            let line = lines.of.entry(network).or_default();
            if line.running >= line.running_max {
                lines.round.push_back(network);
                passed_over += 1;
                continue;
            }
            let Some(hand) = line.waiting.pop_front() else {
                lines.forget_if_idle(network);
                continue;
            };
            if !line.waiting.is_empty() {
                lines.round.push_back(network);
            }
            let turn = Turn {
                turns: Arc::clone(self),
                of: network,
                taken: true,
            };
            if let Err(mut turn) = hand.send(turn) {
                // Whoever waited has gone: dropping the turn must not wait for this lock.
                turn.taken = false;
                lines.forget_if_idle(network);
                continue;
            }
            lines.count_begun(network);
            passed_over = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn count_begun(&mut self, network: IpNet) {
        self.running += 1;
        self.of.entry(network).or_default().running += 1;
    }

    fn count_ended(&mut self, network: IpNet) {
        self.running = self.running.saturating_sub(1);
        let line = self.of.entry(network).or_default();
        line.running = line.running.saturating_sub(1);
        self.forget_if_idle(network);
    }

    fn forget_if_idle(&mut self, network: IpNet) {
        let idle = |line: &Line| line.running == 0 && line.waiting.is_empty();
        if self.of.get(&network).is_some_and(idle) {
            self.of.remove(&network);
        }
    }

    fn waiting(&self) -> usize {
        self.of.values().map(|line| line.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> IpNet {
        IpNet::from(std::net::IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn a_network_that_asks_without_end_delays_others_by_one_turn() {
        let turns = Turns::new(1);
        let running = turns.take(network(1), Share::LIMITED).await.unwrap();
        let mut crowd: Vec<_> = (0..64)
            .map(|_| turns.queue(network(1), Share::LIMITED).unwrap())
            .collect();
        assert_eq!(
            turns.queue(network(1), Share::LIMITED).unwrap_err(),
            AppError::TooManyRequests {
                retry_after_seconds: RETRY_SECONDS
            }
        );
        let mut other = turns.queue(network(2), Share::LIMITED).unwrap();
        drop(running);
        let first = crowd[0].try_recv().unwrap();
        assert!(other.try_recv().is_err());
        drop(first);
        assert!(other.try_recv().is_ok(), "the other network is next");
    }

    #[tokio::test]
    async fn no_turn_is_lost_with_who_stops_waiting() {
        let turns = Turns::new(2);
        let running = (
            turns.take(network(1), Share::LIMITED).await.unwrap(),
            turns.take(network(1), Share::LIMITED).await.unwrap(),
        );
        let gone = turns.queue(network(1), Share::LIMITED).unwrap();
        let mut stays = turns.queue(network(1), Share::LIMITED).unwrap();
        drop(gone);
        drop(running);
        assert!(stays.try_recv().is_ok());
        assert!(
            turns.lock().of.is_empty(),
            "nothing is kept of who has gone"
        );
        assert_eq!(turns.lock().running, 0);
    }

    #[tokio::test]
    async fn one_network_has_no_more_than_its_share_at_once() {
        let turns = Turns::new(8);
        let mut running = Vec::new();
        for _ in 0..4 {
            running.push(turns.take(network(1), Share::LIMITED).await.unwrap());
        }
        let mut fifth = turns.queue(network(1), Share::LIMITED).unwrap();
        assert!(fifth.try_recv().is_err());
        assert!(turns.take(network(2), Share::LIMITED).await.is_ok());
        running.pop();
        assert!(fifth.try_recv().is_ok());
    }
}
