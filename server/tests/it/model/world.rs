//! The state of the model: two orders, their tickets, a payment each, and Stripe's data. Owns the structure of
//! a state, its key for the search, and which states are merged (`normalised`). Contains no steps.
//!
//! Volatile data of the real program is not part of a state. A process may crash at any time, so an answer
//! may be read now, later, twice or never: [`Payment::past_statuses`] has every status that the intent ever
//! had, each of which may still be read.

use shop::orders::State as OrderState;

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    Absent,
    Created,
    AwaitingPayment,
    Capturing,
    Complete,
    Expired,
    Cancelled,
    Refunding,
    Refunded,
}

impl Stage {
    /// The corresponding state in the shop. `None`: there is no order yet.
    pub fn in_shop(self) -> Option<OrderState> {
        Some(match self {
            Self::Absent => return None,
            Self::Created => OrderState::Created,
            Self::AwaitingPayment => OrderState::AwaitingPayment,
            Self::Capturing => OrderState::Capturing,
            Self::Complete => OrderState::Complete,
            Self::Expired => OrderState::Expired,
            Self::Cancelled => OrderState::Cancelled,
            Self::Refunding => OrderState::Refunding,
            Self::Refunded => OrderState::Refunded,
        })
    }

    /// Whether it holds or owns its tickets.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Created
                | Self::AwaitingPayment
                | Self::Capturing
                | Self::Complete
                | Self::Refunding
        )
    }
}

/// The state of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PaymentStage {
    Absent,
    Intended,
    Open,
    RequiresAction,
    Capturing,
    Captured,
    Voiding,
    Voided,
    Failed,
    Refunding,
    Refunded,
}

impl PaymentStage {
    /// Whether statuses of its card have no effect any more.
    fn ignores_card_status(self) -> bool {
        matches!(
            self,
            Self::Absent
                | Self::Captured
                | Self::Voided
                | Self::Failed
                | Self::Refunding
                | Self::Refunded
        )
    }
}

/// The status of the `PaymentIntent` at Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Intent {
    None,
    /// The last card was declined (`requires_payment_method`).
    Declined,
    /// The bank requires an action of the buyer (`requires_action`).
    RequiresAction,
    /// Stripe is processing it and rejects calls (`processing`).
    Processing,
    /// `requires_capture`.
    Authorised,
    /// `succeeded`.
    Succeeded,
    /// `canceled`.
    Canceled,
}

impl Intent {
    /// Whether the status is final.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Canceled)
    }

    /// The bit in [`Payment::past_statuses`]. Final statuses have none, since they are never outdated; nor has
    /// `processing`, which has no effect.
    pub fn status_bit(self) -> u8 {
        match self {
            Self::Declined => 1,
            Self::RequiresAction => 2,
            Self::Authorised => 4,
            Self::None | Self::Processing | Self::Succeeded | Self::Canceled => 0,
        }
    }
}

/// The state of the refund at Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refund {
    None,
    Pending,
    Done,
    Failed,
}

/// The state of a dispute. There is at most one per payment, to limit the number of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dispute {
    None,
    Open,
    Won,
    Lost,
}

impl Dispute {
    /// Whether the payment cannot be refunded and its tickets are frozen.
    pub fn freezes(self) -> bool {
        matches!(self, Self::Open | Self::Lost)
    }
}

/// The kind of call of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CallKind {
    None,
    Create,
    Confirm,
    Capture,
    Void,
    Refund,
}

/// The progress of a pending effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    /// Not claimed yet.
    Fresh,
    /// Claimed at least once. The request may be in transit, lost, or repeated.
    Tried,
    /// Executed; Stripe stores this answer for the key and repeats it.
    Answered(Answer),
}

/// Stripe's answer; the intent may have changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The intent as it was then.
    Status(Intent),
    /// Not possible: invalid for a creation, otherwise because the intent had changed.
    Refused,
}

/// A pending row of `payment_effects`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub kind: CallKind,
    pub progress: Progress,
}

pub const NO_CALL: Call = Call {
    kind: CallKind::None,
    progress: Progress::Fresh,
};

/// Maximum number of pending effects of one payment.
pub const CALLS: usize = 3;
/// A void that was dropped while its request may be in transit.
pub const DROPPED_VOID: u8 = 1;
/// A capture that was dropped while its request may be in transit.
pub const DROPPED_CAPTURE: u8 = 2;

