//! Generates the moves: all valid ones and some invalid ones, with higher weights for those that lead to
//! critical cases. Time advances to just before, exactly at and just after every deadline.
//!
//! Moves refer to orders by attempt and to tickets by number, so that removing moves during shrinking does
//! not change the meaning of the others.

use super::{
    elsewhere::Standing,
    model::{
        Attempt, BUYERS, DAY, Intent, Paying, Payment, Place, Rules, SELLER, STARTS_AT, TicketNo,
        World,
    },
    promise::Model,
    words::{Amount, Card, Move, Wanted},
};
use proptest::{prelude::*, sample, strategy::Union};
use proptest_state_machine::ReferenceStateMachine;
use std::marker::PhantomData;

/// The seller lists new tickets up to this number.
const TICKETS_MAX: usize = 7;
/// Few prices, so that tickets often cost the same.
const PRICES: [i64; 4] = [900, 2500, 2501, 12_000];
/// Amounts refunded at Stripe: part of a ticket, or the rest after another refund.
const PARTS: [i64; 3] = [1, 900, 2500];

/// The rules that a test assumes.
pub trait Belief: 'static {
    const RULES: Rules;
}

/// The actual rules.
pub struct TheTruth;

impl Belief for TheTruth {
    const RULES: Rules = Rules {
        hold: 900,
        grace: 60,
        late: DAY,
        open_orders: 3,
        losses_are_booked: true,
    };
}

/// The state machine that the shop must agree with.
pub struct Promise<B>(PhantomData<B>);

impl<B: Belief> ReferenceStateMachine for Promise<B> {
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
            (4, Just(Move::WebhooksArrive).boxed()),
            (10, pass(world)),
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
        moves.extend(of_orders(world));
        moves.extend(of_payments(world));
        moves.extend(refunds(world));
        moves.extend(at_stripe(world));
        Union::new_weighted(moves).boxed()
    }

    fn preconditions(model: &Model, next: &Move) -> bool {
        model.allows(next)
    }

    fn apply(mut model: Model, next: &Move) -> Model {
        model.make(next);
        model
    }
}

fn some_of(all: impl Iterator<Item = usize>) -> Option<BoxedStrategy<usize>> {
    let all: Vec<usize> = all.collect();
    (!all.is_empty()).then(|| sample::select(all).boxed())
}

/// Usually the owner, sometimes another user.
fn mostly(owner: usize) -> BoxedStrategy<usize> {
    prop_oneof![12 => Just(owner), 1 => 0..=SELLER].boxed()
}

fn wanted(tickets: usize) -> BoxedStrategy<Wanted> {
    let named = |count: usize| {
        sample::subsequence((0..tickets).collect::<Vec<_>>(), 1..=count).prop_shuffle()
    };
    prop_oneof![
        3 => named(1).prop_map(Wanted::Named),
        3 => named(3).prop_map(Wanted::Named),
        3 => (1..=3_usize).prop_map(Wanted::Any),
    ]
    .boxed()
}

fn reserve(model: &Model) -> BoxedStrategy<Move> {
    let attempt = model.attempts.keys().last().map_or(0, |last| last + 1);
    let who = prop_oneof![15 => 0..BUYERS, 1 => Just(SELLER)];
    (who, wanted(model.world.tickets.len()))
        .prop_map(move |(who, wanted)| Move::Reserve {
            attempt,
            who,
            wanted,
        })
        .boxed()
}

/// Usually with the same body.
fn repeat(model: &Model) -> BoxedStrategy<Move> {
    let kept = model
        .attempts
        .iter()
        .map(|(attempt, kept)| (*attempt, kept.wanted.clone()));
    let kept: Vec<(Attempt, Wanted)> = kept.collect();
    let other = prop_oneof![3 => Just(None), 1 => (1..=3_usize).prop_map(|n| Some(Wanted::Any(n)))];
    (sample::select(kept), other)
        .prop_map(|((attempt, same), other)| Move::Repeat {
            attempt,
            wanted: other.unwrap_or(same),
        })
        .boxed()
}

