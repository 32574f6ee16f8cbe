//! Refunds of sold tickets, and of captured money that belongs to no ticket.
//!
//! Owns the tables `refunds` and `refund_lines`. A request (`service.rs`) inserts the refund and the effect
//! of the call to Stripe; Stripe's reports, at once or days later, change order, tickets and ledger
//! (`transitions.rs`). The call itself is made by `payments/engine.rs`.

mod after_calls;
mod elsewhere;
mod service;
pub(crate) mod store;
pub(crate) mod transitions;

pub(crate) use after_calls::Transitions;
pub(crate) use service::RefundsService;
