//! The payment protocol as a pure state machine, and an exhaustive search of its states.
//!
//! Owns a model of orders, tickets, payments and Stripe, and the tests that search it. Runs no code of the
//! server except the table of transitions of orders. It mirrors the transactions of
//! `orders/transitions.rs`, `tickets/holds.rs`, `payments/transitions.rs` and `payments/engine.rs`, one step
//! per commit, and each step of Stripe separately. A rule that changes there must be changed here; the
//! search then reports the shortest trace to a violation.
//!
//! - `world.rs`: the state; `protocol.rs`: the shop's transactions; `stripe.rs`: Stripe's side.
//! - `moves.rs`: the possible steps; `invariants.rs`: the invariants; `search.rs`: the search.
//!
//! The search is complete for small worlds: two orders of two buyers, one or two tickets; for each order two
//! successive payments, and two cards per intent. Requests and answers are lost, late or duplicated; webhooks
//! arrive in any order, twice or never; every process may crash between any two steps, or read a slow clock
//! at the fence. Time is the four ages of an order: in time, in its grace, lapsed, and too old to revive.
//! Refunds and disputes at Stripe have a separate world. Not modelled: different amounts and currencies
//! (including partial refunds at Stripe), calls that Stripe rejects as invalid, and errors that it replays.
//!
//! From every state the search also follows the steps that need no new request: all paths must come to
//! rest, with webhooks and without, and at rest Stripe's state must agree with the shop's.
//!
//! Each [`Mutation`] breaks one rule, and one test for each shows that the search detects it.

mod invariants;
mod moves;
mod protocol;
mod search;
mod stripe;
mod world;

use invariants::Invariant;
use search::{Report, search};
use std::fmt::Write;
use world::{Paying, Stage};

/// The parameters of a world.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a liberty of its own"
)]
pub struct World {
    /// For each order, its tickets as bits. `None`: there is no such order.
    wants: [u8; 2],
    /// The seller edits prices and withdraws tickets.
    seller: bool,
    /// Complete orders are refunded.
    refunds: bool,
    /// Intents may stay in `processing`, and are captured and cancelled in Stripe's Dashboard.
    unruly: bool,
    /// Payments are refunded in Stripe's Dashboard and disputed by cardholders.
    elsewhere: bool,
}

/// A rule that is deliberately broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Every authorisation is captured.
    CaptureWithoutFence,
    /// A stale timer frees a ticket that another order holds.
    ReleaseByTicket,
    /// An expired order is revived although a ticket is another's or has changed.
    ReviveUnchecked,
    /// An order is fenced after its hold has ended.
    FenceUnchecked,
    /// The fence checks the clock, but not whether the order still holds its tickets.
    FenceByClock,
    /// Money captured in the Dashboard is not refunded.
    KeepUnexpectedMoney,
    /// The buyer can cancel during a capture.
    CancelWhileCapturing,
    /// An order that ends does not void its authorisation.
    DropVoid,
    /// Any answer of Stripe completes a void.
    SettleVoidByAnything,
    /// A repeated call has a different idempotency key.
    NewKeyOnRetry,
    /// A seller's edit does not check for a hold.
    EditUnderHold,
    /// A late "declined" is applied to the capture before the capture's own answer.
    BelieveLateDecline,
    /// After a declined capture another card is tried on the same intent.
    KeepRefusedIntent,
    /// Refunds made in the Dashboard are ignored.
    IgnoreRefundsElsewhere,
    /// The tickets of a lost dispute become valid again.
    ThawLostDispute,
}

/// The protocol in a world.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    world: World,
    mutation: Option<Mutation>,
    /// Whether states that cannot be distinguished any more are merged.
    forgets: bool,
}

/// Two buyers of the same ticket, with all kinds of steps.
const ONE_TICKET: World = World {
    wants: [1, 1],
    seller: true,
    refunds: true,
    unruly: true,
    elsewhere: false,
};

/// A single buyer.
const ONE_BUYER: World = World {
    wants: [1, 0],
    ..ONE_TICKET
};

/// One buyer of both tickets, another of one of them, and a seller who edits and withdraws.
const TWO_TICKETS: World = World {
    wants: [3, 1],
    seller: true,
    refunds: true,
    unruly: false,
    elsewhere: false,
};

/// As above, with actions in Stripe's Dashboard instead of the seller.
const TWO_TICKETS_UNRULY: World = World {
    seller: false,
    unruly: true,
    ..TWO_TICKETS
};

/// Two buyers and the seller, with refunds and disputes at Stripe.
const MONEY_ELSEWHERE: World = World {
    unruly: false,
    elsewhere: true,
    ..ONE_TICKET
};

/// Upper bound of the steps from any state to rest.
const REST_WITHIN: u16 = 32;

fn describe(report: &Report) -> String {
    let mut told = format!("{} states", report.states);
    if let Some((invariant, trace)) = &report.broken {
        let _ = write!(told, "; broken: {invariant:?}, by");
        for made in trace {
            let _ = write!(told, "\n    {made:?}");
        }
    }
    told
}

#[track_caller]
fn nothing_breaks(world: World) {
    let model = Model {
        world,
        mutation: None,
        forgets: true,
    };
    let report = search(model, |_| {});
    assert!(report.broken.is_none(), "{}", describe(&report));
    assert!(report.longest_way_to_rest <= REST_WITHIN, "{report:?}");
    println!(
        "{}, at most {} moves to rest",
        describe(&report),
        report.longest_way_to_rest
    );
}

#[track_caller]
fn breaks(world: World, mutation: Mutation, expected: Invariant) {
    let model = Model {
        world,
        mutation: Some(mutation),
        forgets: false,
    };
    let report = search(model, |_| {});
    let found = report.broken.as_ref().map(|(invariant, _)| *invariant);
    assert_eq!(found, Some(expected), "{mutation:?}: {}", describe(&report));
}