/// Advances to a deadline, give or take a second, or by an arbitrary time.
fn pass(world: &World) -> BoxedStrategy<Move> {
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
        if payment.paying == Paying::Voiding || payment.intent == Intent::RequiresCapture {
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
        .prop_map(|seconds| Move::Pass { seconds })
        .boxed()
}

/// Paying, cancelling, timers.
fn of_orders(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let mut moves = Vec::new();
    let ids = |open: bool| {
        let orders = world
            .orders
            .iter()
            .filter(move |(_, order)| order.is_open() == open);
        some_of(orders.map(|(id, _)| *id))
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
            .map_or(0, |(_, who)| *who)
    };
    for (weight, orders) in [(8_u32, ids(true)), (1, ids(false))] {
        let Some(orders) = orders else { continue };
        let cards = prop_oneof![3 => Just(Card::Good), 2 => Just(Card::Declined), 6 => Just(Card::AsksTheBank)];
        let by = owner.clone();
        let pay = (orders.clone(), cards).prop_flat_map(move |(order, card)| {
            mostly(by(order)).prop_map(move |who| Move::Pay { order, who, card })
        });
        let by = owner.clone();
        let bad_cards = orders.clone().prop_flat_map(move |order| {
            mostly(by(order)).prop_map(move |who| Move::PayBadCards { order, who })
        });
        let by = owner.clone();
        let cancel = orders.clone().prop_flat_map(move |order| {
            mostly(by(order)).prop_map(move |who| Move::Cancel { order, who })
        });
        let by = owner.clone();
        let more_time = orders.clone().prop_flat_map(move |order| {
            mostly(by(order)).prop_map(move |who| Move::MoreTime { order, who })
        });
        moves.push((weight.div_ceil(4), more_time.boxed()));
        moves.push((weight * 2, pay.boxed()));
        if world.limits.on {
            moves.push((weight.div_ceil(4), bad_cards.boxed()));
        }
        moves.push((weight.div_ceil(4), cancel.boxed()));
        moves.push((
            weight.div_ceil(2),
            orders.prop_map(|order| Move::Timer { order }).boxed(),
        ));
    }
    moves
}

/// Actions of banks and of buyers waiting for a payment.
fn of_payments(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let mut moves = Vec::new();
    let ids = |asks: bool| {
        let asking = move |id: &Attempt| {
            let payment = world.payment(*id);
            payment.is_some_and(|payment| (payment.intent == Intent::RequiresAction) == asks)
        };
        some_of(world.paid.iter().copied().filter(asking))
    };
    for (weight, orders) in [(8, ids(true)), (1, ids(false))] {
        let Some(orders) = orders else { continue };
        let at_bank = (orders.clone(), prop::bool::weighted(0.8))
            .prop_map(|(order, approves)| Move::AtBank { order, approves });
        moves.push((weight, at_bank.boxed()));
        moves.push((1, orders.prop_map(|order| Move::Look { order }).boxed()));
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
fn refunds(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let mut moves = Vec::new();
    let any: Vec<TicketNo> = (0..world.tickets.len()).collect();
    let is_sold = |ticket: &TicketNo| matches!(world.tickets[*ticket].place, Place::Sold(_));
    let sold: Vec<TicketNo> = any.iter().copied().filter(is_sold).collect();
    for (weight, of) in [(2, sold), (1, any)] {
        if of.is_empty() {
            continue;
        }
        let most = of.len().min(2);
        let refund = (mostly(SELLER), sample::subsequence(of, 1..=most))
            .prop_map(|(who, tickets)| Move::Refund { who, tickets });
        moves.push((weight, refund.boxed()));
    }
    if let Some(orders) = some_of(world.orders.keys().copied()) {
        let refund =
            (mostly(SELLER), orders).prop_map(|(who, order)| Move::RefundOrder { who, order });
        moves.push((1, refund.boxed()));
    }
    moves
}

/// Refunds at Stripe, and disputes.
fn at_stripe(world: &World) -> Vec<(u32, BoxedStrategy<Move>)> {
    let of = |wanted: fn(&Payment) -> bool| {
        let paid = world.paid.iter().copied();
        some_of(paid.filter(|order| world.payment(*order).is_some_and(wanted)))
    };
    let mut moves = Vec::new();
    let disputed = |payment: &Payment| {
        let mut disputes = payment.elsewhere.disputes.iter();
        disputes.any(|dispute| dispute.at_stripe == Standing::Open)
    };
    if let Some(orders) = of(disputed) {
        let close = (orders, prop::bool::ANY);
        let close = close.prop_map(|(order, won)| Move::CloseDispute { order, won });
        moves.push((6, close.boxed()));
    }
    for (weight, orders) in [
        (2, of(|payment| payment.refunded < payment.received)),
        (1, some_of(world.paid.iter().copied())),
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
