//! How often something may be tried: counted per key over a fixed time, by all processes together
//! where there is Redis, otherwise (and while it is away) in this process's memory.
//!
//! Guards against guessing and flooding, not against load. A try is counted before what it tries is
//! done, so that many at once cannot pass a limit; what turns out not to count is given back. Memory
//! is bounded: keys are kept as hashes, those whose time is over are dropped every minute, and beyond
//! [`KEYS_MAX`] the oldest go first. It does not know what an account or a password is.

mod in_redis;

use crate::{
    clock::SharedClock,
    redis_client::Redis,
    security::{self, Event, Outcome},
};
use in_redis::Tries;
use ipnet::IpNet;
use model::{Moment, error::AppError};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use strum::IntoStaticStr;

const KEYS_MAX: usize = 100_000;
/// How often keys whose time is over are dropped.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// What is counted. Accounts are named by the key of their address, networks as
/// [`crate::request::network`] does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Key {
    /// Wrong passwords for an account, from one network.
    WrongPasswordOfFrom(String, IpNet),
    /// Wrong passwords from one network, for any account.
    WrongPasswordFrom(IpNet),
    /// Wrong passwords for an account, from anywhere.
    WrongPasswordOf(String),
    /// Passwords tried for an account beyond that limit: they are slowed down.
    SlowPasswordOf(String),
    /// Wrong passwords for an account on a device that it knows.
    WrongPasswordOn(String),
    /// Wrong codes of an account's second factor, from anywhere.
    WrongCodeOf(String),
    /// Sign-ins to an account from one network, whether or not they succeed.
    SignInOfFrom(String, IpNet),
    /// Wrong passwords typed in one session to prove who its owner is.
    WrongProofIn(String),
    /// Sign-ups, by where they came from.
    SignUpFrom(IpNet),
    /// Links to a new password asked for, by the account's address.
    ForgotOf(String),
    /// The same, from one network.
    ForgotOfFrom(String, IpNet),
    /// The same for any account, by where they came from.
    ForgotFrom(IpNet),
    /// Tries to set a new password by a link, by where they came from.
    ResetFrom(IpNet),
    /// Links that prove an address asked for, by where they came from.
    ProofFrom(IpNet),
    /// Asking to be told of tickets, by the address to be told: each may be mailed.
    WaitingOf(String),
    /// The same, by where it came from.
    WaitingFrom(IpNet),
    /// Other writes, by user.
    WriteOf(String),
}

impl Key {
    /// How many, in how many seconds.
    fn limit(&self) -> (u32, u64) {
        match self {
            Self::WrongPasswordOfFrom(..) | Self::WrongPasswordOn(_) | Self::WrongProofIn(_) => {
                (10, 600)
            }
            Self::WrongPasswordFrom(_) | Self::SignInOfFrom(..) => (60, 600),
            Self::WrongPasswordOf(_) => (100, 3600),
            Self::WrongCodeOf(_) => (20, 3600),
            Self::SlowPasswordOf(_) => (1, 15),
            Self::SignUpFrom(_) => (120, 600),
            Self::ForgotOf(_) | Self::ForgotOfFrom(..) => (5, 600),
            Self::ForgotFrom(_)
            | Self::ResetFrom(_)
            | Self::ProofFrom(_)
            | Self::WaitingFrom(_) => (30, 600),
            Self::WaitingOf(_) => (10, 24 * 3600),
            Self::WriteOf(_) => (600, 60),
        }
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.limit().1)
    }

    /// The key as it is kept, here and in Redis: short, and whose it is cannot be read from it.
    fn digest(&self) -> Digested {
        Sha256::digest(format!("{self:?}")).into()
    }
}

type Digested = [u8; 32];

#[derive(Debug, Clone, Copy)]
struct Window {
    ends: Moment,
    count: u32,
}

/// The windows in this process's memory.
#[derive(Debug)]
struct Windows {
    of: HashMap<Digested, Window>,
    /// When those that are over are dropped next.
    forget_at: Moment,
}

/// Counts tries.
pub struct Limits {
    clock: SharedClock,
    on: AtomicBool,
    windows: Mutex<Windows>,
    redis: Option<Redis>,
}

impl Limits {
    /// Limits that count by `clock`, or don't if they are off; in `redis` for all, if there is one.
    pub fn new(clock: SharedClock, on: bool, redis: Option<Redis>) -> Self {
        Self {
            clock,
            on: AtomicBool::new(on),
            windows: Mutex::new(Windows {
                of: HashMap::new(),
                forget_at: Moment::EPOCH,
            }),
            redis,
        }
    }

