//! Stripe behind the shop's ports: the gateway of payments and refunds, the list of intents for
//! `stagedoor audit`, and the verification of webhooks.
//!
//! Owns no tables and decides nothing about orders or payments. No other crate uses async-stripe.

mod gateway;
mod list;
mod webhooks;

pub use gateway::StripeGateway;
pub use list::{ListedIntent, StripeList};
pub use webhooks::WebhookSecrets;
