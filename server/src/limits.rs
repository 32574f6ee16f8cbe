//! How often somebody may try something: counted per key over ten minutes, in memory.
//!
//! Guards against guessing and flooding, not against load. Bounded: keys whose time is over are
//! forgotten, and beyond [`KEYS_MAX`] the oldest go first.

use crate::clock::SharedClock;
use app::error::AppError;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
    /// Other writes, by user.
    WriteOf(String),
}

impl Key {
    /// How many, in how many seconds.
    fn limit(&self) -> (u32, i64) {
        match self {
            Self::FailedSignInOf(_) => (10, 600),
            Self::FailedSignInFrom(_) => (60, 600),
            Self::SignUpFrom(_) => (120, 600),
            Self::ForgotOf(_) => (5, 600),
            Self::ForgotFrom(_) | Self::ResetFrom(_) => (30, 600),
            Self::WriteOf(_) => (600, 60),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began_micros: i64,
    count: u32,
}

/// Counts tries.
pub struct Limits {
    clock: SharedClock,
    on: AtomicBool,
    windows: Mutex<HashMap<Key, Window>>,
}

impl Limits {
    /// Limits that count by `clock`, or don't if they are off.
    pub fn new(clock: SharedClock, on: bool) -> Self {
        Self {
            clock,
            on: AtomicBool::new(on),
            windows: Mutex::default(),
        }
    }

    /// Switches them on or off.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    /// Whether `key` has tries left. Errors: `TooManyRequests`.
    pub fn check(&self, key: &Key) -> Result<(), AppError> {
        if !self.on.load(Ordering::SeqCst) {
            return Ok(());
        }
        let now = self.clock.now_micros();
        let (most, seconds) = key.limit();
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = windows.get(key).copied() else {
            return Ok(());
        };
        let ends = window.began_micros + seconds * 1_000_000;
        if window.count < most || now >= ends {
            return Ok(());
        }
        let retry_after_seconds = crate::clock::seconds_until(ends, now);
        Err(AppError::TooManyRequests {
            retry_after_seconds,
        })
    }

    /// Counts one try of `key`.
    pub fn count(&self, key: Key) {
        let now = self.clock.now_micros();
        let (_, seconds) = key.limit();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEYS_MAX && !windows.contains_key(&key) {
            forget(&mut windows, now);
        }
        let window = windows.entry(key).or_insert(Window {
            began_micros: now,
            count: 0,
        });
        if now >= window.began_micros + seconds * 1_000_000 {
            *window = Window {
                began_micros: now,
                count: 0,
            };
        }
        window.count = window.count.saturating_add(1);
    }

    /// Counts one try of `key` if it has any left. Errors: `TooManyRequests`.
    pub fn take(&self, key: Key) -> Result<(), AppError> {
        self.check(&key)?;
        self.count(key);
        Ok(())
    }
}

/// Drops what is over; if that is too little, the older half.
fn forget(windows: &mut HashMap<Key, Window>, now: i64) {
    windows.retain(|key, window| now < window.began_micros + key.limit().1 * 1_000_000);
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

    #[test]
    fn tries_run_out_and_come_back() {
        let clock = ManualClock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let limits = Limits::new(clock.clone(), true);
        let ann = || Key::FailedSignInOf("ann@example.com".to_owned());
        for _ in 0..10 {
            limits.take(ann()).unwrap();
        }
        clock.advance(599);
        let limited = limits.take(ann()).unwrap_err();
        assert_eq!(
            limited,
            AppError::TooManyRequests {
                retry_after_seconds: 1
            }
        );
        limits
            .take(Key::FailedSignInOf("bob@example.com".to_owned()))
            .unwrap();
        clock.advance(1);
        limits.take(ann()).unwrap();
    }

    #[test]
    fn switched_off_nothing_is_refused() {
        let clock = ManualClock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let limits = Limits::new(clock, false);
        for _ in 0..1000 {
            limits.take(Key::WriteOf("ann".to_owned())).unwrap();
        }
    }
}
