//! Rate limits: attempts per key in a fixed window, counted in Redis by all processes together, or in
//! this process's memory if there is no Redis or it is unavailable.
//!
//! They protect against guessing and flooding, not against load. An attempt is counted before it is made,
//! so that concurrent requests cannot exceed a limit, and given back if it turns out not to count. Memory
//! is bounded: keys are stored as hashes, expired ones are dropped every minute, and beyond [`KEYS_MAX`]
//! those that expire first are dropped. Has no notion of accounts or passwords.

mod in_redis;

use crate::{
    clock::SharedClock,
    redis_client::Redis,
    security::{self, Event, Outcome},
};
use in_redis::Attempt;
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
/// How often expired keys are dropped.
const CLEANUP_PERIOD: Duration = Duration::from_mins(1);

/// What is counted. Accounts are identified by the key of their e-mail address, networks as in
/// [`crate::request::network`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Key {
    /// Wrong passwords for an account, from one network.
    WrongPasswordOfFrom(String, IpNet),
    /// Wrong passwords from one network, for any account.
    WrongPasswordFrom(IpNet),
    /// Wrong passwords for an account, from anywhere.
    WrongPasswordOf(String),
    /// Passwords tried for an account beyond that limit, at a slower rate.
    SlowPasswordOf(String),
    /// Wrong passwords for an account on a device that has signed in to it before.
    WrongPasswordOn(String),
    /// Wrong codes of an account's second factor, from anywhere.
    WrongCodeOf(String),
    /// Sign-ins to an account from one network, whether or not they succeed.
    SignInOfFrom(String, IpNet),
    /// Wrong passwords typed in one session to confirm the user's identity.
    WrongProofIn(String),
    /// Sign-ups from one network.
    SignUpFrom(IpNet),
    /// Requests for password reset links, by the account's address.
    ForgotOf(String),
    /// The same, from one network.
    ForgotOfFrom(String, IpNet),
    /// The same from one network, for any account.
    ForgotFrom(IpNet),
    /// Attempts to set a new password by a link, from one network.
    ResetFrom(IpNet),
    /// Requests for links that confirm an address, from one network.
    ProofFrom(IpNet),
    /// Entries on waiting lists, by the address to notify: each may send a mail.
    WaitingOf(String),
    /// The same, from one network.
    WaitingFrom(IpNet),
    /// Other writes, by user.
    WriteOf(String),
}

impl Key {
    /// The most attempts, and the window in seconds.
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

    /// The key as it is stored here and in Redis: short, and without readable personal data.
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
    by_key: HashMap<Digested, Window>,
    /// When to drop expired windows next.
    cleanup_at: Moment,
}

/// Counts attempts.
pub struct Limits {
    clock: SharedClock,
    on: AtomicBool,
    windows: Mutex<Windows>,
    redis: Option<Redis>,
}

impl Limits {
    /// Counts in `redis` if given, otherwise in memory. If `on` is false, nothing is limited.
    pub fn new(clock: SharedClock, on: bool, redis: Option<Redis>) -> Self {
        Self {
            clock,
            on: AtomicBool::new(on),
            windows: Mutex::new(Windows {
                by_key: HashMap::new(),
                cleanup_at: Moment::EPOCH,
            }),
            redis,
        }
    }

    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    pub fn are_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Counts an attempt at `key`. Concurrent attempts, in any process, cannot exceed the limit. Errors:
    /// `TooManyRequests`; then nothing is counted.
    pub async fn take(&self, key: &Key) -> Result<(), AppError> {
        if !self.are_on() {
            return Ok(());
        }
        let (most, digest) = (key.limit().0, key.digest());
        let attempt = match &self.redis {
            Some(redis) => redis
                .take_attempt(&hex::encode(digest), most, key.window())
                .await
                .ok(),
            None => None,
        };
        let attempt = attempt.unwrap_or_else(|| self.take_in_memory(digest, most, key.window()));
        if attempt.taken {
            return Ok(());
        }
        security::record(Event::Limit, Outcome::Refused, None, key.into());
        let seconds = attempt.ends_in.as_millis().div_ceil(1000).max(1);
        Err(AppError::TooManyRequests {
            retry_after_seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        })
    }

    /// Counts an attempt at each key, or at none. Errors: `TooManyRequests`, for the first key at its limit.
    pub async fn take_all(&self, keys: &[Key]) -> Result<(), AppError> {
        for (index, key) in keys.iter().enumerate() {
            if let Err(refused) = self.take(key).await {
                self.give_back(&keys[..index]).await;
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Takes back one attempt at each key.
    pub async fn give_back(&self, keys: &[Key]) {
        if !self.are_on() {
            return;
        }
        for key in keys {
            let digest = key.digest();
            let is_done = match &self.redis {
                Some(redis) => redis.give_back_attempt(&hex::encode(digest)).await.is_ok(),
                None => false,
            };
            if !is_done {
                self.give_back_in_memory(digest);
            }
        }
    }

    fn take_in_memory(&self, key: Digested, most: u32, window: Duration) -> Attempt {
        let now = self.clock.now();
        let fresh = Window {
            ends: now + window,
            count: 0,
        };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.make_room(&key, now);
        let window = windows.by_key.entry(key).or_insert(fresh);
        if now >= window.ends {
            *window = fresh;
        }
        let taken = window.count < most;
        window.count += u32::from(taken);
        Attempt {
            taken,
            ends_in: window.ends.since(now),
        }
    }

    fn give_back_in_memory(&self, key: Digested) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.by_key.get_mut(&key) {
            window.count = window.count.saturating_sub(1);
        }
    }
}

impl Windows {
    /// Drops expired windows once a minute or if there is no room for a new key. If there is still no room,
    /// drops the half that ends first.
    fn make_room(&mut self, key: &Digested, now: Moment) {
        let is_full = |keys: &HashMap<_, _>| keys.len() >= KEYS_MAX && !keys.contains_key(key);
        if now >= self.cleanup_at || is_full(&self.by_key) {
            self.by_key.retain(|_, window| now < window.ends);
            self.cleanup_at = now + CLEANUP_PERIOD;
        }
        if is_full(&self.by_key) {
            let mut ends: Vec<Moment> = self.by_key.values().map(|window| window.ends).collect();
            ends.sort_unstable();
            let middle = ends.get(ends.len() / 2).copied().unwrap_or(now);
            self.by_key.retain(|_, window| window.ends > middle);
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
    async fn attempts_are_refused_until_the_window_ends() {
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
    async fn attempts_given_back_and_refused_attempts_do_not_count() {
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
    async fn long_keys_are_stored_and_dropped_after_their_window() {
        let clock = ManualClock::starting_at(Moment::EPOCH);
        let limits = Limits::new(clock.clone(), true, None);
        for number in 0..1000 {
            let long = format!("{number}{}", "x".repeat(10_000));
            limits.take(&Key::ForgotOf(long)).await.unwrap();
        }
        assert_eq!(limits.windows.lock().unwrap().by_key.len(), 1000);
        clock.advance(661);
        limits.take(&ann()).await.unwrap();
        assert_eq!(limits.windows.lock().unwrap().by_key.len(), 1);
    }

    #[tokio::test]
    async fn limits_that_are_off_refuse_nothing() {
        let clock = ManualClock::starting_at(Moment::EPOCH);
        let limits = Limits::new(clock, false, None);
        for _ in 0..1000 {
            limits.take(&Key::WriteOf("ann".to_owned())).await.unwrap();
        }
    }
}
