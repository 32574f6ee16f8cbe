//! What Stagedoor's pages, rules and database share: ids, money and time, each a type of its own;
//! the types that cross the wire; the errors that a browser or a script is told; and the ports.
//!
//! A port is a trait with everything that a browser can ask of one feature. The server implements it.
//! Owns how values are written: as text, in JSON and (with the feature `sqlx`) as columns. Compiles to
//! WASM; knows no page, no web server and no database connection.

pub mod accounts;
pub mod charges;
pub mod error;
pub mod events;
pub mod ids;
mod moment;
pub mod money;
pub mod orders;
pub mod passes;
pub mod payments;
pub mod refunds;
pub mod selling;
#[cfg(feature = "sqlx")]
pub mod sql;
pub mod tickets;
pub mod waiting;

pub use moment::{Moment, micros};
