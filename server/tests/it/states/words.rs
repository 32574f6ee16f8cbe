//! The types that model and shop share: moves and answers. Contains no rules.

use super::model::{Attempt, OrderState, TicketNo};
use std::{collections::BTreeSet, fmt};

/// One action of a user or a bank, one run of a periodic task, or an advance of the clock.
#[derive(Debug, Clone)]
pub enum Move {
    Reserve {
        attempt: Attempt,
        user: usize,
        selection: Selection,
    },
    /// Reserves again with the same Idempotency-Key, perhaps with another body.
    Repeat {
        attempt: Attempt,
        selection: Selection,
    },
    Pay {
        order: Attempt,
        user: usize,
        card: Card,
    },
    AnswerBank {
        order: Attempt,
        approves: bool,
    },
    DeliverWebhooks,
    /// The buyer reads the payment.
    ReadPayment {
        order: Attempt,
    },
    Cancel {
        order: Attempt,
        user: usize,
    },
    MoreTime {
        order: Attempt,
        user: usize,
    },
    AdvanceTime {
        seconds: i64,
    },
    Sweep,
    /// The order's expiry job runs, on time or not.
    RunExpiryJob {
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
        user: usize,
        tickets: Vec<TicketNo>,
    },
    RefundOrder {
        user: usize,
        order: Attempt,
    },
    /// Tries five cards in a row that are declined.
    PayWithDeclinedCards {
        order: Attempt,
        user: usize,
    },
    /// A refund in Stripe's Dashboard.
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

/// Number of cards that [`Move::PayWithDeclinedCards`] tries.
pub const DECLINED_CARDS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// The whole remaining amount.
    All,
    Part(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    Named(Vec<TicketNo>),
    Any(usize),
}

impl Selection {
    /// The same selection with its tickets in order.
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
    RequiresAction,
}

/// The expected result of a move.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// No result.
    Nothing,
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
    /// A ticket with this price.
    Ticket {
        http: u16,
        price: i64,
    },
    /// 204.
    NoContent,
    /// Whether the move had an effect.
    Effect(bool),
    /// The number of orders that the sweep expired.
    Swept(usize),
}

impl fmt::Display for Answer {
    /// The format in which `shop.rs` prints answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
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
            Self::NoContent => f.write_str("204"),
            Self::Effect(did) => write!(f, "did {did}"),
            Self::Swept(orders) => write!(f, "swept {orders}"),
        }
    }
}

/// The name of an order's state in the API.
pub fn name(state: OrderState) -> &'static str {
    match state {
        OrderState::Created => "created",
        OrderState::AwaitingPayment => "awaiting_payment",
        OrderState::Complete => "complete",
        OrderState::Expired => "expired",
        OrderState::Cancelled => "cancelled",
        OrderState::Refunded => "refunded",
    }
}
