//! The invariants of every state, of every step, and of quiescent states.

use super::{
    Model,
    world::{CallKind, HoldEnd, Intent, PaymentStage, Progress, Refund, Stage, State, TicketState},
};
use shop::orders::state::{State as OrderState, has_transition};

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// A ticket is live in at most one order.
    OneLiveOrder,
    /// A live order whose hold has not ended holds each of its tickets.
    HoldIsKept,
    /// Money is captured only for a fenced order.
    CaptureIsFenced,
    /// An order is complete if and only if it has a captured payment and all its tickets.
    CompleteIsPaid,
    /// A voided payment can never be charged, so an order is never charged twice.
    VoidedIsNeverCharged,
    /// No price changes during a hold, and the price charged is the ticket's price.
    PriceIsFixedDuringHold,
    /// One effect creates one object at Stripe.
    OneObjectPerEffect,
    /// Orders follow the transitions of `orders/state.rs`, so they leave a final state only by a revival, a
    /// refund or a failed refund.
    TransitionsAreAllowed,
    /// No payment has more pending calls than the engine makes in one run.
    FewPendingCalls,
    /// Quiescent states: the captured and not refunded amount of an order is its total if it is complete, else zero;
    /// unless a refund failed or was refused, and an incident was opened.
    StripeAgrees,
    /// Quiescent states: the tickets of a payment are frozen if and only if a dispute of it is open or lost.
    FrozenWhileDisputed,
    /// Quiescent states: no order that ended unpaid has an authorisation.
    NoAuthorisationIsLeft,
    /// Quiescent states: every order is in a final state, and no call is pending.
    EveryOrderEnds,
    /// Every path of steps without a new request ends.
    Terminates,
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
        require(!payment.duplicated, Invariant::OneObjectPerEffect)?;
        if matches!(payment.stage, PaymentStage::Voided | PaymentStage::Failed) {
            let not_charged = matches!(payment.intent, Intent::None | Intent::Canceled);
            let [oldest, ..] = payment.calls;
            let may_be_created = oldest.kind == CallKind::Create
                && !matches!(oldest.progress, Progress::Answered(_));
            require(
                not_charged && !may_be_created,
                Invariant::VoidedIsNeverCharged,
            )?;
        }
        let complete = row.stage == Stage::Complete;
        let captured = payment.stage == PaymentStage::Captured;
        require(complete == captured, Invariant::CompleteIsPaid)?;
        if complete {
            let is_refunded = payment.refund == Refund::Done && !payment.refunded_in_dashboard;
            let paid = payment.intent == Intent::Succeeded && !is_refunded;
            require(paid, Invariant::CompleteIsPaid)?;
        }
        let owns = complete || row.stage == Stage::Refunding;
        let fenced = row.stage == Stage::Capturing;
        let waiting = matches!(row.stage, Stage::Created | Stage::AwaitingPayment);
        for ticket in self.lines(order) {
            let ticket_row = &s.tickets[ticket];
            let is_holder = usize::from(ticket_row.holder) == order;
            let sold = ticket_row.state == TicketState::Sold && is_holder;
            require(sold == owns, Invariant::CompleteIsPaid)?;
            if fenced || (waiting && !s.lapsed(order)) {
                let held = s.holds(order, ticket);
                let kept = held && fenced == (ticket_row.hold_end == HoldEnd::AfterCapture);
                require(kept, Invariant::HoldIsKept)?;
                require(!row.repriced[ticket], Invariant::PriceIsFixedDuringHold)?;
            }
        }
        Ok(())
    }
}

/// Invariants of quiescent states.
pub fn check_quiescent(s: &State) -> Result<(), Invariant> {
    for row in &s.orders {
        let payment = &row.payment;
        let complete = row.stage == Stage::Complete;
        let kept = payment.intent == Intent::Succeeded && payment.refund != Refund::Done;
        // A refund failed, or was refused because of a dispute: an operator has to refund it.
        let known_failure = row.incident_open;
        let frozen = payment.known_dispute.freezes() == payment.dispute.freezes();
        require(frozen, Invariant::FrozenWhileDisputed)?;
        require(kept == complete || known_failure, Invariant::StripeAgrees)?;
        let authorised = payment.intent == Intent::Authorised;
        require(!authorised, Invariant::NoAuthorisationIsLeft)?;
        let ended = matches!(
            row.stage,
            Stage::Absent | Stage::Complete | Stage::Expired | Stage::Cancelled | Stage::Refunded
        );
        let is_pending = payment.calls.iter().any(|call| call.kind != CallKind::None);
        require(ended && !is_pending, Invariant::EveryOrderEnds)?;
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
        require(allowed, Invariant::TransitionsAreAllowed)?;
    }
    Ok(())
}
