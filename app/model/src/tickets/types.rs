//! The wire types of tickets.

use crate::{
    ids::{EventId, TicketId, UserId},
    money::{Currency, Money},
};
use serde::{Deserialize, Serialize};

/// The current status of a ticket. `Reserved` ends with the hold, even if no job has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TicketStatus {
    /// Can be bought.
    Available,
    /// Held by a buyer who is paying.
    Reserved,
    /// Bought.
    Sold,
    /// Taken off sale by its seller.
    Withdrawn,
}

/// One listed ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// The event it admits to.
    pub event_id: EventId,
    /// Who sells it.
    pub seller_id: UserId,
    /// Stalls, Balcony, Standing.
    pub section: Option<String>,
    /// Row in the section.
    pub row: Option<String>,
    /// Seat in the row.
    pub seat: Option<String>,
    /// Section, row and seat as one line; "General admission" if there is none.
    pub label: String,
    /// The whole price, in minor units. In an order: the price at the moment of reserving.
    pub price_minor: i64,
    /// What was first paid for it, in minor units.
    pub face_value_minor: Option<i64>,
    /// The event's currency.
    pub currency: Currency,
    /// Where it stands.
    pub status: TicketStatus,
    /// While reserved: seconds until the hold ends, rounded up.
    pub reserved_seconds_left: Option<i64>,
    /// Counts changes, from 1.
    pub version: i64,
}

impl Ticket {
    /// The whole price.
    pub fn price(&self) -> Money {
        Money::new(self.price_minor, self.currency)
    }
}

/// Section, row and seat as one line; [`NO_SECTION`] if there is none.
pub fn label(section: Option<&str>, row: Option<&str>, seat: Option<&str>) -> String {
    let parts: Vec<String> = [
        section.map(str::to_owned),
        row.map(|row| format!("Row {row}")),
        seat.map(|seat| format!("Seat {seat}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        NO_SECTION.to_owned()
    } else {
        parts.join(", ")
    }
}

/// What listing one ticket takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListTicket {
    /// An event whose sales have not ended.
    pub event_id: EventId,
    /// In minor units, all that the buyer pays: an amount that a card can be charged in the
    /// event's currency. Where the currency has three decimals, it ends in 0.
    #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0))]
    pub price_minor: i64,
    /// What was first paid for it.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(minimum = 1, maximum = 999_999_999_999_i64)
    )]
    pub face_value_minor: Option<i64>,
    /// Up to 40 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 40))]
    pub section: Option<String>,
    /// Up to 10 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 10))]
    pub row: Option<String>,
    /// Up to 10 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 10))]
    pub seat: Option<String>,
}

/// What listing many alike takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListBatch {
    /// An event whose sales have not ended.
    pub event_id: EventId,
    /// 1 to 10 000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 10_000))]
    pub quantity: i64,
    /// In minor units, all that the buyer pays: an amount that a card can be charged in the
    /// event's currency. Where the currency has three decimals, it ends in 0.
    #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0))]
    pub price_minor: i64,
    /// What was first paid for each.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(minimum = 1, maximum = 999_999_999_999_i64)
    )]
    pub face_value_minor: Option<i64>,
    /// Up to 40 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 40))]
    pub section: Option<String>,
}

/// What a batch became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// How many.
    pub created: i64,
    /// Which.
    pub ticket_ids: Vec<TicketId>,
}

/// What changing a listing takes. What is missing stays as it is; an empty text clears.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditTicket {
    /// The new whole price.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0))]
    pub price_minor: Option<i64>,
    /// Up to 40 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 40))]
    pub section: Option<String>,
    /// Up to 10 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 10))]
    pub row: Option<String>,
    /// Up to 10 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 10))]
    pub seat: Option<String>,
    /// The version that was read.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub version: i64,
}

/// Which tickets to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TicketQuery {
    /// Of this event.
    #[serde(default)]
    pub event_id: Option<EventId>,
    /// Standing so this moment.
    #[serde(default)]
    pub status: Option<TicketStatus>,
    /// A seller's id, or `me`.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        param(pattern = "^(me|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$")
    )]
    pub seller_id: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// 1 to 100; 20 if missing.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 100))]
    pub limit: Option<i64>,
}

/// One page of tickets. Of an event: cheapest first; otherwise newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TicketList {
    /// This page.
    pub tickets: Vec<Ticket>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// Unnumbered tickets of one event with the same section, price, face value and seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub section: Option<String>,
    /// The whole price of each, in minor units.
    pub price_minor: i64,
    /// In minor units.
    pub face_value_minor: Option<i64>,
    pub seller_id: UserId,
    pub seller_name: String,
    /// The number of tickets that can be bought now.
    pub available: i64,
    /// The number of held tickets.
    pub reserved: i64,
}

/// The displayed name of a missing section.
pub const NO_SECTION: &str = "General admission";

/// Which of an event's tickets to show. The default shows all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OfferFilter {
    /// [`NO_SECTION`] selects tickets without a section.
    pub section: Option<String>,
    /// In minor units.
    pub max_price_minor: Option<i64>,
    /// Only offers with at least this many tickets, and runs of at least this many adjacent seats.
    pub together: Option<i64>,
}

impl OfferFilter {
    /// Whether it excludes nothing.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// What is for sale at an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Unnumbered tickets by section, the cheapest section first, cheapest first in each; at most
    /// 200.
    pub groups: Vec<Offer>,
    /// Tickets with a row or seat and the names of their sellers, cheapest first; at most 100.
    pub seats: Vec<(Ticket, String)>,
    /// Whether `seats` is incomplete.
    pub more_seats: bool,
    /// The sections of all listed tickets, regardless of the filter, the cheapest first.
    pub sections: Vec<String>,
    /// The number of tickets that can be bought, regardless of the filter.
    pub available: i64,
    /// The number of held tickets, regardless of the filter.
    pub reserved: i64,
    /// The number of sold tickets.
    pub sold: i64,
    /// Seconds until the first hold ends, rounded up.
    pub reserved_seconds_left: Option<i64>,
}

/// A ticket that a buyer has bought, with its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedTicket {
    pub ticket: Ticket,
    pub event_title: String,
    /// Venue and city.
    pub event_place: String,
    /// Start and end in the venue's time zone, formatted.
    pub event_when: String,
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_label_contains_the_known_parts() {
        assert_eq!(label(None, None, None), "General admission");
        assert_eq!(
            label(Some("Stalls"), Some("C"), Some("12")),
            "Stalls, Row C, Seat 12"
        );
        assert_eq!(label(Some("Standing"), None, None), "Standing");
    }
}
