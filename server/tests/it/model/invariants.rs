//! The invariants: of every state, of every step, and of states at rest.

use super::{
    Model,
    world::{Intent, Kind, Paying, Progress, Refund, Sale, Stage, State, Until},
};
use shop::orders::state::{State as OrderState, has_transition};

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// A ticket is live in at most one order.
    OneLiveOrder,
    /// A live order whose hold has not ended holds each of its tickets.
    LockIsKept,
    /// Money is captured only for a fenced order.
    CaptureBehindFence,
    /// An order is complete if and only if it has a captured payment and all its tickets.
    CompleteIsPaid,
    /// A voided payment can never be charged, so a second payment never doubles the first.
    VoidedIsVoid,
    /// No price changes during a hold, and the price charged is the ticket's.
    PriceStandsUnderHold,
    /// One effect creates one object at Stripe.
    OneObjectPerEffect,
    /// Orders follow the transitions of `orders/state.rs`, so they leave a final state only by a revival, a
    /// refund or a failed refund.
    OrdersMoveByTheTable,
    /// No payment has more pending calls than the engine makes in one run.
    FewCallsWait,
    /// At rest: the captured and not refunded amount of an order is its total if it is complete, else zero;
    /// unless a refund failed or was refused, and an incident was opened.
    BankAgrees,
    /// At rest: the tickets of a payment are frozen if and only if a dispute of it is open or lost.
    FrozenWhileDisputed,
    /// At rest: no order that ended unpaid has an authorisation.
    NoAuthorisationIsLeft,
    /// At rest: every order is in a final state, and no call is pending.
    EveryOrderEnds,
    /// Every state leads to rest.
    ComesToRest,
}

fn require(holds: bool, invariant: Invariant) -> Result<(), Invariant> {
    if holds { Ok(()) } else { Err(invariant) }
}

impl Model {
    /// Invariants of every state.
    pub fn check(self, s: &State) -> Result<(), Invariant> {
        for ticket in 0..2 {
            let live = |order: &usize| {
                s.orders[*order].stage.is_live() && self.lines(*order).any(|line| line == ticket)
            };
            require((0..2).filter(live).count() <= 1, Invariant::OneLiveOrder)?;
        }
        for order in 0..2 {
            self.check_order(s, order)?;
        }
        Ok(())
    }

    fn check_order(self, s: &State, order: usize) -> Result<(), Invariant> {
        let row = &s.orders[order];
        let payment = &row.payment;
        require(!payment.doubled, Invariant::OneObjectPerEffect)?;
        if matches!(payment.stage, Paying::Voided | Paying::Failed) {
            let nothing = matches!(payment.intent, Intent::None | Intent::Gone);
            let [oldest, ..] = payment.calls;
            let comes =
                oldest.kind == Kind::Create && !matches!(oldest.progress, Progress::Answered(_));
            require(nothing && !comes, Invariant::VoidedIsVoid)?;
        }
        let complete = row.stage == Stage::Complete;
        let captured = payment.stage == Paying::Captured;
        require(complete == captured, Invariant::CompleteIsPaid)?;
        if complete {
            let back = payment.refund == Refund::Done && !payment.by_hand;
            let paid = payment.intent == Intent::Taken && !back;
            require(paid, Invariant::CompleteIsPaid)?;
        }
        let owns = complete || row.stage == Stage::Refunding;
        let fenced = row.stage == Stage::Capturing;
        let waiting = matches!(row.stage, Stage::Created | Stage::AwaitingPayment);
        for ticket in self.lines(order) {
            let what = &s.tickets[ticket];
            let has = usize::from(what.holder) == order;
            let sold = what.sale == Sale::Sold && has;
            require(sold == owns, Invariant::CompleteIsPaid)?;
            if fenced || (waiting && !s.lapsed(order)) {
                let locked = s.holds(order, ticket);
                let kept = locked && fenced == (what.until == Until::Captured);
                require(kept, Invariant::LockIsKept)?;
                require(!row.repriced[ticket], Invariant::PriceStandsUnderHold)?;
            }
        }
        Ok(())
    }
}

/// Invariants of states at rest.
pub fn check_rest(s: &State) -> Result<(), Invariant> {
    for row in &s.orders {
        let payment = &row.payment;
        let complete = row.stage == Stage::Complete;
        let kept = payment.intent == Intent::Taken && payment.refund != Refund::Done;
        // A refund failed, or was refused because of a dispute: an operator refunds it.
        let known_failure = row.attention;
        let frozen = payment.heard.freezes() == payment.dispute.freezes();
        require(frozen, Invariant::FrozenWhileDisputed)?;
        require(kept == complete || known_failure, Invariant::BankAgrees)?;
        let reserved = payment.intent == Intent::Authorised;
        require(!reserved, Invariant::NoAuthorisationIsLeft)?;
        let ended = matches!(
            row.stage,
            Stage::Absent | Stage::Complete | Stage::Expired | Stage::Cancelled | Stage::Refunded
        );
        let waits = payment.calls.iter().any(|call| call.kind != Kind::None);
        require(ended && !waits, Invariant::EveryOrderEnds)?;
    }
    Ok(())
}

/// Invariants of a step.
pub fn check_step(before: &State, after: &State) -> Result<(), Invariant> {
    for (was, is) in before.orders.iter().zip(&after.orders) {
        let allowed = was.stage == is.stage
            || match (was.stage.in_shop(), is.stage.in_shop()) {
                (None, Some(first)) => first == OrderState::Created,
                (Some(was), Some(is)) => has_transition(was, is),
                (_, None) => false,
            };
        require(allowed, Invariant::OrdersMoveByTheTable)?;
    }
    Ok(())
}
