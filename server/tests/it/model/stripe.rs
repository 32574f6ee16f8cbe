//! Stripe's side: the effects of arriving requests, actions of the buyer's bank and in the Dashboard, and the
//! outcomes of refunds.
//!
//! A key is executed once. The answer for repetitions is stored with the call (`Progress`), so a lost answer
//! is one that is read later.

use super::{
    Model, Mutation,
    invariants::Invariant,
    world::{
        Answer, Dispute, GHOST_CAPTURE, GHOST_VOID, Intent, Kind, Paying, Payment, Progress,
        Refund, Stage, State,
    },
};

/// Outcome of a card.
pub const CARD: [Intent; 4] = [
    Intent::Authorised,
    Intent::Asks,
    Intent::Declined,
    Intent::Processing,
];

impl Model {
    /// The request of the oldest call arrives with the outcome `wanted`. `None`: that outcome is not possible.
    /// Requests may arrive late, but not before the call is claimed.
    pub fn arrive(
        self,
        s: &mut State,
        order: usize,
        wanted: Answer,
    ) -> Option<Result<(), Invariant>> {
        let fenced = is_fenced(s, order);
        let payment = &mut s.orders[order].payment;
        let call = payment.calls[0];
        if let (Kind::Create, Progress::Answered(Answer::Stands(_))) = (call.kind, call.progress)
            && self.mutation == Some(Mutation::NewKeyOnRetry)
        {
            payment.doubled = true;
            return Some(Ok(()));
        }
        let slow = wanted == Answer::Stands(Intent::Processing) && !self.world.unruly;
        if call.progress != Progress::Tried || slow || !can_end_as(payment, call.kind, wanted) {
            return None;
        }
        let mut step = Ok(());
        if let Answer::Stands(intent) = wanted {
            if call.kind == Kind::Refund {
                payment.refund = Refund::Pending;
            } else {
                payment.turn(intent);
            }
            if intent == Intent::Taken && call.kind == Kind::Capture && !fenced {
                step = Err(Invariant::CaptureBehindFence);
            }
        }
        payment.calls[0].progress = Progress::Answered(wanted);
        Some(step)
    }

    /// The intent changes without a call of the shop: by the buyer's bank, the end of an authorisation, or in
    /// the Dashboard.
    pub fn moves_by_itself(self, s: &mut State, order: usize, to: Intent) -> bool {
        let payment = &mut s.orders[order].payment;
        let possible = match (payment.intent, to) {
            (Intent::Asks, Intent::Authorised | Intent::Declined)
            | (Intent::Processing, Intent::Authorised | Intent::Asks | Intent::Declined) => true,
            (Intent::Declined | Intent::Asks | Intent::Authorised, Intent::Gone)
            | (Intent::Authorised, Intent::Taken) => self.world.unruly,
            _ => false,
        };
        if possible {
            payment.turn(to);
        }
        possible
    }
}

/// A request that was given up arrives late.
pub fn arrive_late(s: &mut State, order: usize, ghost: u8) -> Option<Result<(), Invariant>> {
    let fenced = is_fenced(s, order);
    let payment = &mut s.orders[order].payment;
    if payment.ghosts & ghost == 0 {
        return None;
    }
    payment.ghosts &= !ghost;
    match (ghost, payment.intent) {
        (GHOST_VOID, Intent::Declined | Intent::Asks | Intent::Authorised) => {
            payment.turn(Intent::Gone);
        }
        (GHOST_CAPTURE, Intent::Authorised) => {
            payment.turn(Intent::Taken);
            if !fenced {
                return Some(Err(Invariant::CaptureBehindFence));
            }
        }
        _ => {}
    }
    Some(Ok(()))
}

/// A refund in the Dashboard.
pub fn refund_by_hand(s: &mut State, order: usize) -> bool {
    let payment = &mut s.orders[order].payment;
    let possible = payment.intent == Intent::Taken
        && payment.refund == Refund::None
        && !payment.dispute.freezes();
    if possible {
        payment.refund = Refund::Done;
        payment.by_hand = true;
    }
    possible
}

/// A cardholder disputes the payment, or the bank decides the dispute.
pub fn dispute_moves(s: &mut State, order: usize, to: Dispute) -> bool {
    let payment = &mut s.orders[order].payment;
    let possible = match (payment.dispute, to) {
        (Dispute::None, Dispute::Open) => {
            let back = matches!(payment.refund, Refund::Pending | Refund::Done);
            payment.intent == Intent::Taken && !back
        }
        (Dispute::Open, Dispute::Won | Dispute::Lost) => true,
        _ => false,
    };
    if possible {
        payment.dispute = to;
    }
    possible
}

/// The refund succeeds or fails.
pub fn refund_ends(s: &mut State, order: usize, end: Refund) -> bool {
    let refund = &mut s.orders[order].payment.refund;
    if *refund != Refund::Pending {
        return false;
    }
    *refund = end;
    true
}

fn is_fenced(s: &State, order: usize) -> bool {
    let row = &s.orders[order];
    row.stage == Stage::Capturing && row.payment.stage == Paying::Capturing
}

/// Whether nothing is left to refund, or the payment is disputed.
fn is_refund_refused(payment: &Payment) -> bool {
    payment.by_hand || payment.dispute.freezes()
}

/// Whether a request that arrives now can have this outcome.
fn can_end_as(payment: &Payment, kind: Kind, wanted: Answer) -> bool {
    let open = matches!(payment.intent, Intent::Declined | Intent::Asks);
    let authorised = payment.intent == Intent::Authorised;
    match (kind, wanted) {
        (Kind::Create, Answer::Refused) => true,
        (Kind::Create, Answer::Stands(intent)) => CARD.contains(&intent),
        (Kind::Confirm, Answer::Stands(intent)) => open && CARD.contains(&intent),
        (Kind::Confirm, Answer::Refused) => !open,
        (Kind::Capture, Answer::Stands(Intent::Taken | Intent::Declined)) => authorised,
        (Kind::Capture, Answer::Refused) => !authorised,
        (Kind::Void, Answer::Stands(Intent::Gone)) => open || authorised,
        (Kind::Void, Answer::Refused) => !open && !authorised,
        (Kind::Refund, Answer::Stands(Intent::Taken)) => {
            payment.intent == Intent::Taken && !is_refund_refused(payment)
        }
        (Kind::Refund, Answer::Refused) => is_refund_refused(payment),
        _ => false,
    }
}
