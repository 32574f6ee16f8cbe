//! Applies an intent's present state to our payment, order and tickets.
//!
//! [`apply`] is idempotent and accepts states from answers, webhooks and lookups in any order. Each
//! transition of a payment is one conditional UPDATE, which does nothing after a lost race. Transitions of
//! orders are in `orders/transitions.rs`. Lock order: tickets, order, payment.

use super::{
    calls::Refusal,
    declines,
    effects::{self, EffectKind},
    gateway::{Intent, IntentStatus},
    refund_transitions::RefundTransitions,
    store::{self, PaymentRow, State},
};
use crate::{
    incidents,
    ledger::{self, Account, Entry, LedgerEvent, Share},
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

/// Message to the buyer about an unusable token.
pub(super) const BAD_TOKEN: &str = "This card could not be used. Enter it again, or try another.";
/// An order is not revived for a payment older than this, even if the tickets are free.
const REVIVE_WITHIN: Duration = Duration::from_hours(24);

/// Locks the tickets of the payment's order, then reads the payment.
pub(super) async fn lock(conn: &mut Conn, payment: PaymentId) -> FaultResult<Option<PaymentRow>> {
    let Some(row) = store::find(&mut *conn, payment).await? else {
        return Ok(None);
    };
    usage::lock_usage_and_tickets(conn, row.order).await?;
    Ok(store::find(&mut *conn, payment).await?)
}

/// Applies the state of this payment's intent.
pub(super) async fn apply(
    conn: &mut Conn,
    refunds: &dyn RefundTransitions,
    payment: PaymentId,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    match lock(conn, payment).await? {
        Some(row) => apply_locked(conn, refunds, &row, intent, now).await,
        None => Ok(()),
    }
}

/// As [`apply`], after [`lock`].
pub(super) async fn apply_locked(
    conn: &mut Conn,
    refunds: &dyn RefundTransitions,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<()> {
    let another = row.stripe_id.as_ref();
    let stray = if another.is_some_and(|known| *known != intent.id) {
        match find_or_insert_stray(conn, row, intent, now).await? {
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
                declines::insert(conn, payment, row.order, code, now).await?;
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

/// Finds or inserts the payment of a second intent, which a call repeated under a new key has created. No
/// browser has its client secret. It becomes a separate payment and is voided, or refunded if it has been
/// captured. Returns none if it is unknown and already cancelled.
async fn find_or_insert_stray(
    conn: &mut Conn,
    row: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> FaultResult<Option<PaymentRow>> {
    if let Some(known) = store::find_by_intent(&mut *conn, &intent.id).await? {
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
    store::insert_stray(conn, stray, row, intent, now).await?;
    effects::insert_void(conn, stray, now).await?;
    Ok(store::find(conn, stray).await?)
}

/// Records that the buyer must try another card or confirm with their bank. Returns false while a call is
/// pending that may change this state.
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

/// Captures an authorised payment if the fence permits it, and voids it otherwise.
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
        effects::insert_void(conn, row.id, now).await?;
    }
    Ok(())
}

/// Fences the order while its hold lasts, or revives it if all its tickets are still free.
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
    effects::drop_voids(conn, row.id).await?;
    order::announce(conn, revived, now).await?;
    Ok(true)
}

/// Moves a payment behind the fence to `capturing` and inserts the call.
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
            "fenced an order whose payment cannot be captured",
            row.id.to_string(),
        ));
    }
    effects::insert_capture(conn, row.id, now).await?;
    Ok(())
}

/// O4: completes the order of a captured payment.
async fn succeeded(
    conn: &mut Conn,
    refunds: &dyn RefundTransitions,
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
    let shares = ledger::list_shares(conn, order.id, None).await?;
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

/// Completes the fenced order if exactly its total was captured.
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
        event: LedgerEvent::Captured,
        payment: row.id,
        currency: row.currency,
        shares,
        at: now,
    };
    ledger::record(conn, &entry).await
}

/// Refunds money that was captured outside of the shop or with a wrong amount, and opens an incident.
async fn unexpected_capture(
    conn: &mut Conn,
    refunds: &dyn RefundTransitions,
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
        .begin_unallocated(conn, row, intent.received_minor, now)
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

/// Applies a cancelled intent.
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

/// O5: the card was declined at the capture. Voids the payment and lifts the fence: the next card creates a
/// new intent, and the order expires at the end of its hold.
///
/// Does nothing while the capture is pending, because the report may be older than the fence.
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
    declines::insert(conn, row.id, row.order, code, now).await?;
    order::unfence(conn, row.order).await?;
    effects::insert_void(conn, row.id, now).await?;
    Ok(())
}

/// Applies a permanently refused call: a refused creation fails the payment, a refused confirmation leaves
/// it open for another card. Opens an incident if the shop is at fault.
pub(super) async fn refused(
    conn: &mut Conn,
    row: &PaymentRow,
    kind: EffectKind,
    refusal: &Refusal,
    error: &str,
    now: Moment,
) -> FaultResult<()> {
    let payment = row.id;
    if *refusal == Refusal::Invalid {
        let kind = incidents::Kind::CallRefused;
        incidents::open(conn, kind, payment, Some(row.order), error, now).await?;
    }
    let state = match kind {
        EffectKind::Create => State::Failed,
        EffectKind::Confirm => State::Open,
        EffectKind::Capture | EffectKind::Void | EffectKind::Refund => return Ok(()),
    };
    let declined = match refusal {
        Refusal::Declined(reason) => Some(reason.clone()),
        Refusal::BadToken => Some(BAD_TOKEN.to_owned()),
        Refusal::Invalid => None,
    };
    query("UPDATE payments SET state = $2, declined = $3 WHERE id = $1 AND state = 'intended'")
        .bind(payment)
        .bind(state)
        .bind(declined)
        .execute(&mut *conn)
        .await?;
    if matches!(refusal, Refusal::Declined(_)) {
        declines::insert(conn, payment, row.order, None, now).await?;
    }
    if kind == EffectKind::Create {
        void_unmade(conn, payment).await?;
    }
    Ok(())
}

/// Ends the voiding of a payment without an intent.
pub(super) async fn void_unmade(conn: &mut Conn, payment: PaymentId) -> FaultResult<()> {
    query("UPDATE payments SET state = 'voided' WHERE id = $1 AND state = 'voiding'")
        .bind(payment)
        .execute(&mut *conn)
        .await?;
    effects::drop_voids(conn, payment).await?;
    Ok(())
}
