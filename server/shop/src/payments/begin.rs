//! Begins a payment: moves the order to `awaiting_payment`, and inserts the payment and the effect that
//! charges the card, in one transaction. Makes no call.

use super::{
    ProviderMode,
    effects::{self, EffectKind},
    gateway::{ConfirmIntent, CreateIntent},
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

/// The input of [`begin`].
pub(super) struct BeginPayment {
    pub order: OrderId,
    pub buyer: UserId,
    pub token: String,
    pub return_url: String,
    pub grace: Duration,
    /// The client's address, if card trials are limited.
    pub counted_from: Option<IpAddr>,
    pub now: Moment,
    /// The mode of this process.
    pub provider: ProviderMode,
}

/// A payment that has begun.
#[derive(Debug, Clone)]
pub(super) struct BegunPayment {
    pub payment: PaymentId,
    /// The call that charges the card.
    pub attempt: EffectId,
    /// Further cards tried for the payment, including this one.
    pub confirmations: i64,
    /// End of the order's hold.
    pub order_ends: Moment,
    /// The new end of the hold, if it has changed.
    pub hold_until: Option<Moment>,
}

/// Begins a payment, or tries another card for a declined one, and inserts the effect of the call.
///
/// Errors: `NotFound`, `PaymentInProgress`, `OrderExpired` and the other final states; `TooManyRequests`
/// if too many cards were tried.
pub(super) async fn begin(conn: &mut Conn, begin: BeginPayment) -> FaultResult<BegunPayment> {
    let (order, buyer, from, now) = (begin.order, begin.buyer, begin.counted_from, begin.now);
    // Counted last, so that other reasons for a refusal take precedence, and while the order's tickets
    // are locked.
    let begun = begin_or_retry(conn, begin).await?;
    if let Some(address) = from {
        let trial = Trial {
            buyer,
            address,
            order,
            order_ends: begun.order_ends,
        };
        let counted = trials::count(conn, trial, begun.attempt, now).await??;
        trials::record_counted_in(conn, begun.attempt, &counted).await?;
    }
    Ok(begun)
}

async fn begin_or_retry(conn: &mut Conn, begin: BeginPayment) -> FaultResult<BegunPayment> {
    holds::lock_by_order(conn, begin.order).await?;
    let row = orders::find(&mut *conn, begin.order)
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
        return Ok(BegunPayment {
            payment,
            attempt,
            confirmations: 0,
            order_ends,
            hold_until,
        });
    }
    let in_time = row.expires_at > begin.now;
    if row.state == OrderState::AwaitingPayment && !in_time && row.hold_until > begin.now {
        // During the grace period a payment under way may still succeed.
        let newest = store::find_newest(&mut *conn, row.id).await?;
        if newest.is_some_and(|newest| newest.state.is_under_way()) {
            return Err(Conflict::PaymentInProgress.into());
        }
    }
    if row.state != OrderState::AwaitingPayment || !in_time {
        let late = !in_time && row.state.status(true) == model::orders::OrderStatus::Expired;
        let status = row.state.status(late);
        return Err(rules::refusal(status).into());
    }
    retry(conn, &begin, &row).await
}

/// Tries another card: confirms the open intent, or creates a new one if there is none.
async fn retry(conn: &mut Conn, begin: &BeginPayment, row: &OrderRow) -> FaultResult<BegunPayment> {
    let newest = store::find_newest(&mut *conn, row.id).await?;
    let Some(newest) = newest else {
        return Err(Fault::unexpected(
            "order awaits a payment but has none",
            row.id.to_string(),
        ));
    };
    match newest.state {
        State::Voided | State::Failed | State::Refunded => {
            let (payment, attempt) = insert_payment(conn, begin, row, newest.attempt + 1).await?;
            // The order now shows a different payment.
            let replaced = order::replace_payment(conn, row.id).await?;
            order::announce(conn, replaced, begin.now).await?;
            Ok(BegunPayment {
                payment,
                attempt,
                confirmations: 0,
                order_ends: row.hold_until,
                hold_until: None,
            })
        }
        _ => confirm_with_new_card(conn, begin, row, &newest).await,
    }
}

async fn confirm_with_new_card(
    conn: &mut Conn,
    begin: &BeginPayment,
    order: &OrderRow,
    payment: &PaymentRow,
) -> FaultResult<BegunPayment> {
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
    let params = ConfirmIntent {
        token: begin.token.clone(),
        return_url: begin.return_url.clone(),
    };
    let confirmations = payment.confirmations + 1;
    let key = format!("conf:{}:{confirmations}", payment.id);
    let params = serde_json::to_string(&params)
        .map_err(|error| Fault::unexpected("cannot serialise call parameters", error))?;
    let attempt = effects::insert(
        conn,
        payment.id,
        EffectKind::Confirm,
        &key,
        &params,
        begin.now,
    )
    .await?;
    Ok(BegunPayment {
        payment: payment.id,
        attempt,
        confirmations,
        order_ends: order.hold_until,
        hold_until: None,
    })
}

/// Inserts a payment and the effect that creates its intent. Returns both ids.
async fn insert_payment(
    conn: &mut Conn,
    begin: &BeginPayment,
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
    store::insert(conn, &payment, begin.now).await?;
    let params = CreateIntent {
        amount_minor: payment.amount_minor,
        currency: payment.currency.code().to_owned(),
        token: begin.token.clone(),
        order: order.id,
        payment: payment.id,
        attempt,
        return_url: begin.return_url.clone(),
    };
    let params = serde_json::to_string(&params)
        .map_err(|error| Fault::unexpected("cannot serialise call parameters", error))?;
    let key = format!("pi:{}:{attempt}", order.id);
    let call = effects::insert(
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