/// A row of `payments`, with what Stripe knows of its intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    pub stage: PaymentStage,
    /// Another card was tried: at most one, to limit the number of states.
    pub second_card: bool,
    /// Pending effects, oldest first.
    pub calls: [Call; CALLS],
    /// Dropped requests that may still arrive, as bits.
    pub dropped_requests: u8,
    pub intent: Intent,
    /// Statuses that an answer in transit may have, as bits.
    pub past_statuses: u8,
    pub refund: Refund,
    /// The refund was made in Stripe's Dashboard.
    pub refunded_in_dashboard: bool,
    /// The dispute's state at Stripe.
    pub dispute: Dispute,
    /// The dispute's state known to the shop.
    pub known_dispute: Dispute,
    /// One effect created a second object at Stripe.
    pub duplicated: bool,
}

pub const NO_PAYMENT: Payment = Payment {
    stage: PaymentStage::Absent,
    second_card: false,
    calls: [NO_CALL; CALLS],
    dropped_requests: 0,
    intent: Intent::None,
    past_statuses: 0,
    refund: Refund::None,
    refunded_in_dashboard: false,
    dispute: Dispute::None,
    known_dispute: Dispute::None,
    duplicated: false,
};

impl Payment {
    /// Sets the status at Stripe.
    pub fn set_intent(&mut self, intent: Intent) {
        self.intent = intent;
        self.past_statuses |= intent.status_bit();
    }
}

/// The first of the ages of an order: before `expires_at`.
pub const AGE_IN_TIME: u8 = 0;
/// Past `expires_at`, within the grace of a payment that has begun.
pub const AGE_GRACE: u8 = 1;
/// Past `hold_until`, with or without a grace.
pub const AGE_LAPSED: u8 = 2;
/// A day later, or the event has begun: the order cannot be revived any more.
pub const AGE_OLD: u8 = 3;

/// A row of `orders` with its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub stage: Stage,
    pub age: u8,
    /// An incident is open: a refund failed.
    pub incident_open: bool,
    /// A second payment was begun: there is no third, to limit the number of states.
    pub second_payment: bool,
    /// For each ticket, whether its price differs from the line's.
    pub repriced: [bool; 2],
    /// For each ticket, by how many versions it is ahead of the line; at most two.
    pub versions_ahead: [u8; 2],
    pub payment: Payment,
}

const NO_ORDER: Order = Order {
    stage: Stage::Absent,
    age: AGE_IN_TIME,
    incident_open: false,
    second_payment: false,
    repriced: [false; 2],
    versions_ahead: [0; 2],
    payment: NO_PAYMENT,
};

/// The state of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TicketState {
    Listed,
    Sold,
    Withdrawn,
}

/// When a ticket's hold ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum HoldEnd {
    /// With its order's hold.
    WithOrder,
    /// When the capture succeeds or fails.
    AfterCapture,
}

/// The holder of a ticket that no order holds.
pub const NO_HOLDER: u8 = 2;

/// A row of `tickets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub state: TicketState,
    /// The order that holds it or, once it is sold, that owns it.
    pub holder: u8,
    pub hold_end: HoldEnd,
}

const FREE: Ticket = Ticket {
    state: TicketState::Listed,
    holder: NO_HOLDER,
    hold_end: HoldEnd::WithOrder,
};

/// The durable data of the shop and Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub orders: [Order; 2],
    pub tickets: [Ticket; 2],
    /// The second order was created before the first.
    pub second_is_older: bool,
}

pub const START: State = State {
    orders: [NO_ORDER; 2],
    tickets: [FREE; 2],
    second_is_older: false,
};

impl State {
    /// Whether the order's hold has ended by the clock.
    pub fn lapsed(&self, order: usize) -> bool {
        let begun = self.orders[order].payment.stage != PaymentStage::Absent;
        self.orders[order].age >= if begun { AGE_LAPSED } else { AGE_GRACE }
    }

    /// Whether an order holds the ticket and its hold has not ended by the clock.
    pub fn is_held(&self, ticket: usize) -> bool {
        let ticket = self.tickets[ticket];
        let lapsed = || self.lapsed(usize::from(ticket.holder));
        ticket.holder != NO_HOLDER && (ticket.hold_end == HoldEnd::AfterCapture || !lapsed())
    }

