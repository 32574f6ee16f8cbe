//! Model-based test of the whole shop: after each of a random sequence of actions of buyers, sellers and banks
//! and advances of the clock, every answer, ticket, order and amount must equal the model's.
//!
//! `states/model.rs` is the state of the model, `limits.rs` its limits, `elsewhere.rs` the changes made at
//! Stripe outside the shop, `answers.rs` the expected answers (types in `words.rs`). `moves.rs` generates the
//! moves, `shop.rs` runs them against a real shop and compares it with the model (`expected.rs`), and
//! `tables.rs` compares its tables. Half of the cases have limits enabled. The moves of a case are sequential,
//! so this test does not find races.
//!
//! `STAGEDOOR_PROPTEST_CASES` sets the number of cases per engine. A failure is shrunk to the fewest moves
//! that reproduce it. Its seed is added to `server/tests/proptest-regressions/states.txt` and is run first
//! from then on: commit that file with the fix.

mod answers;
mod elsewhere;
mod expected;
mod limits;
mod model;
mod moves;

mod shop;
mod tables;
mod words;

use answers::Model;
use model::Rules;
use moves::{ActualRules, AssumedRules, ModelMachine};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shop::{Comparison, Postgres, Sqlite};
use std::collections::BTreeSet;
use words::Move;

/// Maximum number of moves per case.
const MOVES_MAX: usize = 40;
/// Time limit of shrinking.
const SHRINK_MILLIS: u32 = 120_000;

fn cases(default: u32) -> Config {
    let asked = std::env::var("STAGEDOOR_PROPTEST_CASES").ok();
    Config {
        cases: asked.map_or(default, |cases| cases.parse().expect("a number of cases")),
        max_shrink_iters: 4096,
        max_shrink_time: SHRINK_MILLIS,
        ..Config::default()
    }
}

prop_state_machine! {
    #![proptest_config(cases(48))]

    #[test]
    fn the_shop_agrees_with_the_model_on_sqlite(sequential 1..=MOVES_MAX => Comparison<Sqlite, ActualRules>);
}

prop_state_machine! {
    #![proptest_config(cases(12))]

    #[test]
    fn the_shop_agrees_with_the_model_on_postgres(sequential 1..=MOVES_MAX => Comparison<Postgres, ActualRules>);
}

struct HoldOneSecondLonger;

impl AssumedRules for HoldOneSecondLonger {
    const RULES: Rules = Rules {
        hold: 901,
        ..ActualRules::RULES
    };
}

struct GraceOneSecondLonger;

impl AssumedRules for GraceOneSecondLonger {
    const RULES: Rules = Rules {
        grace: 61,
        ..ActualRules::RULES
    };
}

struct NoLateAuthorisation;

impl AssumedRules for NoLateAuthorisation {
    const RULES: Rules = Rules {
        late: -1,
        ..ActualRules::RULES
    };
}

struct FourOpenOrders;

impl AssumedRules for FourOpenOrders {
    const RULES: Rules = Rules {
        open_orders: 4,
        ..ActualRules::RULES
    };
}

struct LossesNotBooked;

impl AssumedRules for LossesNotBooked {
    const RULES: Rules = Rules {
        losses_are_booked: false,
        ..ActualRules::RULES
    };
}

