//! The possible steps: every commit, every arriving request, every answer that is read, and time. A crash
//! needs no step: a process that held a lease or an answer does not continue, and the steps that another
//! process takes instead are included.

use super::{
    Model,
    invariants::Invariant,
    protocol::{Clock, Done, claim, pay, refund},
    stripe::{CARD, arrive_late, dispute_moves, refund_by_hand, refund_ends},
    world::{AGE_OLD, Answer, Dispute, GHOST_CAPTURE, GHOST_VOID, Intent, Refund, Stage, State},
};

/// One step. Numbers are orders, unless noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Reserve(usize),
    Pay(usize),
    Cancel(usize),
    Refund(usize),
    /// A ticket.
    EditPrice(usize),
    /// A ticket.
    Withdraw(usize),
    /// The order's age increases by one.
    TimePasses(usize),
    Expire(usize),
    Claim(usize),
    RequestArrives(usize, Answer),
    DroppedRequestArrives(usize, u8),
    Settle(usize, Clock),
    LookFirst(usize, Clock),
    /// A webhook or the order's page caused a read of the intent, which had this status.
    Hear(usize, Intent, Clock),
    IntentMoves(usize, Intent),
    RefundEnds(usize, Refund),
    RefundByHand(usize),
    DisputeMoves(usize, Dispute),
    /// A change at Stripe becomes known, by a webhook or by the hourly reconciliation.
    HearElsewhere(usize),
}

impl Move {
    /// Priority of the steps that happen without a new request; lower values first. `None`: the step may never
    /// happen.
    pub fn urgency(self, s: &State) -> Option<u8> {
        match self {
            Self::Hear(order, said, Clock::Right) => {
                (said == s.orders[order].payment.intent).then_some(0)
            }
            // Stripe always proceeds; banks and buyers may not.
            Self::IntentMoves(order, _) => {
                (s.orders[order].payment.intent == Intent::Processing).then_some(0)
            }
            Self::Settle(_, Clock::Right) | Self::LookFirst(_, Clock::Right) => Some(1),
            Self::RequestArrives(..) => Some(2),
            Self::Claim(_) => Some(3),
            Self::RefundEnds(..) | Self::HearElsewhere(_) => Some(4),
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
            if self.world.wants[order] == 0 {
                continue;
            }
            if s.orders[order].stage == Stage::Absent {
                self.try_plain(s, steps, Move::Reserve(order), |s| {
                    self.may_be_next(s, order) && self.reserve(s, order)
                });
                continue;
            }
            self.buyer(s, steps, order);
            self.ours(s, steps, order);
            self.theirs(s, steps, order);
        }
        for ticket in 0..2 {
            if self.world.seller
                && self
                    .world
                    .wants
                    .iter()
                    .any(|wants| wants & (1 << ticket) != 0)
            {
                self.attempt(s, steps, Move::EditPrice(ticket), |s| self.edit(s, ticket));
                let withdraw = |s: &mut State| self.withdraw(s, ticket);
                self.try_plain(s, steps, Move::Withdraw(ticket), withdraw);
            }
        }
    }

    /// Two orders of the same tickets are symmetric, so only the first may be made first.
    fn may_be_next(self, s: &State, order: usize) -> bool {
        let alike = self.world.wants[0] == self.world.wants[1];
        order == 0 || !alike || s.orders[0].stage != Stage::Absent
    }

    /// A mutation may distinguish states that the protocol does not; then no states are merged.
    fn remember(self, s: State) -> State {
        if self.forgets { s.settled_down() } else { s }
    }

    fn attempt(
        self,
        s: &State,
        steps: &mut Vec<Step>,
        made: Move,
        work: impl FnOnce(&mut State) -> Done,
    ) {
        let mut next = *s;
        match work(&mut next) {
            Ok(true) => steps.push((made, Ok(self.remember(next)))),
            Ok(false) => {}
            Err(broken) => steps.push((made, Err(broken))),
        }
    }

