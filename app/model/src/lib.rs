//! What Stagedoor's pages, rules and database share: types for ids, money and time; requests and
//! responses; the public errors; and the ports.
//!
//! A port is a trait with all operations of one feature that a browser can request. The server implements
//! it. Owns the representation of values: as text, in JSON and (with the feature `sqlx`) as columns. Compiles
//! to WASM; does not depend on pages, a web server or a database connection.

pub mod accounts;
pub mod charges;
pub mod error;
pub mod events;
pub mod ids;
mod moment;
pub mod money;
pub mod order_link;
pub mod orders;
pub mod passes;
pub mod payments;
pub mod qr;
pub mod refunds;
pub mod selling;
#[cfg(feature = "sqlx")]
mod sql;
pub mod tickets;
pub mod waiting;

pub use moment::{Moment, micros};
