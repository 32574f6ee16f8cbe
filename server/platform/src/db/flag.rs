//! Boolean columns.

/// A boolean stored as 0 or 1: SQLite has no boolean type, and the `Any` driver does not decode `bool`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag(pub bool);

impl From<i64> for Flag {
    fn from(number: i64) -> Self {
        Self(number != 0)
    }
}

impl From<Flag> for i64 {
    fn from(flag: Flag) -> Self {
        Self::from(flag.0)
    }
}

model::integer_columns!(Flag);
