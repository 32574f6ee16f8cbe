//! The possible steps: every commit, every arriving request, every answer that is read, and the passing of
//! time. A crash needs no step of its own: the process that had a lease or an answer does not continue, and
//! the steps of the process that replaces it are included.

use super::{
    Model,
    invariants::Invariant,
    protocol::{Clock, StepResult, claim, pay, refund},
    stripe::{
        CARD_OUTCOMES, change_dispute, end_refund, receive_dropped_request, refund_in_dashboard,
    },
    world::{
        AGE_OLD, Answer, DROPPED_CAPTURE, DROPPED_VOID, Dispute, Intent, Refund, Stage, State,
    },
};

/// One step. A number is an order, unless stated otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Reserve(usize),
    Pay(usize),
    Cancel(usize),
    Refund(usize),
    /// Of a ticket.
    EditPrice(usize),
    /// Of a ticket.
    Withdraw(usize),
    /// The order's age increases by one.
    TimePasses(usize),
    Expire(usize),
    Claim(usize),
    RequestArrives(usize, Answer),
    DroppedRequestArrives(usize, u8),
    Settle(usize, Clock),
    ReadBeforeRetry(usize, Clock),
    /// The intent is read because of a webhook or by the order's page, with this status.
    ReadIntent(usize, Intent, Clock),
    IntentChanges(usize, Intent),
    RefundEnds(usize, Refund),
    RefundInDashboard(usize),
    DisputeChanges(usize, Dispute),
    /// Refunds and disputes are read because of a webhook or by the hourly reconciliation.
    ReadExternalChanges(usize),
}

impl Move {
    /// Priority of the steps that happen without a new request; lower values first. `None`: the step is not
    /// certain to happen.
    pub fn priority(self, s: &State) -> Option<u8> {
        match self {
            Self::ReadIntent(order, status, Clock::Correct) => {
                (status == s.orders[order].payment.intent).then_some(0)
            }
            // Stripe always finishes processing; banks and buyers may never act.
            Self::IntentChanges(order, _) => {
                (s.orders[order].payment.intent == Intent::Processing).then_some(0)
            }
            Self::Settle(_, Clock::Correct) | Self::ReadBeforeRetry(_, Clock::Correct) => Some(1),
            Self::RequestArrives(..) => Some(2),
            Self::Claim(_) => Some(3),
            Self::RefundEnds(..) | Self::ReadExternalChanges(_) => Some(4),
            Self::Expire(_) => Some(5),
            Self::TimePasses(_) => Some(6),
            _ => None,
        }
    }
}

/// A step from a state, with its result.
pub type Step = (Move, Result<State, Invariant>);

impl Model {
    /// Appends every possible step with its result.
    pub fn steps(self, s: &State, steps: &mut Vec<Step>) {
        steps.clear();
        for order in 0..2 {
            if self.parameters.order_tickets[order] == 0 {
                continue;
            }
            if s.orders[order].stage == Stage::Absent {
                self.push_infallible_step(s, steps, Move::Reserve(order), |s| {
                    self.may_reserve_next(s, order) && self.reserve(s, order)
                });
                continue;
            }
            self.buyer_steps(s, steps, order);
            self.shop_steps(s, steps, order);
            self.stripe_steps(s, steps, order);
        }
        for ticket in 0..2 {
            if self.parameters.seller
                && self
                    .parameters
                    .order_tickets
                    .iter()
                    .any(|order_tickets| order_tickets & (1 << ticket) != 0)
            {
                self.push_step(s, steps, Move::EditPrice(ticket), |s| self.edit(s, ticket));
                let withdraw = |s: &mut State| self.withdraw(s, ticket);
                self.push_infallible_step(s, steps, Move::Withdraw(ticket), withdraw);
            }
        }
    }

    /// Two orders of the same tickets are symmetric, so the first order is created first.
    fn may_reserve_next(self, s: &State, order: usize) -> bool {
        let symmetric = self.parameters.order_tickets[0] == self.parameters.order_tickets[1];
        order == 0 || !symmetric || s.orders[0].stage != Stage::Absent
    }

    /// A mutation may distinguish states that the protocol does not, so its search merges none.
    fn merged(self, s: State) -> State {
        if self.merges_states {
            s.normalised()
        } else {
            s
        }
    }

    fn push_step(
        self,
        s: &State,
        steps: &mut Vec<Step>,
        step: Move,
        work: impl FnOnce(&mut State) -> StepResult,
    ) {
        let mut next = *s;
        match work(&mut next) {
            Ok(true) => steps.push((step, Ok(self.merged(next)))),
            Ok(false) => {}
            Err(violated) => steps.push((step, Err(violated))),
        }
    }

