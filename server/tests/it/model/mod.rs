//! The payment protocol as a pure state machine, and an exhaustive search of its states.
//!
//! Owns a model of orders, tickets, payments and Stripe, and the tests that search it. Runs no code of the
//! server except the table of transitions of orders. It mirrors the transactions of
//! `orders/transitions.rs`, `tickets/holds.rs`, `payments/transitions.rs` and `payments/engine.rs`, one step
//! per commit, and each step of Stripe separately. A rule that changes there must be changed here. The search
//! reports the shortest trace to a violation as a counterexample.
//!
//! - `world.rs`: the state; `protocol.rs`: the shop's transactions; `stripe.rs`: Stripe's steps.
//! - `moves.rs`: the possible steps; `invariants.rs`: the invariants; `search.rs`: the search.
//!
//! The search is complete for small worlds: two orders of two buyers, one or two tickets; for each order two
//! successive payments, and two cards per intent. Requests and answers are lost, delayed or duplicated;
//! webhooks arrive in any order, twice or never; every process may crash between any two steps, or read a slow
//! clock at the fence. Time is the four ages of an order: in time, in its grace, lapsed, and too old to revive.
//! Refunds and disputes at Stripe have separate parameters. Not modelled: different amounts and currencies
//! (including partial refunds at Stripe), calls that Stripe rejects as invalid, and errors that it replays.
//!
//! From every state the search also follows the steps that need no new request: all paths must end in a
//! quiescent state, which has no such step, with webhooks and without. In a quiescent state Stripe's state must
//! agree with the shop's.
//!
//! Each [`Mutation`] breaks one rule, and a test of each shows that the search detects it.

mod invariants;
mod moves;
mod protocol;
mod search;
mod stripe;
mod world;

use invariants::Invariant;
use search::{Report, search};
use std::fmt::Write;
use world::{PaymentStage, Stage};

/// The parameters of a search.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each enables one kind of step"
)]
pub struct Parameters {
    /// For each order, its tickets as bits. Zero: there is no such order.
    order_tickets: [u8; 2],
    /// The seller edits prices and withdraws tickets.
    seller: bool,
    /// Complete orders are refunded.
    refunds: bool,
    /// Intents may stay in `processing`, and are captured and cancelled in Stripe's Dashboard.
    external_intent_changes: bool,
    /// Payments are refunded in Stripe's Dashboard and disputed by cardholders.
    external_refunds: bool,
}

/// A rule that is deliberately violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Every authorisation is captured.
    CaptureWithoutFence,
    /// A stale timer frees a ticket that another order holds.
    ReleaseByTicket,
    /// An expired order is revived although another order holds a ticket, or a ticket has changed.
    ReviveUnchecked,
    /// An order is fenced after its hold has ended.
    FenceUnchecked,
    /// The fence checks the clock, but not whether the order still holds its tickets.
    FenceByClockOnly,
    /// An unexpected capture in the Dashboard is not refunded.
    KeepUnexpectedCapture,
    /// The buyer can cancel during a capture.
    CancelWhileCapturing,
    /// An order that ends does not void its authorisation.
    DropVoid,
    /// Any answer of Stripe completes a void.
    SettleVoidByAnyAnswer,
    /// A repeated call has a different idempotency key.
    NewKeyOnRetry,
    /// A seller's edit does not check for a hold.
    EditUnderHold,
    /// A late `requires_payment_method` is applied to the capture before the capture's own answer.
    ApplyLateDecline,
    /// After a declined capture another card is tried on the same intent.
    KeepRefusedIntent,
    /// Refunds made in the Dashboard are ignored.
    IgnoreDashboardRefunds,
    /// Tickets are unfrozen after a lost dispute.
    UnfreezeLostDispute,
}

/// The protocol with these parameters.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    parameters: Parameters,
    mutation: Option<Mutation>,
    /// Whether equivalent states are merged.
    merges_states: bool,
}

/// Two buyers of the same ticket, with all kinds of steps except external refunds.
const ONE_TICKET: Parameters = Parameters {
    order_tickets: [1, 1],
    seller: true,
    refunds: true,
    external_intent_changes: true,
    external_refunds: false,
};