#[test]
fn no_order_of_events_breaks_an_invariant_with_one_buyer() {
    nothing_breaks(ONE_BUYER);
}

#[test]
fn no_order_of_events_breaks_an_invariant_with_one_ticket() {
    nothing_breaks(ONE_TICKET);
}

#[test]
fn no_order_of_events_breaks_an_invariant_with_two_tickets_and_their_seller() {
    nothing_breaks(TWO_TICKETS);
}

#[test]
fn no_order_of_events_breaks_an_invariant_with_two_tickets_and_money_taken_elsewhere() {
    nothing_breaks(TWO_TICKETS_UNRULY);
}

#[test]
fn no_order_of_events_breaks_an_invariant_with_refunds_and_disputes_at_stripe() {
    nothing_breaks(MONEY_ELSEWHERE);
    // Also with money captured in the Dashboard, whose refund is in progress.
    nothing_breaks(World {
        elsewhere: true,
        ..ONE_BUYER
    });
}

/// The searches above merge states; this checks that merged states are equivalent.
#[test]
fn merged_states_are_equivalent() {
    let report = search(
        Model {
            world: ONE_BUYER,
            mutation: None,
            forgets: false,
        },
        |_| {},
    );
    assert!(report.broken.is_none(), "{}", describe(&report));
    println!("{}", describe(&report));
}

/// Guards against a search that finds nothing because it reaches nothing.
#[test]
fn the_search_reaches_every_state_of_orders_and_payments() {
    let model = Model {
        world: ONE_BUYER,
        mutation: None,
        forgets: true,
    };
    let mut stages = [false; Stage::Refunded as usize + 1];
    let mut payments = [false; Paying::Refunded as usize + 1];
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
fn a_capture_without_the_fence_is_found() {
    let mutation = Mutation::CaptureWithoutFence;
    breaks(ONE_TICKET, mutation, Invariant::CaptureBehindFence);
}

#[test]
fn a_stale_timer_that_frees_anothers_lock_is_found() {
    breaks(ONE_TICKET, Mutation::ReleaseByTicket, Invariant::LockIsKept);
}

#[test]
fn a_revival_on_a_ticket_of_another_order_is_found() {
    let quiet = World {
        seller: false,
        ..ONE_TICKET
    };
    breaks(quiet, Mutation::ReviveUnchecked, Invariant::OneLiveOrder);
    let overlapping = World {
        seller: false,
        ..TWO_TICKETS
    };
    let mutation = Mutation::ReviveUnchecked;
    breaks(overlapping, mutation, Invariant::OneLiveOrder);
}

#[test]
fn a_revival_on_a_ticket_of_another_price_is_found() {
    let mutation = Mutation::ReviveUnchecked;
    breaks(ONE_BUYER, mutation, Invariant::PriceStandsUnderHold);
}

#[test]
fn a_fence_that_closes_after_the_hold_is_found() {
    let mutation = Mutation::FenceUnchecked;
    breaks(ONE_TICKET, mutation, Invariant::PriceStandsUnderHold);
}

#[test]
fn a_fence_by_a_slow_clock_around_a_changed_ticket_is_found() {
    let mutation = Mutation::FenceByClock;
    breaks(ONE_TICKET, mutation, Invariant::PriceStandsUnderHold);
}

#[test]
fn an_unexpected_capture_that_is_kept_is_found() {
    let mutation = Mutation::KeepUnexpectedMoney;
    breaks(ONE_TICKET, mutation, Invariant::BankAgrees);
}

#[test]
fn a_cancellation_during_a_capture_is_found() {
    let mutation = Mutation::CancelWhileCapturing;
    breaks(ONE_TICKET, mutation, Invariant::OrdersMoveByTheTable);
}

#[test]
fn a_void_that_is_forgotten_is_found() {
    let mutation = Mutation::DropVoid;
    breaks(ONE_TICKET, mutation, Invariant::NoAuthorisationIsLeft);
}

#[test]
fn a_void_that_ends_while_stripe_is_processing_is_found() {
    let mutation = Mutation::SettleVoidByAnything;
    breaks(ONE_TICKET, mutation, Invariant::NoAuthorisationIsLeft);
}

#[test]
fn a_new_key_for_a_repeated_call_is_found() {
    let mutation = Mutation::NewKeyOnRetry;
    breaks(ONE_TICKET, mutation, Invariant::OneObjectPerEffect);
}

#[test]
fn a_price_that_moves_under_a_hold_is_found() {
    let mutation = Mutation::EditUnderHold;
    breaks(ONE_TICKET, mutation, Invariant::PriceStandsUnderHold);
}

#[test]
fn a_late_decline_that_undoes_the_fence_is_found() {
    let mutation = Mutation::BelieveLateDecline;
    breaks(ONE_TICKET, mutation, Invariant::CaptureBehindFence);
}

#[test]
fn another_card_for_an_intent_whose_capture_failed_is_found() {
    let mutation = Mutation::KeepRefusedIntent;
    breaks(ONE_TICKET, mutation, Invariant::CaptureBehindFence);
}

#[test]
fn a_refund_in_the_dashboard_that_is_ignored_is_found() {
    let mutation = Mutation::IgnoreRefundsElsewhere;
    breaks(MONEY_ELSEWHERE, mutation, Invariant::BankAgrees);
}

#[test]
fn tickets_that_are_valid_after_a_lost_dispute_are_found() {
    let mutation = Mutation::ThawLostDispute;
    breaks(MONEY_ELSEWHERE, mutation, Invariant::FrozenWhileDisputed);
}