    /// Switches them on or off.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    /// Whether tries are counted.
    pub fn are_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Counts one try of `key` if it has one left: of many at once, through whichever processes, no
    /// more pass than may. Errors: `TooManyRequests`, and nothing is counted.
    pub async fn take(&self, key: &Key) -> Result<(), AppError> {
        if !self.are_on() {
            return Ok(());
        }
        let (most, digest) = (key.limit().0, key.digest());
        let tries = match &self.redis {
            Some(redis) => redis
                .take_try(&hex::encode(digest), most, key.window())
                .await
                .ok(),
            None => None,
        };
        let tries = tries.unwrap_or_else(|| self.take_here(digest, most, key.window()));
        if tries.taken {
            return Ok(());
        }
        security::note(Event::Limit, Outcome::Refused, None, key.into());
        let seconds = tries.ends_in.as_millis().div_ceil(1000).max(1);
        Err(AppError::TooManyRequests {
            retry_after_seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        })
    }

    /// Counts one try of each, or of none. Errors: `TooManyRequests`, of the first that has none left.
    pub async fn take_all(&self, keys: &[Key]) -> Result<(), AppError> {
        for (index, key) in keys.iter().enumerate() {
            if let Err(refused) = self.take(key).await {
                self.give_back(&keys[..index]).await;
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Takes back what was counted by a try of each that turned out not to count.
    pub async fn give_back(&self, keys: &[Key]) {
        if !self.are_on() {
            return;
        }
        for key in keys {
            let digest = key.digest();
            let given = match &self.redis {
                Some(redis) => redis.give_try_back(&hex::encode(digest)).await.is_ok(),
                None => false,
            };
            if !given {
                self.give_back_here(digest);
            }
        }
    }

    fn take_here(&self, key: Digested, most: u32, window: Duration) -> Tries {
        let now = self.clock.now();
        let fresh = Window {
            ends: now + window,
            count: 0,
        };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.make_room(&key, now);
        let window = windows.of.entry(key).or_insert(fresh);
        if now >= window.ends {
            *window = fresh;
        }
        let taken = window.count < most;
        window.count += u32::from(taken);
        Tries {
            taken,
            ends_in: window.ends.since(now),
        }
    }

    fn give_back_here(&self, key: Digested) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.of.get_mut(&key) {
            window.count = window.count.saturating_sub(1);
        }
    }
}

impl Windows {
    /// Drops what is over, once a minute; where that leaves no room for a new key, the older half.
    fn make_room(&mut self, key: &Digested, now: Moment) {
        let full = |of: &HashMap<_, _>| of.len() >= KEYS_MAX && !of.contains_key(key);
        if now >= self.forget_at || full(&self.of) {
            self.of.retain(|_, window| now < window.ends);
            self.forget_at = now + FORGET_EVERY;
        }
        if full(&self.of) {
            let mut ends: Vec<Moment> = self.of.values().map(|window| window.ends).collect();
            ends.sort_unstable();
            let middle = ends.get(ends.len() / 2).copied().unwrap_or(now);
            self.of.retain(|_, window| window.ends > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn ann() -> Key {
        Key::ForgotOf("ann@example.com".to_owned())
    }

    #[tokio::test]
    async fn tries_run_out_and_come_back() {
        let clock = ManualClock::starting_at(Moment::EPOCH);
        let limits = Limits::new(clock.clone(), true, None);
        for _ in 0..5 {
            limits.take(&ann()).await.unwrap();
        }
        clock.advance(599);
        let limited = limits.take(&ann()).await.unwrap_err();
        assert_eq!(
            limited,
            AppError::TooManyRequests {
                retry_after_seconds: 1
            }
        );
        let bob = Key::ForgotOf("bob@example.com".to_owned());
        limits.take(&bob).await.unwrap();
        clock.advance(1);
        limits.take(&ann()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_given_back_can_be_taken_again_and_a_refusal_counts_nothing() {
        let clock = ManualClock::starting_at(Moment::EPOCH);
        let limits = Limits::new(clock, true, None);
        let bob = Key::ForgotOf("bob@example.com".to_owned());
        for _ in 0..20 {
            limits.take(&ann()).await.unwrap();
            limits.give_back(&[ann()]).await;
        }
        for _ in 0..5 {
            limits.take(&ann()).await.unwrap();
        }
        for _ in 0..20 {
            limits.take_all(&[bob.clone(), ann()]).await.unwrap_err();
        }
        for _ in 0..5 {
            limits.take(&bob).await.unwrap();
        }
        limits.take(&bob).await.unwrap_err();
    }

    #[tokio::test]
    async fn keys_are_kept_short_and_no_longer_than_their_time() {
        let clock = ManualClock::starting_at(Moment::EPOCH);
        let limits = Limits::new(clock.clone(), true, None);
        for number in 0..1000 {
            let long = format!("{number}{}", "x".repeat(10_000));
            limits.take(&Key::ForgotOf(long)).await.unwrap();
        }
        assert_eq!(limits.windows.lock().unwrap().of.len(), 1000);
        clock.advance(661);
        limits.take(&ann()).await.unwrap();
        assert_eq!(limits.windows.lock().unwrap().of.len(), 1);
    }

    #[tokio::test]
    async fn switched_off_nothing_is_refused() {
        let clock = ManualClock::starting_at(Moment::EPOCH);
        let limits = Limits::new(clock, false, None);
        for _ in 0..1000 {
            limits.take(&Key::WriteOf("ann".to_owned())).await.unwrap();
        }
    }
}
