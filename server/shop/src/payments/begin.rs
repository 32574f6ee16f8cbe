//! How a payment begins: the order waits for it, and the call that charges the card is written down
//! in the same transaction.

use super::{
    ProviderMode,
    effects::{self, EffectKind},
    gateway::{Confirm, Create},
    provider,
    store::{self, NewPayment, PaymentRow, State},
    trials::{self, Trial},
};
use crate::{
    orders::{
        State as OrderState, rules,
        store::{self as orders, OrderRow},
        transitions as order,
    },
    tickets::holds,
};
use model::{
    Moment,
    error::{AppError, Conflict},
    ids::{EffectId, OrderId, PaymentId, UserId},
};
use platform::{
    db::Conn,
    fault::{Fault, FaultResult},
};
use sqlx::query;
use std::{net::IpAddr, time::Duration};
use uuid::Uuid;

/// Paying, as its transaction needs it.
pub(super) struct Begin {
    pub order: OrderId,
    pub buyer: UserId,
    pub token: String,
    pub return_url: String,
    pub grace: Duration,
    /// Where the request comes from, if cards are counted.
    pub counted_from: Option<IpAddr>,
    pub now: Moment,
    /// Which provider this process calls.
    pub provider: ProviderMode,
}

/// A payment that has begun.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub payment: PaymentId,
    /// The call that charges the card.
    pub attempt: EffectId,
    /// How many further cards had been tried for the payment by then, this one included.
    pub confirmations: i64,
    /// When the order's hold ends.
    pub order_ends: Moment,
    /// When the tickets come free now, if that has moved.
    pub hold_until: Option<Moment>,
}

/// Begins a payment, or another card for the one that was declined; the call to Stripe is
/// written down with it.
///
/// Errors: `NotFound`, `PaymentInProgress`, `OrderExpired` and the other ends; `TooManyRequests` where
/// too many cards were tried.
pub(super) async fn begin(conn: &mut Conn, begin: Begin) -> FaultResult<Begun> {
    let (order, buyer, from, now) = (begin.order, begin.buyer, begin.counted_from, begin.now);
    // Counted last, so that what is refused for another reason is told that reason; and behind the
    // locks of the order's tickets.
    let begun = write_down(conn, begin).await?;
    if let Some(address) = from {
        let trial = Trial {
            buyer,
            address,
            order,
            order_ends: begun.order_ends,
        };
        let counted = trials::trial_begin(conn, trial, begun.attempt, now).await??;
        trials::trial_note(conn, begun.attempt, &counted).await?;
    }
    Ok(begun)
}

async fn write_down(conn: &mut Conn, begin: Begin) -> FaultResult<Begun> {
    holds::order_tickets_lock(conn, begin.order).await?;
    let row = orders::order_find(&mut *conn, begin.order)
        .await?
        .filter(|row| row.buyer == begin.buyer)
        .ok_or(AppError::NotFound)?;
    provider::claim(conn, begin.provider, begin.now).await?;
    let begun = order::begin_payment(conn, begin.order, begin.grace, begin.now).await?;
    if let Some(order) = begun {
        let (payment, attempt) = insert_payment(conn, &begin, &order, 1).await?;
        let hold_until = Some(order.hold_until);
        let order_ends = order.hold_until;
        let order = OrderRow {
            payment: Some(payment),
            ..order
        };
        order::announce(conn, order, begin.now).await?;
        return Ok(Begun {
            payment,
            attempt,
            confirmations: 0,
            order_ends,
            hold_until,
        });
    }
    let in_time = row.expires_at > begin.now;
    if row.state == OrderState::AwaitingPayment && !in_time && row.hold_until > begin.now {
        // The tickets are held for a payment that may yet succeed: nothing has run out for it.
        let newest = store::payment_newest(&mut *conn, row.id).await?;
        if newest.is_some_and(|newest| newest.state.is_under_way()) {
            return Err(Conflict::PaymentInProgress.into());
        }
    }
    if row.state != OrderState::AwaitingPayment || !in_time {
        let late = !in_time && row.state.seen(true) == model::orders::OrderStatus::Expired;
        let status = row.state.seen(late);
        return Err(rules::refusal(status).into());
    }
    again(conn, &begin, &row).await
}

/// A further card: for the intent that is open, or a new intent if there is none.
async fn again(conn: &mut Conn, begin: &Begin, row: &OrderRow) -> FaultResult<Begun> {
    let newest = store::payment_newest(&mut *conn, row.id).await?;
    let Some(newest) = newest else {
        return Err(Fault::unexpected(
            "awaiting a payment that does not exist",
            "no payment",
        ));
    };
    match newest.state {
        State::Voided | State::Failed | State::Refunded => {
            let (payment, attempt) = insert_payment(conn, begin, row, newest.attempt + 1).await?;
            // The order shows another payment than before.
            let replaced = order::replace_payment(conn, row.id).await?;
            order::announce(conn, replaced, begin.now).await?;
            Ok(Begun {
                payment,
                attempt,
                confirmations: 0,
                order_ends: row.hold_until,
                hold_until: None,
            })
        }
        _ => confirm_again(conn, begin, row, &newest).await,
    }
}

async fn confirm_again(
    conn: &mut Conn,
    begin: &Begin,
    order: &OrderRow,
    payment: &PaymentRow,
) -> FaultResult<Begun> {
    let moved = query(
        "UPDATE payments SET state = 'intended', declined = NULL, \
         confirmations = confirmations + 1 \
         WHERE id = $1 AND confirmations = $2 AND state IN ('open', 'requires_action')",
    )
    .bind(payment.id)
    .bind(payment.confirmations)
    .execute(&mut *conn)
    .await?;
    if moved.rows_affected() == 0 {
        return Err(Conflict::PaymentInProgress.into());
    }
    let params = Confirm {
        token: begin.token.clone(),
        return_url: begin.return_url.clone(),
    };
    let confirmations = payment.confirmations + 1;
    let key = format!("conf:{}:{confirmations}", payment.id);
    let params = serde_json::to_string(&params)
        .map_err(|error| Fault::unexpected("parameters do not serialise", error))?;
    let attempt = effects::effect_insert(
        conn,
        payment.id,
        EffectKind::Confirm,
        &key,
        &params,
        begin.now,
    )
    .await?;
    Ok(Begun {
        payment: payment.id,
        attempt,
        confirmations,
        order_ends: order.hold_until,
        hold_until: None,
    })
}

/// Writes a payment down, and the call that makes it: both ids.
async fn insert_payment(
    conn: &mut Conn,
    begin: &Begin,
    order: &OrderRow,
    attempt: i64,
) -> FaultResult<(PaymentId, EffectId)> {
    let payment = NewPayment {
        id: PaymentId(Uuid::now_v7()),
        order: order.id,
        attempt,
        amount_minor: order.total_minor,
        currency: order.currency,
    };
    store::payment_insert(conn, &payment, begin.now).await?;
    let params = Create {
        amount_minor: payment.amount_minor,
        currency: payment.currency.code().to_owned(),
        token: begin.token.clone(),
        order: order.id,
        payment: payment.id,
        attempt,
        return_url: begin.return_url.clone(),
    };
    let params = serde_json::to_string(&params)
        .map_err(|error| Fault::unexpected("parameters do not serialise", error))?;
    let key = format!("pi:{}:{attempt}", order.id);
    let call = effects::effect_insert(
        conn,
        payment.id,
        EffectKind::Create,
        &key,
        &params,
        begin.now,
    )
    .await?;
    Ok((payment.id, call))
}
