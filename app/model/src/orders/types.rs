//! Orders as sent to browsers and API clients.

use crate::{
    error::{AppError, AppResult},
    tickets::Ticket,
};
use crate::{
    ids::{EventId, OrderId, PaymentId, TicketId, UserId},
    money::{Currency, Money},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most tickets that one order can hold.
pub const TICKETS_PER_ORDER_MAX: usize = 8;

/// Where an order stands. Money being captured shows as `awaiting_payment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// The tickets are held; no payment has begun.
    Created,
    /// A payment has begun.
    AwaitingPayment,
    /// Paid; the tickets are the buyer's.
    Complete,
    /// Not paid in time.
    Expired,
    /// Given up by the buyer.
    Cancelled,
    /// Paid back.
    Refunded,
}

/// One purchase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Where it stands.
    pub status: OrderStatus,
    /// When the hold ends, UTC. Moves once at most: when the buyer asks for more time.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
    /// Seconds until then by the server's clock, rounded up; 0 when it is over.
    pub seconds_left: i64,
    /// Seconds that the buyer may add, once, in the last so many seconds of the hold; 0 once that
    /// was done, or where nothing is held any more.
    pub more_time_seconds: i64,
    /// What the buyer pays in all, in minor units.
    pub total_minor: i64,
    /// The event's currency.
    pub currency: Currency,
    /// The tickets, at the prices of the moment of reserving.
    pub tickets: Vec<Ticket>,
    /// The newest payment, once one has begun.
    pub payment_id: Option<PaymentId>,
    /// Counts changes, from 1.
    pub version: i64,
}

impl Order {
    /// What the buyer pays in all.
    pub fn total(&self) -> Money {
        Money::new(self.total_minor, self.currency)
    }

    /// Whether the tickets are still held and can be paid for.
    pub fn is_open(&self) -> bool {
        matches!(
            self.status,
            OrderStatus::Created | OrderStatus::AwaitingPayment
        )
    }

    /// Whether the hold can be extended now.
    pub fn can_extend_hold(&self) -> bool {
        (1..=self.more_time_seconds).contains(&self.seconds_left)
    }

    /// The event that all its tickets admit to.
    pub fn event_id(&self) -> Option<EventId> {
        self.tickets.first().map(|ticket| ticket.event_id)
    }
}

/// One thing that has happened to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// When, UTC.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// What.
    pub what: Happening,
    /// The money that it is about, in minor units of the order's currency.
    pub amount_minor: Option<i64>,
    /// The reason, if the buyer may see it.
    pub reason: Option<String>,
}

/// The kinds of entries of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The tickets were reserved.
    Reserved,
    /// The buyer took more time.
    MoreTime,
    /// A payment began.
    PaymentBegun,
    /// A card was declined; another may be tried.
    Declined,
    /// It is paid, and the tickets are the buyer's.
    Paid,
    /// The time ran out.
    Expired,
    /// The buyer gave the tickets back.
    Cancelled,
    /// A late payment found the tickets still free, and they were taken back.
    Revived,
    /// Money is on its way back.
    RefundBegun,
    /// Money is back.
    Refunded,
    /// A refund did not get through.
    RefundFailed,
}

/// What has happened to an order, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// All of it.
    pub moments: Vec<TimelineEntry>,
}

/// Which tickets to reserve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Reserve {
    /// These.
    Named(ReserveNamed),
    /// Any so many of an event, cheapest first.
    Any(ReserveAny),
}

impl Reserve {
    /// The number of tickets. Errors: `Invalid` if it is not from 1 to [`TICKETS_PER_ORDER_MAX`].
    pub fn count(&self) -> AppResult<usize> {
        let count = match self {
            Self::Any(any) => usize::try_from(any.quantity).unwrap_or_default(),
            Self::Named(named) => named.ticket_ids.len(),
        };
        if (1..=TICKETS_PER_ORDER_MAX).contains(&count) {
            return Ok(count);
        }
        let message = format!("An order is for 1 to {TICKETS_PER_ORDER_MAX} tickets.");
        Err(AppError::invalid("", message))
    }
}

/// Reserve exactly these tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReserveNamed {
    /// 1 to 8 tickets of one event, each once.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 8))]
    pub ticket_ids: Vec<TicketId>,
}

/// Reserve any so many, cheapest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReserveAny {
    /// The event.
    pub event_id: EventId,
    /// 1 to 8.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 8))]
    pub quantity: i64,
    /// Only in this section.
    #[serde(default)]
    pub section: Option<String>,
    /// None dearer than this.
    #[serde(default)]
    pub max_price_minor: Option<i64>,
    /// Only what one offer of an event's page shows. The pages' own; REST has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub offer: Option<OfferOf>,
}

/// One offer of an event's page: a seller's unnumbered tickets of one section (or without one) at one
/// price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferOf {
    pub seller_id: UserId,
    /// Price per ticket, in minor units.
    pub price_minor: i64,
    /// Face value per ticket, in minor units.
    pub face_value_minor: Option<i64>,
}

/// One page of one's own orders, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderList {
    /// This page.
    pub orders: Vec<Order>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// Which page of one's own orders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderQuery {
    /// `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// 1 to 100; 20 if missing.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 100))]
    pub limit: Option<i64>,
}

/// Summary of an order that can still be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    pub id: OrderId,
    pub event_id: EventId,
    pub event_title: String,
    /// The number of tickets.
    pub tickets: i64,
    /// Seconds until the hold ends by the server's clock, rounded up; at least 1.
    pub seconds_left: i64,
}

impl OpenOrder {
    /// `1 ticket`, `3 tickets`.
    pub fn ticket_count(&self) -> String {
        match self.tickets {
            1 => "1 ticket".to_owned(),
            more => format!("{more} tickets"),
        }
    }
}