    fn try_plain(
        self,
        s: &State,
        steps: &mut Vec<Step>,
        made: Move,
        work: impl FnOnce(&mut State) -> bool,
    ) {
        self.attempt(s, steps, made, |s| Ok(work(s)));
    }

    fn buyer(self, s: &State, steps: &mut Vec<Step>, order: usize) {
        self.attempt(s, steps, Move::Pay(order), |s| pay(s, order));
        self.attempt(s, steps, Move::Cancel(order), |s| self.cancel(s, order));
        if self.world.refunds {
            self.attempt(s, steps, Move::Refund(order), |s| refund(s, order));
        }
        self.try_plain(s, steps, Move::TimePasses(order), |s| grow_older(s, order));
    }

    fn ours(self, s: &State, steps: &mut Vec<Step>, order: usize) {
        self.attempt(s, steps, Move::Expire(order), |s| self.expire(s, order));
        self.try_plain(s, steps, Move::Claim(order), |s| claim(s, order));
        for clock in [Clock::Right, Clock::Slow] {
            let settle = |s: &mut State| self.settle(s, order, clock);
            self.attempt(s, steps, Move::Settle(order, clock), settle);
            let look = |s: &mut State| self.look_first(s, order, clock);
            self.attempt(s, steps, Move::LookFirst(order, clock), look);
            let payment = &s.orders[order].payment;
            for said in [Intent::Declined, Intent::Asks, Intent::Authorised] {
                if payment.seen & said.seen_bit() != 0 {
                    let hear = |s: &mut State| self.apply(s, order, said, clock);
                    self.attempt(s, steps, Move::Hear(order, said, clock), hear);
                }
            }
            if payment.intent.is_end() {
                let said = payment.intent;
                let hear = |s: &mut State| self.apply(s, order, said, clock);
                self.attempt(s, steps, Move::Hear(order, said, clock), hear);
            }
        }
    }

    fn theirs(self, s: &State, steps: &mut Vec<Step>, order: usize) {
        let ends = [Intent::Taken, Intent::Gone];
        let answers = CARD.into_iter().chain(ends).map(Answer::Stands);
        for answer in answers.chain([Answer::Refused]) {
            self.attempt(s, steps, Move::RequestArrives(order, answer), |s| {
                self.arrive(s, order, answer)
                    .map_or(Ok(false), |step| step.map(|()| true))
            });
        }
        for ghost in [GHOST_VOID, GHOST_CAPTURE] {
            self.attempt(s, steps, Move::DroppedRequestArrives(order, ghost), |s| {
                arrive_late(s, order, ghost).map_or(Ok(false), |step| step.map(|()| true))
            });
        }
        for to in CARD.into_iter().chain(ends) {
            let turn = |s: &mut State| self.moves_by_itself(s, order, to);
            self.try_plain(s, steps, Move::IntentMoves(order, to), turn);
        }
        if self.world.elsewhere {
            self.try_plain(s, steps, Move::RefundByHand(order), |s| {
                refund_by_hand(s, order)
            });
            for to in [Dispute::Open, Dispute::Won, Dispute::Lost] {
                let turn = |s: &mut State| dispute_moves(s, order, to);
                self.try_plain(s, steps, Move::DisputeMoves(order, to), turn);
            }
            self.try_plain(s, steps, Move::HearElsewhere(order), |s| {
                self.hear_elsewhere(s, order)
            });
        }
        for end in [Refund::Done, Refund::Failed] {
            let ends = |s: &mut State| refund_ends(s, order, end);
            self.try_plain(s, steps, Move::RefundEnds(order, end), ends);
        }
    }
}

/// Keeps the order of ages.
fn grow_older(s: &mut State, order: usize) -> bool {
    let age = s.orders[order].age;
    let younger = (order == 0) == s.second_is_older;
    let other = &s.orders[1 - order];
    let behind = younger && other.stage != Stage::Absent && other.age <= age;
    if age == AGE_OLD || behind {
        return false;
    }
    s.orders[order].age += 1;
    true
}
