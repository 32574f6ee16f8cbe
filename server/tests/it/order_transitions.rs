//! Each transition of orders, attempted in each state: it changes exactly the orders whose state the table of
//! transitions allows.

use crate::support::{App, Client, on_both_engines};
use model::{
    Moment,
    ids::OrderId,
    money::{MinorUnits, Money},
};
use platform::{clock::Clock, db::Conn, fault::FaultResult};
use serde_json::Value;
use shop::{
    orders::{
        state::{State, Transition},
        transitions, usage,
    },
    payments::PaymentVoider,
};
use std::{sync::Arc, time::Duration};
use strum::VariantArray;
use tokio::sync::Notify;

const HOUR: Duration = Duration::from_hours(1);

/// The arguments of a transition.
#[derive(Clone, Copy)]
struct Arguments {
    order: OrderId,
    buyer: model::ids::UserId,
    total: Money,
    now: Moment,
}

fn voids() -> PaymentVoider {
    PaymentVoider::new(Arc::new(Notify::new()))
}

/// Calls the function of a transition. Returns whether it reported a change.
async fn call(conn: &mut Conn, transition: Transition, arguments: Arguments) -> FaultResult<bool> {
    let Arguments {
        order,
        buyer,
        total,
        now,
    } = arguments;
    let changed = match transition {
        Transition::BeginPayment => {
            let row = transitions::begin_payment(conn, order, HOUR, now).await?;
            row.is_some()
        }
        Transition::Fence => transitions::fence(conn, order, total, now).await?,
        Transition::Revive => transitions::revive(conn, order, total, now)
            .await?
            .is_some(),
        Transition::Complete => {
            let row = transitions::complete(conn, order, MinorUnits::new(total.minor), now).await?;
            row.is_some()
        }
        Transition::Unfence => {
            transitions::unfence(conn, order).await?;
            true
        }
        Transition::Expire => transitions::expire(conn, order, &voids(), now).await?,
        Transition::Cancel => transitions::cancel(conn, order, buyer, None, &voids(), now).await?,
        Transition::BeginRefund => transitions::begin_refund(conn, order, now).await.is_ok(),
        Transition::Refund => transitions::refund(conn, order, now).await.is_ok(),
        Transition::Restore => transitions::restore(conn, order, now).await.is_ok(),
    };
    Ok(changed)
}

fn needs_ended_hold(transition: Transition) -> bool {
    matches!(transition, Transition::Revive | Transition::Expire)
}

/// Creates an order of one ticket in the state `from` that meets all other conditions of the transition.
async fn order_in(
    app: &App,
    buyer: &Client,
    event: &Value,
    from: State,
    transition: Transition,
) -> Arguments {
    let reserved = buyer.reserve_any(event, 1).await.expect(201);
    let id = reserved["id"].as_str().unwrap().to_owned();
    let now = app.clock.now();
    let ends = if needs_ended_hold(transition) {
        now
    } else {
        now + HOUR
    };
    let sql = format!(
        "UPDATE orders SET status = '{from}', hold_until = {ends}, expires_at = {ends} WHERE id = $1",
        ends = ends.micros(),
    );
    app.write_sql(sql.leak(), id.clone()).await;
    let currency = reserved["currency"].as_str().unwrap().parse().unwrap();
    Arguments {
        order: id.parse().unwrap(),
        buyer: buyer.id.parse().unwrap(),
        total: Money::new(reserved["totalMinor"].as_i64().unwrap(), currency),
        now,
    }
}

/// Calls a transition in its own transaction. Returns whether it reported a change.
async fn attempt(app: &App, transition: Transition, arguments: Arguments) -> bool {
    let changed: FaultResult<bool> = app
        .db
        .write(move |conn| {
            Box::pin(async move {
                usage::lock_usage_and_tickets(conn, arguments.order).await?;
                call(conn, transition, arguments).await
            })
        })
        .await;
    changed.unwrap()
}

async fn read(app: &App, order: OrderId) -> (State, i64) {
    let sql = format!("SELECT status || ' ' || version AS t FROM orders WHERE id = '{order}'");
    let read = app.texts(&sql).await.remove(0);
    let (state, version) = read.split_once(' ').unwrap();
    (state.parse().unwrap(), version.parse().unwrap())
}

on_both_engines! {
    async fn each_transition_changes_exactly_the_states_of_the_table(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let all = Transition::VARIANTS.len() * State::VARIANTS.len();
        seller.batch(&event, all.try_into().unwrap(), 2500).await;
        for transition in Transition::VARIANTS.iter().copied() {
            for from in State::VARIANTS.iter().copied() {
                let arguments = order_in(app, &buyer, &event, from, transition).await;
                let before = read(app, arguments.order).await;
                let changed = attempt(app, transition, arguments).await;
                let after = read(app, arguments.order).await;
                let context = format!("{transition:?} from {from}: {after:?}");
                if transition.edges().iter().any(|(start, _)| *start == from) {
                    assert!(changed, "{context}");
                    assert!(transition.has_edge(from, after.0), "{context}");
                } else {
                    assert!(!changed || transition == Transition::Unfence, "{context}");
                    assert_eq!(after, before, "{context}");
                }
            }
        }
    }

    async fn one_of_two_concurrent_transitions_succeeds(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 20, 2500).await;
        for (from, one, other) in [
            (State::AwaitingPayment, Transition::Fence, Transition::Cancel),
            (State::Created, Transition::BeginPayment, Transition::BeginPayment),
            (State::Created, Transition::Cancel, Transition::Cancel),
            (State::Created, Transition::Expire, Transition::Expire),
            (State::AwaitingPayment, Transition::Revive, Transition::Revive),
            (State::Capturing, Transition::Complete, Transition::Complete),
        ] {
            let arguments = order_in(app, &buyer, &event, from, one).await;
            let (first, second) = tokio::join!(attempt(app, one, arguments), attempt(app, other, arguments));
            let (state, _) = read(app, arguments.order).await;
            assert!(first != second, "{one:?} {first}, {other:?} {second}: {state}");
            let succeeded = if first { one } else { other };
            assert!(succeeded.has_edge(from, state), "{succeeded:?}: {state}");
        }
    }
}
