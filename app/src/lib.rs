//! Stagedoor's pages, and what browser and server share.
//!
//! One folder a feature: its types, its port (everything that a browser can ask of it), its
//! server functions and its pages. The rules themselves live in the server, behind the ports;
//! this crate compiles to WASM and knows no database, no payment provider and no queue.

pub mod accounts;
#[cfg(feature = "ssr")]
pub mod context;
pub mod error;
pub mod events;
pub mod ids;
pub mod money;
pub mod orders;
pub mod payments;
pub mod tickets;
