//! Payments: charging an order to a card, so that nobody is charged without their tickets.
//!
//! Owns the tables `payments`, `payment_effects`, `payment_provider`, `stripe_inbox`, `card_trials` and
//! `disputes`. Every call to Stripe is an
//! effect: a row committed before the call, with its own idempotency key, repeated with the same
//! key until its outcome is known (`engine.rs`). Money is taken only behind the order's fence
//! (`transitions.rs`). Webhooks (`webhook.rs`) are hints to ask Stripe for the present state, and
//! what no webhook told is found by the hourly comparison (`reconcile.rs`).
//! What an order or a ticket is, is not decided here.

mod begin;
mod calls;
pub mod declines;
pub mod disputes;
pub mod effects;
mod engine;
pub mod gateway;
mod inbox;
mod looks;
pub mod provider;
mod reconcile;
mod refunding;
mod service;
pub mod store;
mod transitions;
mod trials;
mod void;
mod webhook;

pub use engine::{CALLS_AT_ONCE, Engine};
pub use gateway::Gateway;
pub use provider::ProviderMode;
pub use reconcile::{Found, Reconciler};
pub use refunding::Refunding;
pub use service::{PAY_WAIT, PaymentsService};
pub use void::Voids;
pub use webhook::{StripeWebhooks, WebhookVerifier, Webhooks};
