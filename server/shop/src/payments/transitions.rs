//! What an intent's present state does to our payment, order and tickets.
//!
//! [`apply`] takes whatever Stripe says of a payment, from a call's answer, a webhook or a look, in
//! any order and any number of times. Each transition of a payment is one conditional UPDATE; what lost
//! the race does nothing. Those of its order are in `orders/transitions.rs`. The tickets are locked
//! first, then the order, then the payment, as everywhere.

use super::{
    calls::Why,
    declines,
    effects::{self, EffectKind},
    gateway::{Intent, IntentStatus},
    refunding::Refunding,
    store::{self, PaymentRow, State},
};
use crate::{
    incidents,
    ledger::{self, Account, Entry, Happened, Share},
    mail,
    orders::{store::OrderRow, transitions as order, usage},
};
use model::{Moment, ids::PaymentId};
use platform::{
    db::Conn,
    fault::{Fault, FaultResult},
    outbox,
};
use sqlx::query;
use std::time::Duration;
use uuid::Uuid;

/// What a buyer is told of something that is no card.
pub(super) const BAD_TOKEN: &str = "This card could not be used. Enter it again, or try another.";
/// An authorisation older than this is not taken any more, however free the tickets are.
const REVIVE_WITHIN: Duration = Duration::from_hours(24);

/// Locks the tickets of the payment's order, and reads the payment behind that lock: what is
/// decided by it is then not out of date.
pub(super) async fn lock(conn: &mut Conn, payment: PaymentId) -> FaultResult<Option<PaymentRow>> {
    let Some(row) = store::payment_find(&mut *conn, payment).await? else {
        return Ok(None);
    };
    usage::order_lock(conn, row.order).await?;
    Ok(store::payment_find(&mut *conn, payment).await?)
}

/// Brings our side up to what Stripe says of this payment's intent.
pub(super) async fn apply(
    conn: &mut Conn,
    refunds: &dyn Refunding,
    payment: PaymentId,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    match lock(conn, payment).await? {
        Some(row) => apply_locked(conn, refunds, &row, intent, now).await,
        None => Ok(()),
    }
}

/// As [`apply`], behind the [`lock`].
pub(super) async fn apply_locked(
    conn: &mut Conn,
    refunds: &dyn Refunding,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    let another = row.stripe_id.as_ref();
    let stray = if another.is_some_and(|known| *known != intent.id) {
        match stray(conn, row, intent, now).await? {
            Some(stray) => Some(stray),
            None => return Ok(()),
        }
    } else {
        None
    };
    let row = stray.as_ref().unwrap_or(row);
    let payment = row.id;
    query("UPDATE payments SET stripe_id = $2 WHERE id = $1 AND stripe_id IS NULL")
        .bind(payment)
        .bind(intent.id.clone())
        .execute(&mut *conn)
        .await?;
    match intent.status {
        IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => {
            if row.state == State::Capturing {
                return capture_declined(conn, row, intent, now).await;
            }
            let waits = wait_for_buyer(conn, payment, State::Open, intent).await?;
            if waits && intent.declined.is_some() {
                let code = intent.decline_code.as_deref();
                declines::decline_insert(conn, payment, row.order, code, now).await?;
            }
            Ok(())
        }
        IntentStatus::RequiresAction => {
            wait_for_buyer(conn, payment, State::RequiresAction, intent).await?;
            Ok(())
        }
        IntentStatus::Processing => Ok(()),
        IntentStatus::RequiresCapture => authorised(conn, row, intent, now).await,
        IntentStatus::Canceled => canceled(conn, row).await,
        IntentStatus::Succeeded => succeeded(conn, refunds, row, intent, now).await,
    }
}

