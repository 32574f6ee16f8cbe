//! Payments: charges an order to a card, and only if the buyer gets the tickets.
//!
//! Owns the tables `payments`, `payment_effects`, `payment_provider`, `stripe_inbox`, `card_trials` and
//! `disputes`. Every call to Stripe is an effect: a row committed before the call, with its own
//! idempotency key, repeated with the same key until its outcome is known (`engine.rs`). Money is captured
//! only behind the order's fence (`transitions.rs`). Webhooks (`webhook.rs`) are hints to ask Stripe for
//! the present state; the hourly comparison (`reconcile.rs`) makes up for lost ones.
//! Does not change orders or tickets except by calling their transitions.

mod begin;
mod calls;
pub mod declines;
pub mod disputes;
pub mod effects;
mod engine;
pub mod gateway;
mod inbox;
mod lookups;
pub mod provider;
mod reconcile;
mod refund_transitions;
mod service;
pub mod store;
mod transitions;
mod trials;
mod void;
mod webhook;

pub use engine::{CALLS_AT_ONCE, Engine};
pub use gateway::Gateway;
pub use provider::ProviderMode;
pub use reconcile::{ReconcileReport, Reconciler};
pub use refund_transitions::RefundTransitions;
pub use service::{PAY_WAIT, PaymentsService};
pub use void::PaymentVoider;
pub use webhook::{StripeWebhooks, WebhookVerifier, Webhooks};
