//! The ports of all features, for pages, REST routes and webhooks.

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

#[derive(Clone)]
pub struct Api {
    pub accounts: Arc<dyn Accounts>,
    pub account_care: Arc<dyn AccountCare>,
    pub second_factor: Arc<dyn SecondFactor>,
    pub events: Arc<dyn Events>,
    pub pictures: Arc<dyn Pictures>,
    pub tickets: Arc<dyn Tickets>,
    pub orders: Arc<dyn Orders>,
    pub history: Arc<dyn OrderHistory>,
    pub payments: Arc<dyn Payments>,
    pub passes: Arc<dyn Passes>,
    pub refunds: Arc<dyn Refunds>,
    pub selling: Arc<dyn Selling>,
    pub waiting: Arc<dyn WaitingList>,
    /// Stream of changes to tickets.
    pub live: Arc<Live>,
    /// Limits the number of open streams.
    pub listeners: Arc<Listeners>,
    pub webhooks: Arc<dyn StripeWebhooks>,
}
