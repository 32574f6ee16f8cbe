//! The state of the model: two orders, their tickets, a payment each, and Stripe's data. Owns the structure of
//! a state, its key for the search, and which states are merged (`settled_down`). Has no steps.
//!
//! Volatile data of the real program is not part of a state. A process may crash at any time, so an answer
//! may be read now, later, twice or never: [`Payment::seen`] has every status that the intent ever had, each
//! of which may still be read.

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
pub enum Paying {
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

impl Paying {
    /// Whether statuses of its card have no effect any more.
    fn is_past_its_card(self) -> bool {
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
    Asks,
    /// Stripe is processing it and rejects calls (`processing`).
    Processing,
    /// `requires_capture`.
    Authorised,
    /// `succeeded`.
    Taken,
    /// `canceled`.
    Gone,
}

impl Intent {
    /// Whether the status is final.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Taken | Self::Gone)
    }

    /// The bit in [`Payment::seen`]. Final statuses have none, since they are never outdated; nor has
    /// `processing`, which has no effect.
    pub fn seen_bit(self) -> u8 {
        match self {
            Self::Declined => 1,
            Self::Asks => 2,
            Self::Authorised => 4,
            Self::None | Self::Processing | Self::Taken | Self::Gone => 0,
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

/// The state of a dispute. There is at most one per payment, which keeps the world small.
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
pub enum Kind {
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
    Stands(Intent),
    /// Not possible: invalid for a creation, otherwise because the intent had moved on.
    Refused,
}

/// A pending row of `payment_effects`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub kind: Kind,
    pub progress: Progress,
}

pub const NO_CALL: Call = Call {
    kind: Kind::None,
    progress: Progress::Fresh,
};

/// Maximum number of pending effects of one payment.
pub const CALLS: usize = 3;
/// A void that was dropped while its request may be on the way.
pub const GHOST_VOID: u8 = 1;
/// The same of a capture.
pub const GHOST_CAPTURE: u8 = 2;

/// A row of `payments`, with what Stripe knows of its intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    pub stage: Paying,
    /// Another card was tried: at most one, to keep the world small.
    pub confirmed: bool,
    /// Pending effects, oldest first.
    pub calls: [Call; CALLS],
    /// Requests that may still arrive although they were given up.
    pub ghosts: u8,
    pub intent: Intent,
    /// Statuses that an answer in transit may have.
    pub seen: u8,
    pub refund: Refund,
    /// The refund was made in Stripe's Dashboard.
    pub by_hand: bool,
    /// The state at Stripe.
    pub dispute: Dispute,
    /// The state known to the shop.
    pub heard: Dispute,
    /// One effect created a second object at Stripe.
    pub doubled: bool,
}

pub const NO_PAYMENT: Payment = Payment {
    stage: Paying::Absent,
    confirmed: false,
    calls: [NO_CALL; CALLS],
    ghosts: 0,
    intent: Intent::None,
    seen: 0,
    refund: Refund::None,
    by_hand: false,
    dispute: Dispute::None,
    heard: Dispute::None,
    doubled: false,
};

impl Payment {
    /// Stripe's side moves.
    pub fn turn(&mut self, intent: Intent) {
        self.intent = intent;
        self.seen |= intent.seen_bit();
    }
}

/// An order's age, in steps of what it changes: before `expires_at`.
pub const AGE_IN_TIME: u8 = 0;
/// Past `expires_at`, within the grace of a payment that has begun.
pub const AGE_GRACE: u8 = 1;
/// Past `hold_until`, whatever it is.
pub const AGE_LAPSED: u8 = 2;
/// A day later, or the event has begun: nothing revives any more.
pub const AGE_OLD: u8 = 3;

/// A row of `orders` with its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub stage: Stage,
    pub age: u8,
    /// An incident is open: a refund failed.
    pub attention: bool,
    /// A second payment was begun: there is no third, to keep the world small.
    pub again: bool,
    /// For each ticket, whether its price is another than the line's.
    pub repriced: [bool; 2],
    /// For each ticket, how many versions it is ahead of the line; at most two.
    pub drift: [u8; 2],
    pub payment: Payment,
}

const NO_ORDER: Order = Order {
    stage: Stage::Absent,
    age: AGE_IN_TIME,
    attention: false,
    again: false,
    repriced: [false; 2],
    drift: [0; 2],
    payment: NO_PAYMENT,
};

/// What a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Sale {
    Listed,
    Sold,
    Withdrawn,
}

/// When a ticket's hold ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Until {
    /// When its order's hold does.
    HoldUntil,
    /// Until the capture succeeds or fails.
    Captured,
}

/// A ticket's holder if there is none.
pub const NOBODY: u8 = 2;

/// A row of `tickets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub sale: Sale,
    /// The order that holds it or, once it is sold, for which it was.
    pub holder: u8,
    pub until: Until,
}

