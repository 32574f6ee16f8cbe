//! Stripe behind the shop's ports: the gateway that payments and refunds call, the list of charges that
//! `stagedoor audit` compares the books with, and the signatures of webhooks.
//!
//! Owns no tables and decides nothing about orders or payments. No other crate knows async-stripe.

mod gateway;
mod list;
mod webhooks;

pub use gateway::StripeGateway;
pub use list::{ListedIntent, StripeList};
pub use webhooks::WebhookSecrets;
