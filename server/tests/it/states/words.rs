//! The types shared by model and shop: moves and answers. Has no rules.

use super::model::{Attempt, State, TicketNo};
use std::{collections::BTreeSet, fmt};

/// One action of a user, a bank or time.
#[derive(Debug, Clone)]
pub enum Move {
    Reserve {
        attempt: Attempt,
        who: usize,
        wanted: Wanted,
    },
    /// The same Idempotency-Key again, perhaps with another body.
    Repeat {
        attempt: Attempt,
        wanted: Wanted,
    },
    Pay {
        order: Attempt,
        who: usize,
        card: Card,
    },
    AtBank {
        order: Attempt,
        approves: bool,
    },
    WebhooksArrive,
    /// The buyer's page reads the status of the payment.
    Look {
        order: Attempt,
    },
    Cancel {
        order: Attempt,
        who: usize,
    },
    MoreTime {
        order: Attempt,
        who: usize,
    },
    Pass {
        seconds: i64,
    },
    Sweep,
    /// The order's expiry job runs, on time or not.
    Timer {
        order: Attempt,
    },
    List {
        price: i64,
    },
    Edit {
        ticket: TicketNo,
        price: i64,
        stale: bool,
    },
    Withdraw {
        ticket: TicketNo,
    },
    Refund {
        who: usize,
        tickets: Vec<TicketNo>,
    },
    RefundOrder {
        who: usize,
        order: Attempt,
    },
    /// Tries five cards in a row that are declined.
    PayBadCards {
        order: Attempt,
        who: usize,
    },
    /// In Stripe's Dashboard.
    RefundAtStripe {
        order: Attempt,
        amount: Amount,
    },
    /// The cardholder disputes the payment.
    Dispute {
        order: Attempt,
    },
    /// The bank decides the dispute.
    CloseDispute {
        order: Attempt,
        won: bool,
    },
}

/// Number of cards that [`Move::PayBadCards`] tries.
pub const BAD_CARDS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// All that is left.
    All,
    Part(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Named(Vec<TicketNo>),
    Any(usize),
}

impl Wanted {
    /// The order in which tickets are named does not matter.
    pub fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        if let Self::Named(named) = &mut sorted {
            named.sort_unstable();
        }
        sorted
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    Good,
    Declined,
    AsksTheBank,
}

/// The expected result of a move.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// No result.
    Silence,
    /// An order, as it was at that time.
    Order {
        http: u16,
        order: Attempt,
        status: &'static str,
        total: i64,
        tickets: BTreeSet<TicketNo>,
    },
    Payment {
        http: u16,
        status: &'static str,
    },
    Refused {
        http: u16,
        code: &'static str,
        retry_after: Option<i64>,
    },
    Refund {
        status: &'static str,
        amount: i64,
    },
    /// A ticket at this price.
    Ticket {
        http: u16,
        price: i64,
    },
    /// 204.
    Gone,
    /// Whether it had an effect.
    Did(bool),
    Swept(usize),
}

impl fmt::Display for Answer {
    /// The format in which `shop.rs` prints answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("nothing"),
            Self::Order {
                http,
                order,
                status,
                total,
                tickets,
            } => {
                write!(f, "{http} order {order} {status} {total} {tickets:?}")
            }
            Self::Payment { http, status } => write!(f, "{http} payment {status}"),
            Self::Refused {
                http,
                code,
                retry_after: None,
            } => write!(f, "{http} {code} null"),
            Self::Refused {
                http,
                code,
                retry_after: Some(seconds),
            } => {
                write!(f, "{http} {code} {seconds}")
            }
            Self::Refund { status, amount } => write!(f, "201 refund {status} {amount}"),
            Self::Ticket { http, price } => write!(f, "{http} ticket {price}"),
            Self::Gone => f.write_str("204"),
            Self::Did(did) => write!(f, "did {did}"),
            Self::Swept(orders) => write!(f, "swept {orders}"),
        }
    }
}

/// The name in the API.
pub fn name(state: State) -> &'static str {
    match state {
        State::Created => "created",
        State::AwaitingPayment => "awaiting_payment",
        State::Complete => "complete",
        State::Expired => "expired",
        State::Cancelled => "cancelled",
        State::Refunded => "refunded",
    }
}