/// A second intent for one payment: a call that was made anew came to something twice. No browser
/// has its secret, so nobody can pay it. It becomes a payment of its own, which nobody asked for and
/// which is given up: a void, or a refund if somebody has taken its money all the same.
async fn stray(
    conn: &mut Conn,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<Option<PaymentRow>> {
    if let Some(known) = store::payment_find_by_intent(&mut *conn, &intent.id).await? {
        return Ok(Some(known));
    }
    if intent.status == IntentStatus::Canceled {
        return Ok(None);
    }
    let detail = format!(
        "{} beside {:?}: {:?}",
        intent.id, row.stripe_id, intent.status
    );
    let kind = incidents::Kind::StrayIntent;
    incidents::open(conn, kind, &intent.id, Some(row.order), &detail, now).await?;
    let stray = PaymentId(Uuid::now_v7());
    store::payment_insert_stray(conn, stray, row, intent, now).await?;
    effects::void_insert(conn, stray, now).await?;
    Ok(store::payment_find(conn, stray).await?)
}

/// The buyer has to do something: try another card, or see their bank. Not while a call that may
/// change this very state is under way: then it is false.
async fn wait_for_buyer(
    conn: &mut Conn,
    payment: PaymentId,
    state: State,
    intent: &Intent,
) -> FaultResult<bool> {
    let done = query(
        "UPDATE payments SET state = $2, declined = $3, client_secret = $4, bank_url = $5 \
         WHERE id = $1 AND state IN ('intended', 'open', 'requires_action') AND NOT EXISTS \
         (SELECT 1 FROM payment_effects e WHERE e.payment_id = $1 AND e.state = 'pending')",
    )
    .bind(payment)
    .bind(state)
    .bind(intent.declined.clone().filter(|_| state == State::Open))
    .bind(intent.client_secret.clone())
    .bind(intent.bank_url.clone())
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The card is authorised: the fence decides whether its money is taken or given back.
async fn authorised(
    conn: &mut Conn,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    if !matches!(
        row.state,
        State::Intended | State::Open | State::RequiresAction | State::Voiding
    ) {
        return Ok(());
    }
    let right_amount = intent.amount_minor == row.amount_minor
        && intent.currency.eq_ignore_ascii_case(row.currency.code());
    if !right_amount {
        let detail = format!(
            "{} is authorised for {} {}, the order is {} {}",
            intent.id, intent.amount_minor, intent.currency, row.amount_minor, row.currency
        );
        let kind = incidents::Kind::WrongAmount;
        incidents::open(conn, kind, row.id, Some(row.order), &detail, now).await?;
    }
    let wanted = right_amount && !row.is_stray();
    if wanted && fence_or_revive(conn, row, now).await? {
        return capture(conn, row, now).await;
    }
    let moved = query(
        "UPDATE payments SET state = 'voiding' \
         WHERE id = $1 AND state IN ('intended', 'open', 'requires_action')",
    )
    .bind(row.id)
    .execute(&mut *conn)
    .await?;
    if moved.rows_affected() == 1 {
        effects::void_insert(conn, row.id, now).await?;
    }
    Ok(())
}

/// Lets the order's money be captured, if the hold stands or all its tickets are still free.
async fn fence_or_revive(conn: &mut Conn, row: &PaymentRow, now: Moment) -> FaultResult<bool> {
    let authorised = row.amount_minor.of(row.currency);
    if row.state != State::Voiding && order::fence(conn, row.order, authorised, now).await? {
        return Ok(true);
    }
    if row.created_at < now - REVIVE_WITHIN {
        return Ok(false);
    }
    let Some(revived) = order::revive(conn, row.order, authorised, now).await? else {
        return Ok(false);
    };
    effects::effects_drop_voids(conn, row.id).await?;
    order::announce(conn, revived, now).await?;
    Ok(true)
}

/// Behind the fence: the call that takes the money is written down.
async fn capture(conn: &mut Conn, row: &PaymentRow, now: Moment) -> FaultResult<()> {
    let moved = query(
        "UPDATE payments SET state = 'capturing', client_secret = NULL, bank_url = NULL, \
         declined = NULL \
         WHERE id = $1 AND state IN ('intended', 'open', 'requires_action', 'voiding')",
    )
    .bind(row.id)
    .execute(&mut *conn)
    .await?;
    if moved.rows_affected() == 0 {
        return Err(Fault::unexpected(
            "fenced an order for a payment that moved on",
            "state",
        ));
    }
    effects::capture_insert(conn, row.id, now).await?;
    Ok(())
}

/// O4: the money is taken, and the tickets are the buyer's.
async fn succeeded(
    conn: &mut Conn,
    refunds: &dyn Refunding,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    if matches!(
        row.state,
        State::Captured | State::Refunding | State::Refunded
    ) {
        return Ok(());
    }
    let Some(order) = complete(conn, row, intent, now).await? else {
        return unexpected_capture(conn, refunds, row, intent, now).await;
    };
    query(
        "UPDATE payments SET state = 'captured', received_minor = $2 \
         WHERE id = $1 AND state = 'capturing'",
    )
    .bind(row.id)
    .bind(intent.received_minor)
    .execute(&mut *conn)
    .await?;
    let shares = ledger::shares_of_order(conn, order.id, None).await?;
    book_capture(conn, row, &shares, now).await?;
    let paid = PaymentRow {
        received_minor: intent.received_minor,
        stripe_id: Some(intent.id.clone()),
        ..row.clone()
    };
    outbox::append(conn, now, &[paid.created_event(now)]).await?;
    mail::queue(conn, mail::Kind::OrderComplete, order.id, now).await?;
    order::announce(conn, order, now).await?;
    metrics::counter!("stagedoor_payments_total", "result" => "captured").increment(1);
    Ok(())
}

/// Completes the order that this payment was fenced for, if just its total was captured.
async fn complete(
    conn: &mut Conn,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<Option<OrderRow>> {
    if row.state == State::Capturing {
        order::complete(conn, row.order, intent.received_minor, now).await
    } else {
        Ok(None)
    }
}

async fn book_capture(
    conn: &mut Conn,
    row: &PaymentRow,
    shares: &[Share],
    now: Moment,
) -> FaultResult<()> {
    let entry = Entry {
        happened: Happened::Captured,
        payment: row.id,
        currency: row.currency,
        shares,
        at: now,
    };
    ledger::record(conn, &entry).await
}

/// Money was taken that no order stands for: somebody captured it elsewhere, or took another
/// amount. It goes back by itself, and a person is told.
async fn unexpected_capture(
    conn: &mut Conn,
    refunds: &dyn Refunding,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    if row.state == State::Capturing {
        order::unfence(conn, row.order).await?;
    }
    query(
        "UPDATE payments SET state = 'refunding', received_minor = $2, client_secret = NULL, \
         bank_url = NULL WHERE id = $1",
    )
    .bind(row.id)
    .bind(intent.received_minor)
    .execute(&mut *conn)
    .await?;
    let share = Share {
        account: Account::Unallocated,
        amount_minor: intent.received_minor,
    };
    book_capture(conn, row, &[share], now).await?;
    refunds
        .begin_for_nothing(conn, row, intent.received_minor, now)
        .await?;
    let detail = format!(
        "{} took {} {} that no order stands for; it is being refunded",
        intent.id, intent.received_minor, row.currency
    );
    let kind = incidents::Kind::UnexpectedCapture;
    incidents::open(conn, kind, row.id, Some(row.order), &detail, now).await?;
    metrics::counter!("stagedoor_payments_total", "result" => "unexpected").increment(1);
    Ok(())
}

/// Nothing can be taken from this intent any more.
async fn canceled(conn: &mut Conn, row: &PaymentRow) -> FaultResult<()> {
    if row.state == State::Capturing {
        order::unfence(conn, row.order).await?;
    }
    query(
        "UPDATE payments SET state = 'voided', client_secret = NULL, bank_url = NULL \
         WHERE id = $1 AND state IN ('intended', 'open', 'requires_action', 'capturing', 'voiding')",
    )
    .bind(row.id)
    .execute(&mut *conn)
    .await?;
    metrics::counter!("stagedoor_payments_total", "result" => "voided").increment(1);
    Ok(())
}

/// O5: behind the fence, but the card would not give the money after all. The intent is given up,
/// and the next card makes a new one; if the hold is over, the order expires as any other.
///
/// Not while the capture is still to be made: what says so may be older than the fence.
async fn capture_declined(
    conn: &mut Conn,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    let moved = query(
        "UPDATE payments SET state = 'voiding', declined = $2 WHERE id = $1 \
         AND state = 'capturing' AND NOT EXISTS \
         (SELECT 1 FROM payment_effects e WHERE e.payment_id = $1 AND e.state = 'pending')",
    )
    .bind(row.id)
    .bind(intent.declined.clone())
    .execute(&mut *conn)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(());
    }
    let code = intent.decline_code.as_deref();
    declines::decline_insert(conn, row.id, row.order, code, now).await?;
    order::unfence(conn, row.order).await?;
    effects::void_insert(conn, row.id, now).await?;
    Ok(())
}

/// The call was refused for what it said, and always would be: the payment never came to be, or
/// is open for another card. If that is not the buyer's doing, a person is told.
pub(super) async fn refused(
    conn: &mut Conn,
    row: &PaymentRow,
    kind: EffectKind,
    why: &Why,
    error: &str,
    now: Moment,
) -> FaultResult<()> {
    let payment = row.id;
    if *why == Why::Invalid {
        let kind = incidents::Kind::CallRefused;
        incidents::open(conn, kind, payment, Some(row.order), error, now).await?;
    }
    let state = match kind {
        EffectKind::Create => State::Failed,
        EffectKind::Confirm => State::Open,
        EffectKind::Capture | EffectKind::Void | EffectKind::Refund => return Ok(()),
    };
    let declined = match why {
        Why::Declined(reason) => Some(reason.clone()),
        Why::BadToken => Some(BAD_TOKEN.to_owned()),
        Why::Invalid => None,
    };
    query("UPDATE payments SET state = $2, declined = $3 WHERE id = $1 AND state = 'intended'")
        .bind(payment)
        .bind(state)
        .bind(declined)
        .execute(&mut *conn)
        .await?;
    if matches!(why, Why::Declined(_)) {
        declines::decline_insert(conn, payment, row.order, None, now).await?;
    }
    if kind == EffectKind::Create {
        never_made(conn, payment).await?;
    }
    Ok(())
}

/// Stripe never heard of it, so there is nothing to give back.
pub(super) async fn never_made(conn: &mut Conn, payment: PaymentId) -> FaultResult<()> {
    query("UPDATE payments SET state = 'voided' WHERE id = $1 AND state = 'voiding'")
        .bind(payment)
        .execute(&mut *conn)
        .await?;
    effects::effects_drop_voids(conn, payment).await?;
    Ok(())
}