/// A single buyer.
const ONE_BUYER: Parameters = Parameters {
    order_tickets: [1, 0],
    ..ONE_TICKET
};

/// One buyer of both tickets, another of one of them, and a seller who edits and withdraws.
const TWO_TICKETS: Parameters = Parameters {
    order_tickets: [3, 1],
    seller: true,
    refunds: true,
    external_intent_changes: false,
    external_refunds: false,
};

/// As above, with actions in Stripe's Dashboard instead of the seller.
const TWO_TICKETS_EXTERNAL: Parameters = Parameters {
    seller: false,
    external_intent_changes: true,
    ..TWO_TICKETS
};

/// Two buyers and the seller, with refunds and disputes at Stripe.
const EXTERNAL_REFUNDS: Parameters = Parameters {
    external_intent_changes: false,
    external_refunds: true,
    ..ONE_TICKET
};

/// Upper bound of the steps from any state to a quiescent one.
const MAX_STEPS_TO_QUIESCENCE: u16 = 32;

fn describe(report: &Report) -> String {
    let mut text = format!("{} states", report.states);
    if let Some((invariant, trace)) = &report.violation {
        let _ = write!(text, "; violated: {invariant:?}, by");
        for step in trace {
            let _ = write!(text, "\n    {step:?}");
        }
    }
    text
}

#[track_caller]
fn assert_no_violation(parameters: Parameters) {
    let model = Model {
        parameters,
        mutation: None,
        merges_states: true,
    };
    let report = search(model, |_| {});
    assert!(report.violation.is_none(), "{}", describe(&report));
    assert!(report.longest_path <= MAX_STEPS_TO_QUIESCENCE, "{report:?}");
    println!(
        "{}, at most {} steps to a quiescent state",
        describe(&report),
        report.longest_path
    );
}

#[track_caller]
fn assert_detected(parameters: Parameters, mutation: Mutation, expected: Invariant) {
    let model = Model {
        parameters,
        mutation: Some(mutation),
        merges_states: false,
    };
    let report = search(model, |_| {});
    let found = report.violation.as_ref().map(|(invariant, _)| *invariant);
    assert_eq!(found, Some(expected), "{mutation:?}: {}", describe(&report));
}

#[test]
fn no_order_of_events_violates_an_invariant_with_one_buyer() {
    assert_no_violation(ONE_BUYER);
}

#[test]
fn no_order_of_events_violates_an_invariant_with_one_ticket() {
    assert_no_violation(ONE_TICKET);
}

#[test]
fn no_order_of_events_violates_an_invariant_with_two_tickets_and_their_seller() {
    assert_no_violation(TWO_TICKETS);
}

#[test]
fn no_order_of_events_violates_an_invariant_with_two_tickets_and_captures_in_the_dashboard() {
    assert_no_violation(TWO_TICKETS_EXTERNAL);
}

#[test]
fn no_order_of_events_violates_an_invariant_with_refunds_and_disputes_at_stripe() {
    assert_no_violation(EXTERNAL_REFUNDS);
    // Also with money captured in the Dashboard, whose refund is in progress.
    assert_no_violation(Parameters {
        external_refunds: true,
        ..ONE_BUYER
    });
}

/// The searches above merge states; this one does not, and must find no violation either.
#[test]
fn merged_states_are_equivalent() {
    let report = search(
        Model {
            parameters: ONE_BUYER,
            mutation: None,
            merges_states: false,
        },
        |_| {},
    );
    assert!(report.violation.is_none(), "{}", describe(&report));
    println!("{}", describe(&report));
}

/// Detects a search that finds no violation because it reaches too few states.
#[test]
fn the_search_reaches_every_state_of_orders_and_payments() {
    let model = Model {
        parameters: ONE_BUYER,
        mutation: None,
        merges_states: true,
    };
    let mut stages = [false; Stage::Refunded as usize + 1];
    let mut payments = [false; PaymentStage::Refunded as usize + 1];
    search(model, |state| {
        for order in &state.orders {
            stages[order.stage as usize] = true;
            payments[order.payment.stage as usize] = true;
        }
    });
    assert!(!stages.contains(&false), "{stages:?}");
    assert!(!payments.contains(&false), "{payments:?}");
}

