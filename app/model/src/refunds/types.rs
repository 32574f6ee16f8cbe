//! The wire types of refunds.

use crate::{
    ids::{OrderId, RefundId, TicketId},
    money::{Currency, Money},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// The money is on its way back.
    Pending,
    /// It is back.
    Succeeded,
    /// The buyer's bank did not take it; a person looks after it.
    Failed,
}

/// Money of a paid order on its way back to its buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// The order that was paid.
    pub order_id: OrderId,
    /// Where it stands.
    pub status: RefundStatus,
    /// What goes back, in minor units.
    pub amount_minor: i64,
    /// The order's currency.
    pub currency: Currency,
    /// The tickets that it pays back: theirs no longer once it has succeeded. Empty for money
    /// that no ticket stood for.
    pub ticket_ids: Vec<TicketId>,
    /// When it was asked for, UTC.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
}

impl Refund {
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

/// The part of a refund that concerns one ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRefund {
    pub ticket_id: TicketId,
    /// The order in which it was bought.
    pub order_id: OrderId,
    pub status: RefundStatus,
    /// The ticket's price.
    pub amount_minor: i64,
    pub currency: Currency,
    pub created_at: Timestamp,
}

impl TicketRefund {
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

/// What to refund: these tickets of one paid order, or all of an order's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AskRefund))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRefund {
    /// 1 to 8 sold tickets of one order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 8))]
    pub ticket_ids: Option<Vec<TicketId>>,
    /// All tickets of this order that have not been refunded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
}

/// The refunds of one order, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RefundList {
    /// All of them.
    pub refunds: Vec<Refund>,
}

/// What a seller is owed for sold tickets, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// In minor units.
    pub amount_minor: i64,
    /// Of what was sold.
    pub currency: Currency,
}

/// What a seller is owed, a line for each currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OwedList {
    /// One for each currency that something was sold in.
    pub owed: Vec<Owed>,
}
