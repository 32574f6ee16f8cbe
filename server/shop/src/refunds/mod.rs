//! Refunds: money of sold tickets, or of no ticket at all, on its way back.
//!
//! Owns the tables `refunds` and `refund_lines`. Asking for a refund (`service.rs`) writes it down
//! together with the call to Stripe; what Stripe then says of it, now or days later, moves order,
//! tickets and books (`transitions.rs`). The call itself is an effect like all others
//! (`payments/engine.rs`).

mod after_calls;
mod elsewhere;
mod service;
pub(crate) mod store;
pub(crate) mod transitions;

pub(crate) use after_calls::AfterCalls;
pub(crate) use service::RefundsService;
