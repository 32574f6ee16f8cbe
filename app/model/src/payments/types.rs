//! The wire types of payments.

use crate::{
    ids::{OrderId, PaymentId},
    money::Currency,
};
use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Under way; it ends one way or the other by itself.
    Processing,
    /// The buyer's bank wants to hear from the buyer.
    RequiresAction,
    /// The card was refused; another may be tried while the tickets are held.
    Declined,
    /// The money is taken and the tickets are the buyer's.
    Captured,
    /// Given back before it was taken: nothing was charged.
    Voided,
    /// Paid back.
    Refunded,
}

/// One payment of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// The order it is for.
    pub order_id: OrderId,
    /// Stripe's name for it; null until Stripe has answered.
    pub stripe_id: Option<String>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What is charged, in minor units.
    pub amount_minor: i64,
    /// The order's currency.
    pub currency: Currency,
    /// While it requires action: what Stripe.js needs to go on.
    pub client_secret: Option<String>,
}

/// What paying takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pay {
    /// The order.
    pub order_id: OrderId,
    /// A Stripe ConfirmationToken (`ctoken_…`) or PaymentMethod (`pm_…`).
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9_]+$")
    )]
    pub token: String,
}
