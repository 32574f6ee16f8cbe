//! The values that pages, rules and database share: ids, money and time, each a type of its own.
//!
//! Owns how they are written: as text, in JSON and (with the feature `sqlx`) as columns. Compiles to
//! WASM; knows no page, no web server and no database connection.

pub mod charges;
pub mod ids;
mod moment;
pub mod money;
#[cfg(feature = "sqlx")]
pub mod sql;

pub use moment::{Moment, micros};
