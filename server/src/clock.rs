//! Time as a parameter. Nothing else in the server asks the system what time it is, so that
//! tests can move it: a hold's fifteen minutes pass without waiting.

use jiff::Timestamp;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// The present moment as the database keeps it: microseconds since 1970, UTC.
    fn now_micros(&self) -> i64 {
        self.now().as_microsecond()
    }
}

/// The clock that services are handed.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn starting_at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(start.as_microsecond())))
    }

    /// Moves it by `seconds`, back if negative.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

/// A stored moment. What the database holds was written from a `Timestamp`, so it is in range;
/// should it not be, it is as far away as can be.
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

/// Whole seconds from `now` until `until`, rounded up; 0 when it has passed.
pub fn seconds_until(until_micros: i64, now_micros: i64) -> i64 {
    let left = until_micros.saturating_sub(now_micros);
    if left <= 0 {
        0
    } else {
        (left - 1) / 1_000_000 + 1
    }
}
