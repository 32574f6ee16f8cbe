//! The row of a ticket, and its conversion to what clients see.

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

/// The stored state of a ticket. Whether it is held is in `held_until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// For sale, or held by an order.
    Listed,
    Sold,
    /// Withdrawn by the seller or an operator, or returned after a refund.
    Withdrawn,
}

model::text_columns!(State);

#[derive(Debug, Clone, FromRow)]
pub struct TicketRow {
    pub id: TicketId,
    pub event_id: EventId,
    pub seller_id: UserId,
    /// The buyer, once sold.
    pub owner_id: Option<UserId>,
    pub section: Option<String>,
    #[sqlx(rename = "row_label")]
    pub row: Option<String>,
    pub seat: Option<String>,
    /// The whole price.
    pub price_minor: MinorUnits,
    pub face_value_minor: Option<MinorUnits>,
    /// The event's currency.
    pub currency: Currency,
    pub state: State,
    /// The order that holds it, or whose lapsed hold has not been cleared.
    pub held_by: Option<OrderId>,
    /// [`Moment::EPOCH`] if not held.
    pub held_until: Moment,
    /// From 1; incremented by each change.
    pub version: i64,
}

/// `held_until` of a ticket whose payment is being captured: the hold does not lapse.
pub const HELD_FOR_CAPTURE: Moment = Moment::MAX;

impl TicketRow {
    /// The status at `now`: a hold ends by the clock, not by a job.
    pub(crate) fn status(&self, now: Moment) -> TicketStatus {
        match self.state {
            State::Sold => TicketStatus::Sold,
            State::Withdrawn => TicketStatus::Withdrawn,
            State::Listed if self.held_until > now => TicketStatus::Reserved,
            State::Listed => TicketStatus::Available,
        }
    }

    /// Seconds until the hold ends. `None` without a hold, or while the payment is being captured.
    pub(crate) fn reserved_seconds_left(&self, now: Moment) -> Option<i64> {
        (self.status(now) == TicketStatus::Reserved && self.held_until != HELD_FOR_CAPTURE)
            .then(|| self.held_until.seconds_left(now))
    }

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

    /// What clients see at `now`.
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

    /// The domain event for this row, which must be as it is after the change.
    pub fn event(&self, kind: EventType, now: Moment) -> DomainEvent {
        DomainEvent::new(kind, self.id, self.version, &self.ticket(now))
    }
}
