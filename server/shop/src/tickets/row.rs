//! A ticket's row, and what the outside sees of it at a given moment.

use super::rules::Place;
use model::{
    Moment,
    ids::{EventId, OrderId, TicketId, UserId},
    money::{Currency, MinorUnits},
    tickets::{Ticket, TicketStatus, label},
};
use platform::outbox::{DomainEvent, EventType};
use sqlx_macros::FromRow;

/// The columns of [`TicketRow`], in its order.
pub const COLUMNS: &str = "id, event_id, seller_id, owner_id, section, row_label, seat, \
     price_minor, face_value_minor, currency, state, held_by, held_until, version";

/// What has become of a listing. Whether it is held is for `held_until` to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// For sale, or held by an order.
    Listed,
    /// Bought.
    Sold,
    /// Taken off sale, or returned after a refund.
    Withdrawn,
}

model::text_columns!(State);

/// What the database says of a ticket.
#[derive(Debug, Clone, FromRow)]
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
    #[sqlx(rename = "row_label")]
    pub row: Option<String>,
    /// Seat in the row.
    pub seat: Option<String>,
    /// The whole price, in minor units.
    pub price_minor: MinorUnits,
    /// What was first paid for it, in minor units.
    pub face_value_minor: Option<MinorUnits>,
    /// The event's currency.
    pub currency: Currency,
    /// Listed, sold or withdrawn.
    pub state: State,
    /// The order that holds it, or held it and has not been tidied up.
    pub held_by: Option<OrderId>,
    /// Until when; [`Moment::EPOCH`] if nobody does.
    pub held_until: Moment,
    /// Counts changes, from 1.
    pub version: i64,
}

/// `held_until` of a ticket whose money is being taken: it does not lapse.
pub const HELD_FOR_CAPTURE: Moment = Moment::MAX;

impl TicketRow {
    /// Where it stands at `now`: "reserved" ends by the clock.
    pub(crate) fn status(&self, now: Moment) -> TicketStatus {
        match self.state {
            State::Sold => TicketStatus::Sold,
            State::Withdrawn => TicketStatus::Withdrawn,
            State::Listed if self.held_until > now => TicketStatus::Reserved,
            State::Listed => TicketStatus::Available,
        }
    }

    /// Seconds until the hold ends; while the money is being taken, no end is known.
    pub(crate) fn reserved_seconds_left(&self, now: Moment) -> Option<i64> {
        (self.status(now) == TicketStatus::Reserved && self.held_until != HELD_FOR_CAPTURE)
            .then(|| self.held_until.seconds_left(now))
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
    pub(crate) fn label(&self) -> String {
        label(
            self.section.as_deref(),
            self.row.as_deref(),
            self.seat.as_deref(),
        )
    }

    /// As the outside sees it at `now`.
    pub(crate) fn ticket(&self, now: Moment) -> Ticket {
        Ticket {
            id: self.id,
            event_id: self.event_id,
            seller_id: self.seller_id,
            section: self.section.clone(),
            row: self.row.clone(),
            seat: self.seat.clone(),
            label: self.label(),
            price_minor: self.price_minor.get(),
            face_value_minor: self.face_value_minor.map(MinorUnits::get),
            currency: self.currency,
            status: self.status(now),
            reserved_seconds_left: self.reserved_seconds_left(now),
            version: self.version,
        }
    }

    /// The domain event that tells of this row as it is after a change.
    pub fn event(&self, kind: EventType, now: Moment) -> DomainEvent {
        DomainEvent::new(kind, self.id, self.version, &self.ticket(now))
    }
}
