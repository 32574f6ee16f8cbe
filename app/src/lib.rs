//! Stagedoor's pages, and what browser and server share.
//!
//! One folder a feature: its types, its port (everything that a browser can ask of it), its
//! server functions and its pages. The rules themselves live in the server, behind the ports;
//! this crate compiles to WASM and knows no database, no payment provider and no queue.

pub mod accounts;
#[cfg(feature = "ssr")]
pub mod app;
#[cfg(feature = "ssr")]
pub mod context;
pub mod error;
pub mod events;
#[cfg(feature = "ssr")]
mod flash;
#[cfg(feature = "ssr")]
mod help;
pub mod orders;
#[cfg(feature = "ssr")]
pub mod passes;
#[cfg(feature = "ssr")]
mod paths;
pub mod payments;
pub mod refunds;
pub mod selling;
pub mod tickets;
pub mod ui;
pub mod waiting;

/// Marks the page as alive, once the islands that this module was loaded for are: they are
/// hydrated before the browser next has time for anything else.
#[cfg(feature = "hydrate")]
pub fn hydrated() {
    leptos::prelude::set_timeout(
        || {
            if let Some(root) = leptos::prelude::document().document_element() {
                let _ = root.set_attribute("data-hydrated", "");
            }
        },
        std::time::Duration::ZERO,
    );
}
