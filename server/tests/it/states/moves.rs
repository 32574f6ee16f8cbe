//! Generates the moves: all valid ones and some invalid ones, with higher weights for those that lead to
//! rare cases. The clock advances to just before, exactly at and just after every deadline.
//!
//! Moves refer to orders by attempt and to tickets by number, so that removing moves during shrinking does
//! not change the meaning of the others.

use super::{
    answers::Model,
    elsewhere::DisputeState,
    model::{
        Attempt, BUYERS, DAY, IntentStatus, Payment, PaymentState, Rules, SELLER, STARTS_AT,
        TicketNo, TicketState, World,
    },
    words::{Amount, Card, Move, Selection},
};
use proptest::{prelude::*, sample, strategy::Union};
use proptest_state_machine::ReferenceStateMachine;
use std::marker::PhantomData;

/// The seller lists new tickets up to this total number.
const TICKETS_MAX: usize = 7;
/// Few prices, so that tickets often cost the same.
const PRICES: [i64; 4] = [900, 2500, 2501, 12_000];
/// Amounts refunded at Stripe: part of a ticket, or the rest after another refund.
const PARTS: [i64; 3] = [1, 900, 2500];

/// The rules that a model assumes.
pub trait AssumedRules: 'static {
    const RULES: Rules;
}

/// The rules of the shop.
pub struct ActualRules;

impl AssumedRules for ActualRules {
    const RULES: Rules = Rules {
        hold: 900,
        grace: 60,
        late: DAY,
        open_orders: 3,
        losses_are_booked: true,
    };
}

/// The reference state machine, with the assumed rules.
pub struct ModelMachine<B>(PhantomData<B>);

