//! Tickets, as the browser sees them.

use crate::{
    ids::{EventId, TicketId, UserId},
    money::{Currency, Money},
};
use serde::{Deserialize, Serialize};

/// Where a ticket stands this moment. `Reserved` ends by the clock, whatever any job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TicketStatus {
    /// Can be bought.
    Available,
    /// Somebody holds it while they pay.
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

/// Section, row and seat as one line.
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

/// Tickets of one event that differ in nothing that a buyer chooses by: any of them will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Their section.
    pub section: Option<String>,
    /// The whole price of each, in minor units.
    pub price_minor: i64,
    /// What was first paid for each.
    pub face_value_minor: Option<i64>,
    /// Whose.
    pub seller_id: UserId,
    /// Their name.
    pub seller_name: String,
    /// How many can be bought this moment.
    pub available: i64,
    /// How many somebody is paying for.
    pub reserved: i64,
}

/// What the section of a ticket without one is called.
pub const NO_SECTION: &str = "General admission";

/// Which of an event's tickets a buyer wants to see. All of them, if nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OfferFilter {
    /// In this section; [`NO_SECTION`] for those without one.
    pub section: Option<String>,
    /// None dearer, in minor units.
    pub max_price_minor: Option<i64>,
    /// So many at one price from one seller, or on neighbouring seats of a row.
    pub together: Option<i64>,
}

impl OfferFilter {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// What an event page shows for sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Unnumbered tickets by section, the cheapest section first, cheapest first in each; at most
    /// 200.
    pub groups: Vec<Offer>,
    /// Single seats with row or seat, cheapest first, with their seller's name; at most 100.
    pub seats: Vec<(Ticket, String)>,
    /// Whether there are more seats than are shown.
    pub more_seats: bool,
    /// The sections of all that is listed, whatever the filter, the cheapest first.
    pub sections: Vec<String>,
    /// How many can be bought in all, whatever the filter.
    pub available: i64,
    /// How many somebody is paying for, whatever the filter.
    pub reserved: i64,
    /// How many have been bought.
    pub sold: i64,
    /// Seconds until the first of the holds ends by the clock, rounded up.
    pub reserved_seconds_left: Option<i64>,
}

/// What a seller sees of an event's listings of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedTicket {
    /// The ticket.
    pub ticket: Ticket,
    /// The event's title.
    pub event_title: String,
    /// The event's house and town.
    pub event_place: String,
    /// When it begins, in the venue's zone, ready to read.
    pub event_when: String,
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_label_says_what_is_known() {
        assert_eq!(label(None, None, None), "General admission");
        assert_eq!(
            label(Some("Stalls"), Some("C"), Some("12")),
            "Stalls, Row C, Seat 12"
        );
        assert_eq!(label(Some("Standing"), None, None), "Standing");
    }
}