    /// Whether the order holds the ticket, even if its hold has ended.
    pub fn holds(&self, order: usize, ticket: usize) -> bool {
        let ticket = self.tickets[ticket];
        ticket.state == TicketState::Listed && usize::from(ticket.holder) == order
    }

    /// Resets data that has no effect any more, so that equivalent states become equal.
    pub fn normalised(mut self) -> Self {
        for order in &mut self.orders {
            order.normalise();
        }
        if self.orders.iter().all(|order| order.age == AGE_OLD) {
            self.second_is_older = false;
        }
        self
    }

    /// A unique key of the state.
    pub fn key(&self) -> u128 {
        let mut key = Key(0);
        for order in &self.orders {
            order.write(&mut key);
        }
        for ticket in &self.tickets {
            key.push(ticket.state as u8, 2);
            key.push(ticket.holder, 2);
            key.push(ticket.hold_end as u8, 1);
        }
        key.push(u8::from(self.second_is_older), 1);
        key.0
    }
}

impl Order {
    fn normalise(&mut self) {
        let payment = &mut self.payment;
        payment.normalise();
        let can_be_paid = match self.stage {
            Stage::Absent | Stage::Created | Stage::AwaitingPayment | Stage::Capturing => true,
            Stage::Expired => {
                let ticket_changed = self.versions_ahead.contains(&2) || self.age == AGE_OLD;
                !payment.stage.ignores_card_status() && !ticket_changed
            }
            Stage::Complete | Stage::Cancelled | Stage::Refunding | Stage::Refunded => false,
        };
        if !can_be_paid {
            self.age = AGE_OLD;
            self.versions_ahead = [2; 2];
            self.repriced = [false; 2];
            payment.reset_card();
        }
        if self.age > AGE_IN_TIME {
            self.second_payment = true;
            payment.second_card = true;
        }
    }

    fn write(&self, key: &mut Key) {
        key.push(self.stage as u8, 4);
        key.push(self.age, 2);
        key.push(u8::from(self.incident_open), 1);
        key.push(u8::from(self.second_payment), 1);
        for ticket in 0..2 {
            key.push(u8::from(self.repriced[ticket]), 1);
            key.push(self.versions_ahead[ticket], 2);
        }
        let payment = &self.payment;
        key.push(payment.stage as u8, 4);
        key.push(u8::from(payment.second_card), 1);
        for call in &payment.calls {
            key.push(call.code(), 6);
        }
        key.push(payment.dropped_requests, 2);
        key.push(payment.intent as u8, 3);
        key.push(payment.past_statuses, 3);
        key.push(payment.refund as u8, 2);
        key.push(u8::from(payment.refunded_in_dashboard), 1);
        key.push(payment.dispute as u8, 2);
        key.push(payment.known_dispute as u8, 2);
        key.push(u8::from(payment.duplicated), 1);
    }
}

impl Payment {
    fn normalise(&mut self) {
        match self.stage {
            stage if stage.ignores_card_status() => self.reset_card(),
            PaymentStage::Voiding => self.past_statuses &= Intent::Authorised.status_bit(),
            PaymentStage::Capturing => self.past_statuses &= !Intent::RequiresAction.status_bit(),
            _ => {}
        }
        if self.intent == Intent::None || self.intent.is_final() {
            self.dropped_requests = 0;
        }
    }

    /// Resets the data of the card: only final statuses have an effect.
    fn reset_card(&mut self) {
        self.past_statuses = 0;
        self.second_card = true;
        for call in &mut self.calls {
            if let Progress::Answered(Answer::Status(intent)) = &mut call.progress
                && intent.status_bit() != 0
            {
                *intent = Intent::Declined;
            }
        }
    }
}

impl Call {
    /// A unique code of six bits.
    fn code(self) -> u8 {
        let progress = match self.progress {
            Progress::Fresh => 0,
            Progress::Tried => 1,
            Progress::Answered(Answer::Refused) => 2,
            Progress::Answered(Answer::Status(intent)) => 2 + intent as u8,
        };
        self.kind as u8 * 10 + progress
    }
}

/// A sequence of bits.
struct Key(u128);

impl Key {
    fn push(&mut self, value: u8, bits: u32) {
        debug_assert!(u32::from(value) < 1 << bits, "{value} needs more bits");
        self.0 = self.0 << bits | u128::from(value);
    }
}