impl<B: AssumedRules> ReferenceStateMachine for ModelMachine<B> {
    type State = Model;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<Model> {
        let prices = prop::collection::vec(sample::select(&PRICES[..]), 4..=5);
        (prices, prop::bool::ANY)
            .prop_map(|(prices, limits_on)| Model::new(World::new(B::RULES, &prices, limits_on)))
            .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Move> {
        let world = &model.world;
        let mut moves = vec![
            (14, reserve(model)),
            (4, Just(Move::DeliverWebhooks).boxed()),
            (10, advance_time(world)),
            (3, Just(Move::Sweep).boxed()),
            (3, edit(world)),
            (1, withdraw(world)),
        ];
        if world.tickets.len() < TICKETS_MAX {
            moves.push((
                2,
                sample::select(&PRICES[..])
                    .prop_map(|price| Move::List { price })
                    .boxed(),
            ));
        }
        if !model.attempts.is_empty() {
            moves.push((2, repeat(model)));
        }
        moves.extend(order_moves(world));
        moves.extend(payment_moves(world));
        moves.extend(refund_moves(world));
        moves.extend(stripe_moves(world));
        Union::new_weighted(moves).boxed()
    }

    fn preconditions(model: &Model, next: &Move) -> bool {
        model.is_possible(next)
    }

    fn apply(mut model: Model, next: &Move) -> Model {
        model.make(next);
        model
    }
}

fn select_one(all: impl Iterator<Item = usize>) -> Option<BoxedStrategy<usize>> {
    let all: Vec<usize> = all.collect();
    (!all.is_empty()).then(|| sample::select(all).boxed())
}

/// Usually the order's buyer or the seller, sometimes another user.
fn usually(owner: usize) -> BoxedStrategy<usize> {
    prop_oneof![12 => Just(owner), 1 => 0..=SELLER].boxed()
}

fn selection(tickets: usize) -> BoxedStrategy<Selection> {
    let named = |count: usize| {
        sample::subsequence((0..tickets).collect::<Vec<_>>(), 1..=count).prop_shuffle()
    };
    prop_oneof![
        3 => named(1).prop_map(Selection::Named),
        3 => named(3).prop_map(Selection::Named),
        3 => (1..=3_usize).prop_map(Selection::Any),
    ]
    .boxed()
}

fn reserve(model: &Model) -> BoxedStrategy<Move> {
    let attempt = model.attempts.keys().last().map_or(0, |last| last + 1);
    let user = prop_oneof![15 => 0..BUYERS, 1 => Just(SELLER)];
    (user, selection(model.world.tickets.len()))
        .prop_map(move |(user, selection)| Move::Reserve {
            attempt,
            user,
            selection,
        })
        .boxed()
}

/// Usually with the same body.
fn repeat(model: &Model) -> BoxedStrategy<Move> {
    let stored_answers = model
        .attempts
        .iter()
        .map(|(attempt, stored)| (*attempt, stored.selection.clone()));
    let stored: Vec<(Attempt, Selection)> = stored_answers.collect();
    let other =
        prop_oneof![3 => Just(None), 1 => (1..=3_usize).prop_map(|n| Some(Selection::Any(n)))];
    (sample::select(stored), other)
        .prop_map(|((attempt, same), other)| Move::Repeat {
            attempt,
            selection: other.unwrap_or(same),
        })
        .boxed()
}

/// Advances the clock to a deadline, one second before or after it, or by an arbitrary time.
fn advance_time(world: &World) -> BoxedStrategy<Move> {
    let mut ends = Vec::new();
    for order in world.orders.values().filter(|order| order.is_open()) {
        let nearly_over = order.expires_at - world.rules.hold / 3;
        for end in [order.expires_at, order.hold_until, nearly_over] {
            ends.extend([end, end + 1, end - 1]);
        }
    }
    let mut late = vec![STARTS_AT];
    for payment in world
        .orders
        .values()
        .filter_map(|order| order.payment.as_ref())
    {
        if payment.state == PaymentState::Voiding || payment.intent == IntentStatus::RequiresCapture
        {
            late.extend([
                payment.begun_at + world.rules.late,
                payment.begun_at + world.rules.late + 1,
            ]);
        }
    }
    let ahead = |ends: Vec<i64>| {
        let left: Vec<i64> = ends
            .into_iter()
            .map(|end| end - world.now)
            .filter(|left| *left > 0)
            .collect();
        (!left.is_empty()).then(|| sample::select(left).boxed())
    };
    let mut passing = vec![
        (20, (1..=400_i64).boxed()),
        (4, (900..=2000_i64).boxed()),
        (1, Just(DAY).boxed()),
    ];
    passing.extend(ahead(ends).map(|ends| (60, ends)));
    passing.extend(ahead(late).map(|late| (3, late)));
    Union::new_weighted(passing)
        .prop_map(|seconds| Move::AdvanceTime { seconds })
        .boxed()
}

/// Payments, cancellations, extensions and expiry jobs.
fn order_moves(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let mut moves = Vec::new();
    let ids = |open: bool| {
        let orders = world
            .orders
            .iter()
            .filter(move |(_, order)| order.is_open() == open);
        select_one(orders.map(|(id, _)| *id))
    };
    let buyers: Vec<(Attempt, usize)> = world
        .orders
        .iter()
        .map(|(id, order)| (*id, order.buyer))
        .collect();
    let owner = move |order: Attempt| {
        buyers
            .iter()
            .find(|(id, _)| *id == order)
            .map_or(0, |(_, user)| *user)
    };
    for (weight, orders) in [(8_u32, ids(true)), (1, ids(false))] {
        let Some(orders) = orders else { continue };
        let cards = prop_oneof![3 => Just(Card::Good), 2 => Just(Card::Declined), 6 => Just(Card::RequiresAction)];
        let by = owner.clone();
        let pay = (orders.clone(), cards).prop_flat_map(move |(order, card)| {
            usually(by(order)).prop_map(move |user| Move::Pay { order, user, card })
        });
        let by = owner.clone();
        let declined_cards = orders.clone().prop_flat_map(move |order| {
            usually(by(order)).prop_map(move |user| Move::PayWithDeclinedCards { order, user })
        });
        let by = owner.clone();
        let cancel = orders.clone().prop_flat_map(move |order| {
            usually(by(order)).prop_map(move |user| Move::Cancel { order, user })
        });
        let by = owner.clone();
        let more_time = orders.clone().prop_flat_map(move |order| {
            usually(by(order)).prop_map(move |user| Move::MoreTime { order, user })
        });
        moves.push((weight.div_ceil(4), more_time.boxed()));
        moves.push((weight * 2, pay.boxed()));
        if world.limits.on {
            moves.push((weight.div_ceil(4), declined_cards.boxed()));
        }
        moves.push((weight.div_ceil(4), cancel.boxed()));
        moves.push((
            weight.div_ceil(2),
            orders
                .prop_map(|order| Move::RunExpiryJob { order })
                .boxed(),
        ));
    }
    moves
}

/// Answers of banks, and reads of payments.
fn payment_moves(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let mut moves = Vec::new();
    let ids = |asks: bool| {
        let is_asking = move |id: &Attempt| {
            let payment = world.payment(*id);
            payment.is_some_and(|payment| (payment.intent == IntentStatus::RequiresAction) == asks)
        };
        select_one(world.paid.iter().copied().filter(is_asking))
    };
    for (weight, orders) in [(8, ids(true)), (1, ids(false))] {
        let Some(orders) = orders else { continue };
        let answer_bank = (orders.clone(), prop::bool::weighted(0.8))
            .prop_map(|(order, approves)| Move::AnswerBank { order, approves });
        moves.push((weight, answer_bank.boxed()));
        moves.push((
            1,
            orders.prop_map(|order| Move::ReadPayment { order }).boxed(),
        ));
    }
    moves
}

fn edit(world: &World) -> BoxedStrategy<Move> {
    (
        0..world.tickets.len(),
        sample::select(&PRICES[..]),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(ticket, price, stale)| Move::Edit {
            ticket,
            price,
            stale,
        })
        .boxed()
}

fn withdraw(world: &World) -> BoxedStrategy<Move> {
    (0..world.tickets.len())
        .prop_map(|ticket| Move::Withdraw { ticket })
        .boxed()
}

/// Usually of sold tickets, sometimes of any.
fn refund_moves(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let mut moves = Vec::new();
    let any: Vec<TicketNo> = (0..world.tickets.len()).collect();
    let is_sold = |ticket: &TicketNo| matches!(world.tickets[*ticket].state, TicketState::Sold(_));
    let sold: Vec<TicketNo> = any.iter().copied().filter(is_sold).collect();
    for (weight, of) in [(2, sold), (1, any)] {
        if of.is_empty() {
            continue;
        }
        let most = of.len().min(2);
        let refund = (usually(SELLER), sample::subsequence(of, 1..=most))
            .prop_map(|(user, tickets)| Move::Refund { user, tickets });
        moves.push((weight, refund.boxed()));
    }
    if let Some(orders) = select_one(world.orders.keys().copied()) {
        let refund =
            (usually(SELLER), orders).prop_map(|(user, order)| Move::RefundOrder { user, order });
        moves.push((1, refund.boxed()));
    }
    moves
}

/// Refunds at Stripe, and disputes.
fn stripe_moves(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let orders_with = |filter: fn(&Payment) -> bool| {
        let paid = world.paid.iter().copied();
        select_one(paid.filter(|order| world.payment(*order).is_some_and(filter)))
    };
    let mut moves = Vec::new();
    let is_disputed = |payment: &Payment| {
        let mut disputes = payment.external_changes.disputes.iter();
        disputes.any(|dispute| dispute.at_stripe == DisputeState::Open)
    };
    if let Some(orders) = orders_with(is_disputed) {
        let close = (orders, prop::bool::ANY);
        let close = close.prop_map(|(order, won)| Move::CloseDispute { order, won });
        moves.push((6, close.boxed()));
    }
    for (weight, orders) in [
        (
            2,
            orders_with(|payment| payment.refunded < payment.received),
        ),
        (1, select_one(world.paid.iter().copied())),
    ] {
        let Some(orders) = orders else { continue };
        let amount = prop_oneof![
            2 => Just(Amount::All),
            2 => sample::select(&PARTS[..]).prop_map(Amount::Part),
        ];
        let refund = (orders.clone(), amount)
            .prop_map(|(order, amount)| Move::RefundAtStripe { order, amount });
        moves.push((weight, refund.boxed()));
        let dispute = orders.prop_map(|order| Move::Dispute { order });
        moves.push((weight, dispute.boxed()));
    }
    moves
}
