//! What the features offer to pages, REST routes and webhooks: one field for each port.

use crate::{events::Listeners, payments::StripeWebhooks};
use model::{
    accounts::{AccountCare, Accounts, SecondFactor},
    events::{Events, Pictures},
    orders::{OrderHistory, Orders},
    passes::Passes,
    payments::Payments,
    refunds::Refunds,
    selling::Selling,
    tickets::Tickets,
    waiting::WaitingList,
};
use platform::outbox::Live;
use std::sync::Arc;

/// The ports that pages and routes call.
#[derive(Clone)]
pub struct Api {
    /// Signing up, in and out.
    pub accounts: Arc<dyn Accounts>,
    /// A new password, where one is signed in, leaving.
    pub account_care: Arc<dyn AccountCare>,
    /// A code besides the password.
    pub second_factor: Arc<dyn SecondFactor>,
    /// What is on.
    pub events: Arc<dyn Events>,
    /// What that looks like.
    pub pictures: Arc<dyn Pictures>,
    /// What is for sale.
    pub tickets: Arc<dyn Tickets>,
    /// Reserving.
    pub orders: Arc<dyn Orders>,
    /// What has happened to an order.
    pub history: Arc<dyn OrderHistory>,
    /// Paying.
    pub payments: Arc<dyn Payments>,
    /// Letting in.
    pub passes: Arc<dyn Passes>,
    /// Paying back.
    pub refunds: Arc<dyn Refunds>,
    /// What sellers see and change at once.
    pub selling: Arc<dyn Selling>,
    /// Waiting for tickets.
    pub waiting: Arc<dyn WaitingList>,
    /// What happens to tickets, as it happens.
    pub live: Arc<Live>,
    /// Who listens to it.
    pub listeners: Arc<Listeners>,
    /// What Stripe sends.
    pub webhooks: Arc<dyn StripeWebhooks>,
}
