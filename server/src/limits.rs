//! How often somebody may try something: counted per key over ten minutes or so, by all processes
//! together where there is Redis, otherwise (and while it is away) in this one's memory.
//!
//! Guards against guessing and flooding, not against load. Bounded: keys whose time is over are
//! forgotten, and beyond [`KEYS_MAX`] the oldest go first.

use crate::{
    clock::SharedClock,
    replicas::{Redis, Tries},
    session::hex,
};
use app::error::AppError;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const KEYS_MAX: usize = 100_000;

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Sign-ins that failed, by the account's address in small letters.
    FailedSignInOf(String),
    /// Sign-ins that failed, by where they came from.
    FailedSignInFrom(IpAddr),
    /// Sign-ups, by where they came from.
    SignUpFrom(IpAddr),
    /// Links to a new password asked for, by the account's address in small letters.
    ForgotOf(String),
    /// The same, by where they came from.
    ForgotFrom(IpAddr),
    /// Tries to set a new password by a link, by where they came from.
    ResetFrom(IpAddr),
    /// Asking to be told of tickets, by the address to be told, in small letters: each may be mailed.
    WaitingOf(String),
    /// The same, by where it came from.
    WaitingFrom(IpAddr),
    /// Other writes, by user.
    WriteOf(String),
}

impl Key {
    /// How many, in how many seconds.
    fn limit(&self) -> (u32, u64) {
        match self {
            Self::FailedSignInOf(_) => (10, 600),
            Self::FailedSignInFrom(_) => (60, 600),
            Self::SignUpFrom(_) => (120, 600),
            Self::ForgotOf(_) => (5, 600),
            Self::ForgotFrom(_) | Self::ResetFrom(_) | Self::WaitingFrom(_) => (30, 600),
            Self::WaitingOf(_) => (10, 24 * 3600),
            Self::WriteOf(_) => (600, 60),
        }
    }

    /// The key as others may see it: whose it is cannot be read from it.
    fn name(&self) -> String {
        hex(&Sha256::digest(format!("{self:?}")))
    }

    /// Errors: `TooManyRequests`, if this is more than may be.
    fn judge(&self, tries: Tries) -> Result<(), AppError> {
        if tries.count < self.limit().0 || tries.ends_in.is_zero() {
            return Ok(());
        }
        Err(AppError::TooManyRequests {
            retry_after_seconds: i64::try_from(tries.ends_in.as_millis().div_ceil(1000))
                .unwrap_or(i64::MAX),
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began_micros: i64,
    count: u32,
}

impl Window {
    fn ends_micros(&self, key: &Key) -> i64 {
        let micros = i64::try_from(key.limit().1 * 1_000_000).unwrap_or(i64::MAX);
        self.began_micros.saturating_add(micros)
    }

    fn stands(&self, key: &Key, now_micros: i64) -> Tries {
        let left = u64::try_from(self.ends_micros(key) - now_micros).unwrap_or(0);
        Tries {
            count: self.count,
            ends_in: Duration::from_micros(left),
        }
    }
}

/// Counts tries.
pub struct Limits {
    clock: SharedClock,
    on: AtomicBool,
    windows: Mutex<HashMap<Key, Window>>,
    redis: Option<Redis>,
}

impl Limits {
    /// Limits that count by `clock`, or don't if they are off; in `redis` for all, if there is one.
    pub fn new(clock: SharedClock, on: bool, redis: Option<Redis>) -> Self {
        Self {
            clock,
            on: AtomicBool::new(on),
            windows: Mutex::default(),
            redis,
        }
    }

    /// Switches them on or off.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    /// Whether limits are enforced.
    pub fn are_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Whether `key` has tries left. Errors: `TooManyRequests`.
    pub async fn check(&self, key: &Key) -> Result<(), AppError> {
        if !self.are_on() {
            return Ok(());
        }
        if let Some(redis) = &self.redis
            && let Ok(tries) = redis.tries(&key.name()).await
        {
            return key.judge(tries);
        }
        key.judge(self.tries_here(key))
    }

    /// Counts one try of `key`. Returns how it stands with that.
    pub async fn count(&self, key: Key) -> Tries {
        let window = Duration::from_secs(key.limit().1);
        if let Some(redis) = &self.redis
            && let Ok(tries) = redis.count_try(&key.name(), window).await
        {
            return tries;
        }
        self.count_here(&key)
    }

    /// Counts one try of `key`, and judges by that count: of many at once, through whichever
    /// processes, no more pass than may. Errors: `TooManyRequests`.
    pub async fn take(&self, key: Key) -> Result<(), AppError> {
        if !self.are_on() {
            return Ok(());
        }
        let mut before = self.count(key.clone()).await;
        before.count = before.count.saturating_sub(1);
        key.judge(before)
    }

    fn tries_here(&self, key: &Key) -> Tries {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now_micros();
        windows
            .get(key)
            .map_or_else(Tries::default, |window| window.stands(key, now))
    }

    fn count_here(&self, key: &Key) -> Tries {
        let now = self.clock.now_micros();
        let fresh = Window {
            began_micros: now,
            count: 0,
        };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEYS_MAX && !windows.contains_key(key) {
            forget(&mut windows, now);
        }
        let window = windows.entry(key.clone()).or_insert(fresh);
        if now >= window.ends_micros(key) {
            *window = fresh;
        }
        window.count = window.count.saturating_add(1);
        window.stands(key, now)
    }
}

/// Drops what is over; if that is too little, the older half.
fn forget(windows: &mut HashMap<Key, Window>, now: i64) {
    windows.retain(|key, window| now < window.ends_micros(key));
    if windows.len() >= KEYS_MAX {
        let mut began: Vec<i64> = windows.values().map(|window| window.began_micros).collect();
        began.sort_unstable();
        let middle = began.get(began.len() / 2).copied().unwrap_or(now);
        windows.retain(|_, window| window.began_micros > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn tries_run_out_and_come_back() {
        let clock = ManualClock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let limits = Limits::new(clock.clone(), true, None);
        let ann = || Key::FailedSignInOf("ann@example.com".to_owned());
        for _ in 0..10 {
            limits.take(ann()).await.unwrap();
        }
        clock.advance(599);
        let limited = limits.take(ann()).await.unwrap_err();
        assert_eq!(
            limited,
            AppError::TooManyRequests {
                retry_after_seconds: 1
            }
        );
        limits
            .take(Key::FailedSignInOf("bob@example.com".to_owned()))
            .await
            .unwrap();
        clock.advance(1);
        limits.take(ann()).await.unwrap();
    }

    #[tokio::test]
    async fn switched_off_nothing_is_refused() {
        let clock = ManualClock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let limits = Limits::new(clock, false, None);
        for _ in 0..1000 {
            limits.take(Key::WriteOf("ann".to_owned())).await.unwrap();
        }
    }
}
