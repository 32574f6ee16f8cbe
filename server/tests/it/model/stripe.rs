//! The steps of Stripe: the effects of arriving requests, actions of the buyer's bank and in the
//! Dashboard, and the outcomes of refunds.
//!
//! A key is executed once. The answer for repetitions is stored with the call (`Progress`), so a lost answer
//! is one that is read later.

use super::{
    Model, Mutation,
    invariants::Invariant,
    world::{
        Answer, CallKind, DROPPED_CAPTURE, DROPPED_VOID, Dispute, Intent, Payment, PaymentStage,
        Progress, Refund, Stage, State,
    },
};

/// The possible outcomes of a card.
pub const CARD_OUTCOMES: [Intent; 4] = [
    Intent::Authorised,
    Intent::RequiresAction,
    Intent::Declined,
    Intent::Processing,
];

impl Model {
    /// The request of the oldest call arrives with the outcome `outcome`. `None`: that outcome is not possible.
    /// Requests may arrive late, but not before the call is claimed.
    pub fn receive_request(
        self,
        s: &mut State,
        order: usize,
        outcome: Answer,
    ) -> Option<Result<(), Invariant>> {
        let fenced = is_fenced(s, order);
        let payment = &mut s.orders[order].payment;
        let call = payment.calls[0];
        if let (CallKind::Create, Progress::Answered(Answer::Status(_))) =
            (call.kind, call.progress)
            && self.mutation == Some(Mutation::NewKeyOnRetry)
        {
            payment.duplicated = true;
            return Some(Ok(()));
        }
        let is_excluded = outcome == Answer::Status(Intent::Processing)
            && !self.parameters.external_intent_changes;
        if call.progress != Progress::Tried
            || is_excluded
            || !can_end_as(payment, call.kind, outcome)
        {
            return None;
        }
        let mut result = Ok(());
        if let Answer::Status(intent) = outcome {
            if call.kind == CallKind::Refund {
                payment.refund = Refund::Pending;
            } else {
                payment.set_intent(intent);
            }
            if intent == Intent::Succeeded && call.kind == CallKind::Capture && !fenced {
                result = Err(Invariant::CaptureIsFenced);
            }
        }
        payment.calls[0].progress = Progress::Answered(outcome);
        Some(result)
    }

    /// The intent changes without a call of the shop: by the buyer's bank, the end of an authorisation, or in
    /// the Dashboard.
    pub fn change_intent(self, s: &mut State, order: usize, to: Intent) -> bool {
        let payment = &mut s.orders[order].payment;
        let possible = match (payment.intent, to) {
            (Intent::RequiresAction, Intent::Authorised | Intent::Declined)
            | (
                Intent::Processing,
                Intent::Authorised | Intent::RequiresAction | Intent::Declined,
            ) => true,
            (Intent::Declined | Intent::RequiresAction | Intent::Authorised, Intent::Canceled)
            | (Intent::Authorised, Intent::Succeeded) => self.parameters.external_intent_changes,
            _ => false,
        };
        if possible {
            payment.set_intent(to);
        }
        possible
    }
}

/// A dropped request arrives.
pub fn receive_dropped_request(
    s: &mut State,
    order: usize,
    dropped: u8,
) -> Option<Result<(), Invariant>> {
    let fenced = is_fenced(s, order);
    let payment = &mut s.orders[order].payment;
    if payment.dropped_requests & dropped == 0 {
        return None;
    }
    payment.dropped_requests &= !dropped;
    match (dropped, payment.intent) {
        (DROPPED_VOID, Intent::Declined | Intent::RequiresAction | Intent::Authorised) => {
            payment.set_intent(Intent::Canceled);
        }
        (DROPPED_CAPTURE, Intent::Authorised) => {
            payment.set_intent(Intent::Succeeded);
            if !fenced {
                return Some(Err(Invariant::CaptureIsFenced));
            }
        }
        _ => {}
    }
    Some(Ok(()))
}

/// Refunds the payment in the Dashboard.
pub fn refund_in_dashboard(s: &mut State, order: usize) -> bool {
    let payment = &mut s.orders[order].payment;
    let possible = payment.intent == Intent::Succeeded
        && payment.refund == Refund::None
        && !payment.dispute.freezes();
    if possible {
        payment.refund = Refund::Done;
        payment.refunded_in_dashboard = true;
    }
    possible
}

/// A cardholder disputes the payment, or the bank decides the dispute.
pub fn change_dispute(s: &mut State, order: usize, to: Dispute) -> bool {
    let payment = &mut s.orders[order].payment;
    let possible = match (payment.dispute, to) {
        (Dispute::None, Dispute::Open) => {
            let is_refunded = matches!(payment.refund, Refund::Pending | Refund::Done);
            payment.intent == Intent::Succeeded && !is_refunded
        }
        (Dispute::Open, Dispute::Won | Dispute::Lost) => true,
        _ => false,
    };
    if possible {
        payment.dispute = to;
    }
    possible
}

/// The pending refund succeeds or fails.
pub fn end_refund(s: &mut State, order: usize, end: Refund) -> bool {
    let refund = &mut s.orders[order].payment.refund;
    if *refund != Refund::Pending {
        return false;
    }
    *refund = end;
    true
}

fn is_fenced(s: &State, order: usize) -> bool {
    let row = &s.orders[order];
    row.stage == Stage::Capturing && row.payment.stage == PaymentStage::Capturing
}

/// Whether the payment is already refunded in the Dashboard, or disputed.
fn is_refund_refused(payment: &Payment) -> bool {
    payment.refunded_in_dashboard || payment.dispute.freezes()
}

/// Whether a request that arrives now can have this outcome.
fn can_end_as(payment: &Payment, kind: CallKind, outcome: Answer) -> bool {
    let open = matches!(payment.intent, Intent::Declined | Intent::RequiresAction);
    let authorised = payment.intent == Intent::Authorised;
    match (kind, outcome) {
        (CallKind::Create, Answer::Refused) => true,
        (CallKind::Create, Answer::Status(intent)) => CARD_OUTCOMES.contains(&intent),
        (CallKind::Confirm, Answer::Status(intent)) => open && CARD_OUTCOMES.contains(&intent),
        (CallKind::Confirm, Answer::Refused) => !open,
        (CallKind::Capture, Answer::Status(Intent::Succeeded | Intent::Declined)) => authorised,
        (CallKind::Capture, Answer::Refused) => !authorised,
        (CallKind::Void, Answer::Status(Intent::Canceled)) => open || authorised,
        (CallKind::Void, Answer::Refused) => !open && !authorised,
        (CallKind::Refund, Answer::Status(Intent::Succeeded)) => {
            payment.intent == Intent::Succeeded && !is_refund_refused(payment)
        }
        (CallKind::Refund, Answer::Refused) => is_refund_refused(payment),
        _ => false,
    }
}
