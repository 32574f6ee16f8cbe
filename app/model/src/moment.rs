//! Points in time, with the precision of the database.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

/// A point in time: whole microseconds since 1970-01-01 00:00 UTC. In JSON, RFC 3339.
///
/// Has no `Display`: SQL built from text needs [`Moment::micros`], and text for people needs a time zone.
/// Adding and subtracting durations saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// Earlier than all others. Not a date: [`Moment::timestamp`] returns `Timestamp::MIN`.
    pub const MIN: Self = Self(i64::MIN);
    /// 1970-01-01 00:00 UTC. In columns that cannot be null, "never".
    pub const EPOCH: Self = Self(0);
    /// Later than all others. Not a date: [`Moment::timestamp`] returns `Timestamp::MAX`.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds since 1970-01-01 00:00 UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From seconds since 1970-01-01 00:00 UTC.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970-01-01 00:00 UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01 00:00 UTC, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Saturates at the range of [`Timestamp`].
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }

    /// The time from `earlier` until this moment, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// The seconds from `now` until this moment, rounded up; 0 if it has passed.
    pub fn seconds_left(self, now: Self) -> i64 {
        let left = self.0.saturating_sub(now.0);
        if left <= 0 {
            0
        } else {
            (left - 1) / 1_000_000 + 1
        }
    }
}

impl From<i64> for Moment {
    fn from(micros: i64) -> Self {
        Self(micros)
    }
}

impl From<Moment> for i64 {
    fn from(moment: Moment) -> Self {
        moment.0
    }
}

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        moment.timestamp()
    }
}

/// The duration in microseconds, for columns and sums in SQL; at most [`i64::MAX`].
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.timestamp().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(feature = "sqlx")]
crate::integer_columns!(Moment);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_left_are_rounded_up() {
        let now = Moment::from_seconds(100);
        for (micros, seconds) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            let until = now + Duration::from_micros(micros);
            assert_eq!(until.seconds_left(now), seconds);
        }
        assert_eq!(now.seconds_left(now + Duration::from_secs(1)), 0);
        assert_eq!(
            Moment::MAX.seconds_left(Moment::MIN),
            i64::MAX / 1_000_000 + 1
        );
    }

    #[test]
    fn sums_saturate() {
        let year = Duration::from_hours(365 * 24);
        assert_eq!(Moment::MAX + year, Moment::MAX);
        assert_eq!(Moment::MIN - year, Moment::MIN);
        assert_eq!(Moment::MAX.timestamp(), Timestamp::MAX);
        assert_eq!(Moment::MIN.timestamp(), Timestamp::MIN);
    }

    #[test]
    fn the_time_between_two_moments_is_never_negative() {
        let (early, late) = (Moment::from_seconds(10), Moment::from_seconds(12));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
