//! Time as a parameter. Nothing else in the server asks the system what time it is, so that
//! tests can move it: a hold's fifteen minutes pass without waiting.

use jiff::Timestamp;
use model::Moment;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Moment;
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
    fn now(&self) -> Moment {
        Timestamp::now().into()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn starting_at(start: Moment) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(start.micros())))
    }

    /// Moves it by `seconds`, back if negative.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment::from_micros(self.0.load(Ordering::SeqCst))
    }
}