const FREE: Ticket = Ticket {
    sale: Sale::Listed,
    holder: NOBODY,
    until: Until::HoldUntil,
};

/// The durable data of the shop and Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub orders: [Order; 2],
    pub tickets: [Ticket; 2],
    /// The second order was made before the first.
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
        let begun = self.orders[order].payment.stage != Paying::Absent;
        self.orders[order].age >= if begun { AGE_LAPSED } else { AGE_GRACE }
    }

    /// Whether the ticket is held by the clock.
    pub fn is_locked(&self, ticket: usize) -> bool {
        let ticket = self.tickets[ticket];
        let lapsed = || self.lapsed(usize::from(ticket.holder));
        ticket.holder != NOBODY && (ticket.until == Until::Captured || !lapsed())
    }

    /// Whether the order holds the ticket, possibly lapsed.
    pub fn holds(&self, order: usize, ticket: usize) -> bool {
        let ticket = self.tickets[ticket];
        ticket.sale == Sale::Listed && usize::from(ticket.holder) == order
    }

    /// Resets data that has no effect any more, so that equivalent states are merged.
    pub fn settled_down(mut self) -> Self {
        for order in &mut self.orders {
            order.settle_down();
        }
        if self.orders.iter().all(|order| order.age == AGE_OLD) {
            self.second_is_older = false;
        }
        self
    }

    /// Its key: different for states that differ.
    pub fn key(&self) -> u128 {
        let mut key = Key(0);
        for order in &self.orders {
            order.write(&mut key);
        }
        for ticket in &self.tickets {
            key.push(ticket.sale as u8, 2);
            key.push(ticket.holder, 2);
            key.push(ticket.until as u8, 1);
        }
        key.push(u8::from(self.second_is_older), 1);
        key.0
    }
}

impl Order {
    fn settle_down(&mut self) {
        let payment = &mut self.payment;
        payment.settle_down();
        let may_live = match self.stage {
            Stage::Absent | Stage::Created | Stage::AwaitingPayment | Stage::Capturing => true,
            Stage::Expired => {
                let touched = self.drift.contains(&2) || self.age == AGE_OLD;
                !payment.stage.is_past_its_card() && !touched
            }
            Stage::Complete | Stage::Cancelled | Stage::Refunding | Stage::Refunded => false,
        };
        if !may_live {
            self.age = AGE_OLD;
            self.drift = [2; 2];
            self.repriced = [false; 2];
            payment.forget_the_card();
        }
        if self.age > AGE_IN_TIME {
            self.again = true;
            payment.confirmed = true;
        }
    }

    fn write(&self, key: &mut Key) {
        key.push(self.stage as u8, 4);
        key.push(self.age, 2);
        key.push(u8::from(self.attention), 1);
        key.push(u8::from(self.again), 1);
        for ticket in 0..2 {
            key.push(u8::from(self.repriced[ticket]), 1);
            key.push(self.drift[ticket], 2);
        }
        let payment = &self.payment;
        key.push(payment.stage as u8, 4);
        key.push(u8::from(payment.confirmed), 1);
        for call in &payment.calls {
            key.push(call.code(), 6);
        }
        key.push(payment.ghosts, 2);
        key.push(payment.intent as u8, 3);
        key.push(payment.seen, 3);
        key.push(payment.refund as u8, 2);
        key.push(u8::from(payment.by_hand), 1);
        key.push(payment.dispute as u8, 2);
        key.push(payment.heard as u8, 2);
        key.push(u8::from(payment.doubled), 1);
    }
}

impl Payment {
    fn settle_down(&mut self) {
        match self.stage {
            stage if stage.is_past_its_card() => self.forget_the_card(),
            Paying::Voiding => self.seen &= Intent::Authorised.seen_bit(),
            Paying::Capturing => self.seen &= !Intent::Asks.seen_bit(),
            _ => {}
        }
        if self.intent == Intent::None || self.intent.is_end() {
            self.ghosts = 0;
        }
    }

    /// Resets the data of the card: only final statuses have an effect.
    fn forget_the_card(&mut self) {
        self.seen = 0;
        self.confirmed = true;
        for call in &mut self.calls {
            if let Progress::Answered(Answer::Stands(intent)) = &mut call.progress
                && intent.seen_bit() != 0
            {
                *intent = Intent::Declined;
            }
        }
    }
}

impl Call {
    /// In six bits.
    fn code(self) -> u8 {
        let progress = match self.progress {
            Progress::Fresh => 0,
            Progress::Tried => 1,
            Progress::Answered(Answer::Refused) => 2,
            Progress::Answered(Answer::Stands(intent)) => 2 + intent as u8,
        };
        self.kind as u8 * 10 + progress
    }
}

/// Bits, one after the other.
struct Key(u128);

impl Key {
    fn push(&mut self, value: u8, bits: u32) {
        debug_assert!(u32::from(value) < 1 << bits, "{value} needs more bits");
        self.0 = self.0 << bits | u128::from(value);
    }
}
