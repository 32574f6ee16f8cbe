//! The types of a seller's listings and sales. They reach the browser as pages or as JSON.

use crate::tickets::TicketStatus;
use crate::{
    ids::{EventId, OrderId, TicketId},
    money::{Currency, Money},
};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

/// The current number of tickets of each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// On sale.
    pub available: i64,
    /// Held by a buyer who is paying.
    pub reserved: i64,
    /// Bought.
    pub sold: i64,
    /// Off sale: taken back, or refunded.
    pub withdrawn: i64,
}

impl Counts {
    pub fn all(self) -> i64 {
        self.available + self.reserved + self.sold + self.withdrawn
    }

    /// The count of one status; of all for `None`.
    pub fn of(self, status: Option<TicketStatus>) -> i64 {
        match status {
            None => self.all(),
            Some(TicketStatus::Available) => self.available,
            Some(TicketStatus::Reserved) => self.reserved,
            Some(TicketStatus::Sold) => self.sold,
            Some(TicketStatus::Withdrawn) => self.withdrawn,
        }
    }
}

/// A seller's tickets for one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SaleGroup {
    /// The event.
    pub event_id: EventId,
    /// Its title.
    pub title: String,
    /// The house and the town.
    pub place: String,
    /// When it begins, UTC.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub starts_at: Timestamp,
    /// When it ends, UTC; null if that is not known.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ends_at: Option<Timestamp>,
    /// IANA time zone of the venue.
    pub time_zone: String,
    /// Whether the seller created the event, and so may change it.
    pub created: bool,
    /// How they stand.
    pub counts: Counts,
    /// What the sold ones cost together, in minor units; those that were refunded left out.
    pub revenue_minor: i64,
    /// The event's currency.
    pub currency: Currency,
}

impl SaleGroup {
    pub fn revenue(&self) -> Money {
        Money::new(self.revenue_minor, self.currency)
    }
}

/// Which of a seller's events to list.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupQuery {
    /// Only events for which a ticket stands so.
    #[serde(default)]
    pub status: Option<TicketStatus>,
    /// From 1.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 10_000))]
    pub page: Option<i64>,
}

/// A page of a seller's events: those to come first, soonest first, then those that were, latest
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SaleGroups {
    /// At most 10.
    pub groups: Vec<SaleGroup>,
    /// Whether there is another page.
    pub more: bool,
}

/// The unsold tickets of one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsoldSection {
    /// Empty for tickets without a section.
    pub section: String,
    /// The number of tickets that are on sale or held.
    pub unsold: i64,
}

/// Changes the price of all unsold tickets of an event that are not held.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reprice {
    /// Of this event.
    pub event_id: EventId,
    /// Only of this section; empty for tickets without one. All, if it is missing.
    #[serde(default)]
    pub section: Option<String>,
    /// The new whole price.
    #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0))]
    pub price_minor: i64,
}

/// Withdraws all unsold tickets of an event that are not held.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TakeBack))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WithdrawUnsold {
    /// Of this event.
    pub event_id: EventId,
    /// Only of this section; empty for tickets without one. All, if it is missing.
    #[serde(default)]
    pub section: Option<String>,
}

/// What a change of many tickets did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// The number of changed tickets.
    pub changed: i64,
    /// The number of tickets that were not changed because they are held by a buyer.
    pub held: i64,
}

/// Other sellers' tickets for an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriceComparison {
    pub available: i64,
    /// The lowest price, in minor units.
    pub cheapest_minor: Option<i64>,
    /// The lowest price in the same section, in minor units.
    pub cheapest_in_section_minor: Option<i64>,
}

/// What was sold on one day in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DaySales {
    /// By the clocks of UTC.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub day: Date,
    /// How many tickets.
    pub tickets: i64,
    /// What they cost, in minor units.
    pub revenue_minor: i64,
    /// Of the payments.
    pub currency: Currency,
}

/// What was sold day by day; what has been refunded since is left out, and so are days without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SalesByDay {
    /// The first day looked at.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub from: Date,
    /// The last: today.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub to: Date,
    /// Oldest first.
    pub days: Vec<DaySales>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleStatus {
    Sold,
    /// A refund is pending.
    Refunding,
    Refunded,
}

/// The sale of one ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    pub ticket_id: TicketId,
    pub order_id: OrderId,
    /// The event's title.
    pub event: String,
    pub section: Option<String>,
    pub row: Option<String>,
    pub seat: Option<String>,
    /// What the buyer paid.
    pub price: Money,
    pub status: SaleStatus,
    /// When the payment was captured.
    pub sold_at: Timestamp,
    pub refunded_at: Option<Timestamp>,
    /// The seller's share; zero once refunded.
    pub payout: Money,
}