#[test]
fn a_capture_without_the_fence_is_detected() {
    let mutation = Mutation::CaptureWithoutFence;
    assert_detected(ONE_TICKET, mutation, Invariant::CaptureIsFenced);
}

#[test]
fn a_stale_timer_that_releases_another_orders_hold_is_detected() {
    assert_detected(ONE_TICKET, Mutation::ReleaseByTicket, Invariant::HoldIsKept);
}

#[test]
fn a_revival_with_a_ticket_of_another_order_is_detected() {
    let same_ticket = Parameters {
        seller: false,
        ..ONE_TICKET
    };
    assert_detected(
        same_ticket,
        Mutation::ReviveUnchecked,
        Invariant::OneLiveOrder,
    );
    let overlapping = Parameters {
        seller: false,
        ..TWO_TICKETS
    };
    let mutation = Mutation::ReviveUnchecked;
    assert_detected(overlapping, mutation, Invariant::OneLiveOrder);
}

#[test]
fn a_revival_with_a_ticket_of_changed_price_is_detected() {
    let mutation = Mutation::ReviveUnchecked;
    assert_detected(ONE_BUYER, mutation, Invariant::PriceIsFixedDuringHold);
}

#[test]
fn a_fence_after_the_end_of_the_hold_is_detected() {
    let mutation = Mutation::FenceUnchecked;
    assert_detected(ONE_TICKET, mutation, Invariant::PriceIsFixedDuringHold);
}

#[test]
fn a_fence_by_a_slow_clock_with_a_changed_ticket_is_detected() {
    let mutation = Mutation::FenceByClockOnly;
    assert_detected(ONE_TICKET, mutation, Invariant::PriceIsFixedDuringHold);
}

#[test]
fn an_unexpected_capture_without_refund_is_detected() {
    let mutation = Mutation::KeepUnexpectedCapture;
    assert_detected(ONE_TICKET, mutation, Invariant::StripeAgrees);
}

#[test]
fn a_cancellation_during_a_capture_is_detected() {
    let mutation = Mutation::CancelWhileCapturing;
    assert_detected(ONE_TICKET, mutation, Invariant::TransitionsAreAllowed);
}

#[test]
fn a_missing_void_is_detected() {
    let mutation = Mutation::DropVoid;
    assert_detected(ONE_TICKET, mutation, Invariant::NoAuthorisationIsLeft);
}

#[test]
fn a_void_that_completes_while_stripe_is_processing_is_detected() {
    let mutation = Mutation::SettleVoidByAnyAnswer;
    assert_detected(ONE_TICKET, mutation, Invariant::NoAuthorisationIsLeft);
}

#[test]
fn a_new_key_for_a_repeated_call_is_detected() {
    let mutation = Mutation::NewKeyOnRetry;
    assert_detected(ONE_TICKET, mutation, Invariant::OneObjectPerEffect);
}

#[test]
fn a_price_change_during_a_hold_is_detected() {
    let mutation = Mutation::EditUnderHold;
    assert_detected(ONE_TICKET, mutation, Invariant::PriceIsFixedDuringHold);
}

#[test]
fn a_late_decline_that_undoes_the_fence_is_detected() {
    let mutation = Mutation::ApplyLateDecline;
    assert_detected(ONE_TICKET, mutation, Invariant::CaptureIsFenced);
}

#[test]
fn another_card_for_an_intent_whose_capture_failed_is_detected() {
    let mutation = Mutation::KeepRefusedIntent;
    assert_detected(ONE_TICKET, mutation, Invariant::CaptureIsFenced);
}

#[test]
fn an_ignored_refund_in_the_dashboard_is_detected() {
    let mutation = Mutation::IgnoreDashboardRefunds;
    assert_detected(EXTERNAL_REFUNDS, mutation, Invariant::StripeAgrees);
}

#[test]
fn valid_tickets_after_a_lost_dispute_are_detected() {
    let mutation = Mutation::UnfreezeLostDispute;
    assert_detected(EXTERNAL_REFUNDS, mutation, Invariant::FrozenWhileDisputed);
}
