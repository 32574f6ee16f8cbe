//! The money protocol as a pure state machine, and a search of everything that can happen in it.
//!
//! Owns a model of orders, tickets, payments and Stripe, and the tests that search it. It runs no code of
//! the server, and only the table of transitions that orders may make is the server's: it mirrors the transactions of
//! `orders/transitions.rs`, `tickets/holds.rs`, `payments/transitions.rs` and
//! `payments/engine.rs`, one step a commit, and each step of Stripe's for itself. Whoever changes
//! a rule there changes it here, and is told by the shortest trace what the change allows.
//!
//! - `world.rs`: what a state is; `protocol.rs`: our transactions; `stripe.rs`: the other side.
//! - `moves.rs`: what can happen next; `invariants.rs`: what must hold; `search.rs`: the search.
//!
//! The search is complete for worlds this small: two orders of two buyers, one or two tickets;
//! for each order two payments, one after the other, and two cards for each intent. Requests and
//! answers are lost, late or doubled; webhooks come in any order, twice or never; every process
//! may crash between any two steps, or read its clock too early at the fence. Time is the four
//! ages of an order: in time, in its grace, lapsed, and too old to revive. Money that goes
//! back at Stripe, and disputes, have a world of their own. Not in it: amounts and currencies that differ
//! (a part that goes back by hand among them), calls that Stripe refuses for our mistakes, and errors
//! that it replays.
//!
//! From every state it also follows what happens by itself once nobody does anything new: all
//! ways come to rest, with webhooks and if none ever comes, and at rest the bank agrees with us.
//!
//! A checker that cannot fail proves nothing, so each [`Mutation`] breaks one rule, and a test
//! each shows that the search finds out.

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

/// What a world has in it.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a liberty of its own"
)]
pub struct World {
    /// For each order, its tickets: one bit each. None: there is no such order.
    wants: [u8; 2],
    /// The seller edits prices and withdraws tickets.
    seller: bool,
    /// Complete orders are paid back.
    refunds: bool,
    /// Stripe takes its time over a card, and people capture and cancel at its Dashboard.
    unruly: bool,
    /// People refund at Stripe's Dashboard, and cardholders dispute what they paid.
    elsewhere: bool,
}

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Whatever is authorised is captured.
    CaptureWithoutFence,
    /// A timer frees the ticket that it was set for, whoever holds it by now.
    ReleaseByTicket,
    /// An expired order revives on tickets that are another's, or were changed.
    ReviveUnchecked,
    /// The fence closes though the hold has run out.
    FenceUnchecked,
    /// The fence looks at the clock, but not at whether the tickets are still the order's.
    FenceByClock,
    /// Money that was captured elsewhere is kept.
    KeepUnexpectedMoney,
    /// The buyer may cancel while the money is being taken.
    CancelWhileCapturing,
    /// An order that ends forgets to give its authorisation back.
    DropVoid,
    /// A void counts as done once Stripe has answered, whatever it said.
    SettleVoidByAnything,
    /// A call that is repeated goes by another idempotency key.
    NewKeyOnRetry,
    /// The seller's edit does not look for a hold.
    EditUnderHold,
    /// "Declined" is taken for the capture's, though the capture's own answer is not there yet.
    BelieveLateDecline,
    /// After a declined capture another card is tried on the same intent.
    KeepRefusedIntent,
    /// A refund that no call of ours made is passed over.
    IgnoreRefundsElsewhere,
    /// The tickets of a lost dispute are valid again.
    ThawLostDispute,
}

/// The protocol in a world.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    world: World,
    mutation: Option<Mutation>,
    /// Forgets what makes no difference any more.
    forgets: bool,
}

/// Two buyers want the same ticket, and everything that can happen does.
const ONE_TICKET: World = World {
    wants: [1, 1],
    seller: true,
    refunds: true,
    unruly: true,
    elsewhere: false,
};

/// One buyer has nobody to race with.
const ONE_BUYER: World = World {
    wants: [1, 0],
    ..ONE_TICKET
};

/// One buyer wants both tickets, another one of them, and the seller changes their mind.
const TWO_TICKETS: World = World {
    wants: [3, 1],
    seller: true,
    refunds: true,
    unruly: false,
    elsewhere: false,
};

/// The same, with somebody at Stripe's Dashboard instead of the seller.
const TWO_TICKETS_UNRULY: World = World {
    seller: false,
    unruly: true,
    ..TWO_TICKETS
};

/// A buyer, a rival and the seller, with refunds and disputes at Stripe.
const MONEY_ELSEWHERE: World = World {
    unruly: false,
    elsewhere: true,
    ..ONE_TICKET
};

/// More moves than it takes to come to rest from anywhere.
const REST_WITHIN: u16 = 32;

fn told(report: &Report) -> String {
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
    assert!(report.broken.is_none(), "{}", told(&report));
    assert!(report.longest_way_to_rest <= REST_WITHIN, "{report:?}");
    println!(
        "{}, at most {} moves to rest",
        told(&report),
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
    assert_eq!(found, Some(expected), "{mutation:?}: {}", told(&report));
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
    // Also with what was captured there: it is on its way back when the next one comes.
    nothing_breaks(World {
        elsewhere: true,
        ..ONE_BUYER
    });
}

/// The short cut of the searches above: what they take for equal is.
#[test]
fn what_is_forgotten_makes_no_difference() {
    let report = search(
        Model {
            world: ONE_BUYER,
            mutation: None,
            forgets: false,
        },
        |_| {},
    );
    assert!(report.broken.is_none(), "{}", told(&report));
    println!("{}", told(&report));
}

/// A search that goes nowhere finds nothing either.
#[test]
fn the_search_gets_to_every_state_of_orders_and_payments() {
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
fn a_revival_on_a_ticket_that_is_anothers_by_now_is_found() {
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
fn unexpected_money_that_is_kept_is_found() {
    let mutation = Mutation::KeepUnexpectedMoney;
    breaks(ONE_TICKET, mutation, Invariant::BankAgrees);
}

#[test]
fn a_cancellation_while_the_money_is_taken_is_found() {
    let mutation = Mutation::CancelWhileCapturing;
    breaks(ONE_TICKET, mutation, Invariant::OrdersMoveByTheTable);
}

#[test]
fn a_void_that_is_forgotten_is_found() {
    let mutation = Mutation::DropVoid;
    breaks(ONE_TICKET, mutation, Invariant::NoAuthorisationIsLeft);
}

#[test]
fn a_void_that_is_given_up_while_stripe_is_busy_is_found() {
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
fn a_decline_that_is_told_late_and_undoes_the_fence_is_found() {
    let mutation = Mutation::BelieveLateDecline;
    breaks(ONE_TICKET, mutation, Invariant::CaptureBehindFence);
}

#[test]
fn another_card_for_an_intent_whose_capture_failed_is_found() {
    let mutation = Mutation::KeepRefusedIntent;
    breaks(ONE_TICKET, mutation, Invariant::CaptureBehindFence);
}

#[test]
fn a_refund_at_the_dashboard_that_is_passed_over_is_found() {
    let mutation = Mutation::IgnoreRefundsElsewhere;
    breaks(MONEY_ELSEWHERE, mutation, Invariant::BankAgrees);
}

#[test]
fn tickets_that_are_valid_after_a_lost_dispute_are_found() {
    let mutation = Mutation::ThawLostDispute;
    breaks(MONEY_ELSEWHERE, mutation, Invariant::FrozenWhileDisputed);
}
