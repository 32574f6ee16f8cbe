//! Model-based test of the whole shop: after random sequences of actions by buyers, sellers, banks and time,
//! every answer, ticket, order and amount must equal the model's.
//!
//! `states/model.rs` is the state of the model, `limits.rs` its limits, `elsewhere.rs` what happens at Stripe
//! without the shop, `promise.rs` its answers (types in `words.rs`), `moves.rs` generates the moves, and
//! `shop.rs` runs them against the real shop, whose tables `tables.rs` compares. Half of the cases have
//! limits enabled. The moves of a case are sequential, so this test does not look for races.
//!
//! `STAGEDOOR_PROPTEST_CASES` sets the number of cases per engine. A failure is shrunk to the fewest moves
//! that reproduce it. Its seed is added to `server/tests/proptest-regressions/states.txt` and is run first
//! from then on: commit that file with the fix.

mod elsewhere;
mod limits;
mod model;
mod moves;
mod promise;
mod shop;
mod tables;
mod words;

use model::Rules;
use moves::{Belief, Promise, TheTruth};
use promise::Model;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shop::{Beside, Postgres, Sqlite};
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
    fn the_shop_keeps_its_promise_on_sqlite(sequential 1..=MOVES_MAX => Beside<Sqlite, TheTruth>);
}

prop_state_machine! {
    #![proptest_config(cases(12))]

    #[test]
    fn the_shop_keeps_its_promise_on_postgres(sequential 1..=MOVES_MAX => Beside<Postgres, TheTruth>);
}

struct HoldsASecondLonger;

impl Belief for HoldsASecondLonger {
    const RULES: Rules = Rules {
        hold: 901,
        ..TheTruth::RULES
    };
}

struct GraceASecondLonger;

impl Belief for GraceASecondLonger {
    const RULES: Rules = Rules {
        grace: 61,
        ..TheTruth::RULES
    };
}

struct NeverTakesALateCard;

impl Belief for NeverTakesALateCard {
    const RULES: Rules = Rules {
        late: -1,
        ..TheTruth::RULES
    };
}

struct AllowsAFourthOrder;

impl Belief for AllowsAFourthOrder {
    const RULES: Rules = Rules {
        open_orders: 4,
        ..TheTruth::RULES
    };
}

struct BooksNoLosses;

impl Belief for BooksNoLosses {
    const RULES: Rules = Rules {
        losses_are_booked: false,
        ..TheTruth::RULES
    };
}

/// Deterministic: generates the same moves on each run.
fn deterministic_runner(config: Config) -> TestRunner {
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The part of a model that buyers, sellers and operators can observe.
fn observable(model: &Model) -> String {
    let world = &model.world;
    let places: Vec<_> = world.tickets.iter().map(|ticket| ticket.place).collect();
    let orders: Vec<_> = world
        .orders
        .values()
        .map(|order| (order.state, &order.payment))
        .collect();
    let (books, incidents) = (&world.books, &world.incidents);
    format!(
        "{} {places:?} {orders:?} {books:?} {incidents:?}",
        model.answer
    )
}

/// Whether the moves make a difference between the wrong rules and the right ones. Much faster than running
/// them against a shop.
fn distinguishes(believed: &Model, moves: &[Move]) -> bool {
    let mut believed = believed.clone();
    let mut truth = believed.clone();
    truth.world.rules = TheTruth::RULES;
    moves.iter().any(|next| {
        if !truth.allows(next) {
            return true;
        }
        believed.make(next);
        truth.make(next);
        observable(&believed) != observable(&truth)
    })
}

/// Runs the test with wrong rules, which must fail. Returns the number of moves after shrinking, and the
/// failure message.
fn fail_with<B: Belief>(shrink: u32) -> (usize, String) {
    let config = Config {
        cases: 2048,
        max_shrink_iters: shrink,
        failure_persistence: None,
        ..Config::default()
    };
    let moves = Promise::<B>::sequential_strategy(MOVES_MAX);
    let found = deterministic_runner(config.clone()).run(&moves, |(model, moves, seen)| {
        if distinguishes(&model, &moves) {
            Beside::<Sqlite, B>::test_sequential(config.clone(), model, moves, seen);
        }
        Ok(())
    });
    match found {
        Err(TestError::Fail(why, (_, moves, _))) => (moves.len(), why.message().to_owned()),
        other => panic!("{} was not detected: {other:?}", std::any::type_name::<B>()),
    }
}

/// The comparison can fail: a model that is wrong by one second, or in a rare case, is detected.
#[test]
fn a_shop_that_differs_from_the_model_is_detected() {
    let (moves, why) = fail_with::<HoldsASecondLonger>(64);
    assert!(moves <= 4 && why.contains("900 s left"), "{moves} {why}");
    // Needs many moves, so shrinking would take long.
    let (_, why) = fail_with::<GraceASecondLonger>(1);
    let mentions = |why: &str, word: &str| why.contains(word) || why.contains("the last sweep");
    assert!(mentions(&why, "s left"), "{why}");
    let (_, why) = fail_with::<NeverTakesALateCard>(1);
    assert!(mentions(&why, "sold"), "{why}");
    let (_, why) = fail_with::<AllowsAFourthOrder>(1);
    assert!(why.contains("hold_limit"), "{why}");
    let (_, why) = fail_with::<BooksNoLosses>(1);
    assert!(why.contains("the books say"), "{why}");
}

/// The generated moves reach every refusal and every rare case.
#[test]
fn the_moves_reach_every_case_of_the_model() {
    let mut runner = deterministic_runner(Config::default());
    let strategy = Promise::<TheTruth>::sequential_strategy(MOVES_MAX);
    let mut reached = BTreeSet::new();
    for _ in 0..300 {
        let (mut model, moves, _) = strategy.new_tree(&mut runner).unwrap().current();
        for next in &moves {
            model.make(next);
        }
        reached.extend(model.world.marks);
    }
    let wanted = BTreeSet::from(EVERYTHING);
    let missed: Vec<_> = wanted.difference(&reached).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
}

const EVERYTHING: [&str; 38] = [
    "a dispute was lost",
    "a dispute was won",
    "a refund that Stripe refused",
    "answered again",
    "a rival expired it",
    "authorised too late, and voided",
    "card_declined",
    "held too much",
    "hold_limit",
    "paid back at Stripe, all of it",
    "paid back in part at Stripe",
    "payment_disputed",
    "refunded_elsewhere",
    "the address held too much",
    "too_many_requests",
    "waited after holds that ran out",
    "completed within the grace",
    "event_over",
    "idempotency_mismatch",
    "invalid",
    "known after a day",
    "not_enough_tickets",
    "not_found",
    "not_sold",
    "order_cancelled",
    "order_complete",
    "order_expired",
    "order_refunded",
    "own_ticket",
    "paid by the card before",
    "refunded in part",
    "revived after it had expired",
    "revived before anybody expired it",
    "ticket_reserved",
    "ticket_sold",
    "ticket_withdrawn",
    "too old to be revived",
    "version_conflict",
];