/// Generates the same moves on each run.
fn deterministic_runner(config: Config) -> TestRunner {
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The part of a model that buyers, sellers and operators can observe.
fn observable(model: &Model) -> String {
    let world = &model.world;
    let tickets: Vec<_> = world.tickets.iter().map(|ticket| ticket.state).collect();
    let orders: Vec<_> = world
        .orders
        .values()
        .map(|order| (order.state, &order.payment))
        .collect();
    let (balances, incidents) = (&world.balances, &world.incidents);
    format!(
        "{} {tickets:?} {orders:?} {balances:?} {incidents:?}",
        model.answer
    )
}

/// Whether the moves distinguish the wrong rules from the actual ones. Much faster than running them against a
/// shop.
fn distinguishes(assumed: &Model, moves: &[Move]) -> bool {
    let mut assumed = assumed.clone();
    let mut actual = assumed.clone();
    actual.world.rules = ActualRules::RULES;
    moves.iter().any(|next| {
        if !actual.is_possible(next) {
            return true;
        }
        assumed.make(next);
        actual.make(next);
        observable(&assumed) != observable(&actual)
    })
}

/// Runs the test with wrong rules, which must fail. Returns the number of moves after shrinking, and the
/// failure message.
fn fail_with<B: AssumedRules>(shrink: u32) -> (usize, String) {
    let config = Config {
        cases: 2048,
        max_shrink_iters: shrink,
        failure_persistence: None,
        ..Config::default()
    };
    let moves = ModelMachine::<B>::sequential_strategy(MOVES_MAX);
    let found = deterministic_runner(config.clone()).run(&moves, |(model, moves, seen_counter)| {
        if distinguishes(&model, &moves) {
            Comparison::<Sqlite, B>::test_sequential(config.clone(), model, moves, seen_counter);
        }
        Ok(())
    });
    match found {
        Err(TestError::Fail(why, (_, moves, _))) => (moves.len(), why.message().to_owned()),
        other => panic!("{} was not detected: {other:?}", std::any::type_name::<B>()),
    }
}

/// Runs the comparison with models that are wrong by one second, or in a rare case.
#[test]
fn a_shop_that_differs_from_the_model_is_detected() {
    let (moves, why) = fail_with::<HoldOneSecondLonger>(64);
    assert!(moves <= 4 && why.contains("900 s left"), "{moves} {why}");
    // Needs many moves, so shrinking would take long.
    let (_, why) = fail_with::<GraceOneSecondLonger>(1);
    let mentions = |why: &str, word: &str| why.contains(word) || why.contains("the last sweep");
    assert!(mentions(&why, "s left"), "{why}");
    let (_, why) = fail_with::<NoLateAuthorisation>(1);
    assert!(mentions(&why, "sold"), "{why}");
    let (_, why) = fail_with::<FourOpenOrders>(1);
    assert!(why.contains("hold_limit"), "{why}");
    let (_, why) = fail_with::<LossesNotBooked>(1);
    assert!(why.contains("the ledger has"), "{why}");
}

/// The generated moves reach every refusal and every rare case.
#[test]
fn the_moves_reach_every_case_of_the_model() {
    let mut runner = deterministic_runner(Config::default());
    let strategy = ModelMachine::<ActualRules>::sequential_strategy(MOVES_MAX);
    let mut reached = BTreeSet::new();
    for _ in 0..300 {
        let (mut model, moves, _) = strategy.new_tree(&mut runner).unwrap().current();
        for next in &moves {
            model.make(next);
        }
        reached.extend(model.world.marks);
    }
    let expected = BTreeSet::from(ALL_CASES);
    let missed: Vec<_> = expected.difference(&reached).collect();
    assert!(missed.is_empty(), "not reached: {missed:?}");
}

const ALL_CASES: [&str; 38] = [
    "a dispute was lost",
    "a dispute was won",
    "a refund that Stripe refused",
    "stored answer repeated",
    "expired by another reservation",
    "authorised too late, and voided",
    "card_declined",
    "buyer over the limit",
    "hold_limit",
    "fully refunded at Stripe",
    "partly refunded at Stripe",
    "payment_disputed",
    "refunded_elsewhere",
    "network address over the limit",
    "too_many_requests",
    "wait after unpaid expiries",
    "completed within the grace",
    "event_over",
    "idempotency_mismatch",
    "invalid",
    "order found by its key after a day",
    "not_enough_tickets",
    "not_found",
    "not_sold",
    "order_cancelled",
    "order_complete",
    "order_expired",
    "order_refunded",
    "own_ticket",
    "paid by the previous card",
    "refunded in part",
    "revived after it had expired",
    "revived before it was expired",
    "ticket_reserved",
    "ticket_sold",
    "ticket_withdrawn",
    "too old to be revived",
    "version_conflict",
];