    fn push_infallible_step(
        self,
        s: &State,
        steps: &mut Vec<Step>,
        step: Move,
        work: impl FnOnce(&mut State) -> bool,
    ) {
        self.push_step(s, steps, step, |s| Ok(work(s)));
    }

    fn buyer_steps(self, s: &State, steps: &mut Vec<Step>, order: usize) {
        self.push_step(s, steps, Move::Pay(order), |s| pay(s, order));
        self.push_step(s, steps, Move::Cancel(order), |s| self.cancel(s, order));
        if self.parameters.refunds {
            self.push_step(s, steps, Move::Refund(order), |s| refund(s, order));
        }
        self.push_infallible_step(s, steps, Move::TimePasses(order), |s| advance_age(s, order));
    }

    fn shop_steps(self, s: &State, steps: &mut Vec<Step>, order: usize) {
        self.push_step(s, steps, Move::Expire(order), |s| self.expire(s, order));
        self.push_infallible_step(s, steps, Move::Claim(order), |s| claim(s, order));
        for clock in [Clock::Correct, Clock::Slow] {
            let settle = |s: &mut State| self.settle(s, order, clock);
            self.push_step(s, steps, Move::Settle(order, clock), settle);
            let read = |s: &mut State| self.read_before_retry(s, order, clock);
            self.push_step(s, steps, Move::ReadBeforeRetry(order, clock), read);
            let payment = &s.orders[order].payment;
            for status in [Intent::Declined, Intent::RequiresAction, Intent::Authorised] {
                if payment.past_statuses & status.status_bit() != 0 {
                    let read = |s: &mut State| self.apply_status(s, order, status, clock);
                    self.push_step(s, steps, Move::ReadIntent(order, status, clock), read);
                }
            }
            if payment.intent.is_final() {
                let status = payment.intent;
                let read = |s: &mut State| self.apply_status(s, order, status, clock);
                self.push_step(s, steps, Move::ReadIntent(order, status, clock), read);
            }
        }
    }

    fn stripe_steps(self, s: &State, steps: &mut Vec<Step>, order: usize) {
        let final_statuses = [Intent::Succeeded, Intent::Canceled];
        let answers = CARD_OUTCOMES
            .into_iter()
            .chain(final_statuses)
            .map(Answer::Status);
        for answer in answers.chain([Answer::Refused]) {
            self.push_step(s, steps, Move::RequestArrives(order, answer), |s| {
                self.receive_request(s, order, answer)
                    .map_or(Ok(false), |step| step.map(|()| true))
            });
        }
        for dropped in [DROPPED_VOID, DROPPED_CAPTURE] {
            self.push_step(s, steps, Move::DroppedRequestArrives(order, dropped), |s| {
                receive_dropped_request(s, order, dropped)
                    .map_or(Ok(false), |step| step.map(|()| true))
            });
        }
        for to in CARD_OUTCOMES.into_iter().chain(final_statuses) {
            let change = |s: &mut State| self.change_intent(s, order, to);
            self.push_infallible_step(s, steps, Move::IntentChanges(order, to), change);
        }
        if self.parameters.external_refunds {
            self.push_infallible_step(s, steps, Move::RefundInDashboard(order), |s| {
                refund_in_dashboard(s, order)
            });
            for to in [Dispute::Open, Dispute::Won, Dispute::Lost] {
                let change = |s: &mut State| change_dispute(s, order, to);
                self.push_infallible_step(s, steps, Move::DisputeChanges(order, to), change);
            }
            self.push_infallible_step(s, steps, Move::ReadExternalChanges(order), |s| {
                self.read_external_changes(s, order)
            });
        }
        for end in [Refund::Done, Refund::Failed] {
            let end_refund = |s: &mut State| end_refund(s, order, end);
            self.push_infallible_step(s, steps, Move::RefundEnds(order, end), end_refund);
        }
    }
}

/// An order never becomes older than one that was created before it.
fn advance_age(s: &mut State, order: usize) -> bool {
    let age = s.orders[order].age;
    let younger = (order == 0) == s.second_is_older;
    let other = &s.orders[1 - order];
    let is_limited = younger && other.stage != Stage::Absent && other.age <= age;
    if age == AGE_OLD || is_limited {
        return false;
    }
    s.orders[order].age += 1;
    true
}
