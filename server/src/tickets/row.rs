//! A ticket's row, and what the outside sees of it at a given moment.

use super::rules::Place;
use crate::{
    clock::seconds_until,
    db::parse,
    outbox::{DomainEvent, EventType},
};
use app::tickets::{Ticket, TicketStatus, label};
use model::{
    ids::{EventId, TicketId, UserId},
    money::Currency,
};
use sqlx::{Row, any::AnyRow};

/// The columns of [`TicketRow`], in its order.
pub const COLUMNS: &str = "id, event_id, seller_id, owner_id, section, row_label, seat, \
     price_minor, face_value_minor, currency, state, held_by, held_until, version";

/// What the database says of a ticket.
#[derive(Debug, Clone)]
pub struct TicketRow {
    /// Its id.
    pub id: TicketId,
    /// The event it admits to.
    pub event_id: EventId,
    /// Who sells it.
    pub seller_id: UserId,
    /// Who bought it.
    pub owner_id: Option<UserId>,
    /// Stalls, Balcony.
    pub section: Option<String>,
    /// Row in the section.
    pub row: Option<String>,
    /// Seat in the row.
    pub seat: Option<String>,
    /// The whole price, in minor units.
    pub price_minor: i64,
    /// What was first paid for it, in minor units.
    pub face_value_minor: Option<i64>,
    /// The event's currency.
    pub currency: Currency,
    /// `listed`, `sold` or `withdrawn`.
    pub state: String,
    /// The order that holds it, or held it and has not been tidied up.
    pub held_by: Option<String>,
    /// Until when, in microseconds; 0 if nobody does.
    pub held_until: i64,
    /// Counts changes, from 1.
    pub version: i64,
}

/// `held_until` of a ticket whose money is being taken: it does not lapse.
pub const HELD_FOR_CAPTURE: i64 = i64::MAX;

impl TicketRow {
    /// Reads [`COLUMNS`].
    pub fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: parse(row, "id")?,
            event_id: parse(row, "event_id")?,
            seller_id: parse(row, "seller_id")?,
            owner_id: row
                .try_get::<Option<String>, _>("owner_id")?
                .map(|id| id.parse())
                .transpose()
                .map_err(|error: uuid::Error| sqlx::Error::Decode(error.into()))?,
            section: row.try_get("section")?,
            row: row.try_get("row_label")?,
            seat: row.try_get("seat")?,
            price_minor: row.try_get("price_minor")?,
            face_value_minor: row.try_get("face_value_minor")?,
            currency: parse(row, "currency")?,
            state: row.try_get("state")?,
            held_by: row.try_get("held_by")?,
            held_until: row.try_get("held_until")?,
            version: row.try_get("version")?,
        })
    }

    /// Where it stands at `now`: "reserved" ends by the clock.
    pub fn status(&self, now_micros: i64) -> TicketStatus {
        match self.state.as_str() {
            "sold" => TicketStatus::Sold,
            "withdrawn" => TicketStatus::Withdrawn,
            _ if self.held_until > now_micros => TicketStatus::Reserved,
            _ => TicketStatus::Available,
        }
    }

    /// Seconds until the hold ends; while the money is being taken, no end is known.
    pub fn reserved_seconds_left(&self, now_micros: i64) -> Option<i64> {
        (self.status(now_micros) == TicketStatus::Reserved && self.held_until != HELD_FOR_CAPTURE)
            .then(|| seconds_until(self.held_until, now_micros))
    }

    /// Where it admits to.
    pub(super) fn place(&self) -> Place {
        Place {
            section: self.section.clone(),
            row: self.row.clone(),
            seat: self.seat.clone(),
        }
    }

    /// `Stalls, row C, seat 12`
    pub fn label(&self) -> String {
        label(
            self.section.as_deref(),
            self.row.as_deref(),
            self.seat.as_deref(),
        )
    }

    /// As the outside sees it at `now`.
    pub fn ticket(&self, now_micros: i64) -> Ticket {
        Ticket {
            id: self.id,
            event_id: self.event_id,
            seller_id: self.seller_id,
            section: self.section.clone(),
            row: self.row.clone(),
            seat: self.seat.clone(),
            label: self.label(),
            price_minor: self.price_minor,
            face_value_minor: self.face_value_minor,
            currency: self.currency,
            status: self.status(now_micros),
            reserved_seconds_left: self.reserved_seconds_left(now_micros),
            version: self.version,
        }
    }

    /// The domain event that tells of this row as it is after a change.
    pub fn event(&self, kind: EventType, now_micros: i64) -> DomainEvent {
        DomainEvent::new(kind, self.id, self.version, &self.ticket(now_micros))
    }
}
