//! The transitions of refunds, with their effects on order, tickets and ledger.
//!
//! [`begin`] inserts a refund of tickets, [`begin_unallocated`] one of unexpectedly captured money;
//! [`apply`] is idempotent and accepts Stripe's reports in any order. The caller locks the tickets first;
//! each transition is one conditional UPDATE.

use super::{
    elsewhere,
    store::{self, NewRefund, Reason, RefundRow, State},
};
use crate::{
    incidents,
    ledger::{self, Account, Entry, LedgerEvent, Share},
    mail,
    orders::{store as orders, transitions as order},
    payments::{
        effects::{self, EffectKind},
        gateway::{ProviderRefund, ProviderRefundStatus, RefundRequest},
        store::{self as payments, PaymentRow},
    },
    tickets::holds,
};
use model::{
    Moment,
    ids::{OrderId, RefundId, TicketId, UserId},
    money::MinorUnits,
};
use platform::{
    db::{Conn, Flag},
    fault::{Fault, FaultResult},
};
use sqlx::query_as;
use sqlx_macros::FromRow;
use uuid::Uuid;

/// The input of [`begin`].
pub(super) struct BeginRefund {
    pub payment: PaymentRow,
    pub reason: Reason,
    pub asked_by: UserId,
    pub lines: Vec<(TicketId, MinorUnits)>,
    pub now: Moment,
}

/// Inserts a refund of sold tickets and its call. The order becomes `refunding` if all its tickets are
/// refunded or being refunded.
pub(super) async fn begin(conn: &mut Conn, begin: BeginRefund) -> FaultResult<RefundId> {
    let amount_minor = begin
        .lines
        .iter()
        .try_fold(MinorUnits::ZERO, |sum, (_, price)| sum.checked_add(*price))
        .ok_or_else(|| {
            Fault::unexpected(
                "the sum of a refund is out of range",
                begin.payment.id.to_string(),
            )
        })?;
    let refund = NewRefund {
        id: RefundId(Uuid::now_v7()),
        payment: begin.payment.id,
        order: begin.payment.order,
        amount_minor,
        currency: begin.payment.currency,
        reason: begin.reason,
        asked_by: Some(begin.asked_by),
        stripe_id: None,
        lines: begin.lines,
    };
    insert_with_call(conn, &refund, begin.now).await?;
    order::begin_refund(conn, refund.order, begin.now).await?;
    Ok(refund.id)
}

/// Inserts a refund, and its call, of money that was captured without an order behind the fence.
pub(crate) async fn begin_unallocated(
    conn: &mut Conn,
    payment: &PaymentRow,
    amount_minor: MinorUnits,
    now: Moment,
) -> FaultResult<()> {
    let refund = NewRefund {
        id: RefundId(Uuid::now_v7()),
        payment: payment.id,
        order: payment.order,
        amount_minor,
        currency: payment.currency,
        reason: Reason::LateCapture,
        asked_by: None,
        stripe_id: None,
        lines: Vec::new(),
    };
    insert_with_call(conn, &refund, now).await
}

async fn insert_with_call(conn: &mut Conn, refund: &NewRefund, now: Moment) -> FaultResult<()> {
    store::insert(conn, refund, now).await?;
    let params = RefundRequest {
        refund: refund.id,
        payment: refund.payment,
        order: refund.order,
        amount_minor: refund.amount_minor,
        currency: refund.currency.code().to_owned(),
    };
    let params = serde_json::to_string(&params)
        .map_err(|error| Fault::unexpected("cannot serialise call parameters", error))?;
    let key = format!("ref:{}:{}", refund.payment, refund.id);
    effects::insert(conn, refund.payment, EffectKind::Refund, &key, &params, now).await?;
    Ok(())
}

/// Applies Stripe's report of a refund of this payment.
pub(crate) async fn apply(
    conn: &mut Conn,
    payment: &PaymentRow,
    reported: &ProviderRefund,
    now: Moment,
) -> FaultResult<()> {
    let named = match reported.refund {
        Some(id) => store::find(&mut *conn, id).await?,
        None => None,
    };
    let known = match named.filter(|refund| refund.payment == payment.id) {
        Some(refund) => Some(refund),
        None => store::find_by_stripe_id(conn, &reported.id).await?,
    };
    let refund = match known {
        Some(refund) => refund,
        None => insert_made_at_provider(conn, payment, reported, now).await?,
    };
    let (to, failure) = match reported.status {
        ProviderRefundStatus::Pending => (State::Pending, None),
        ProviderRefundStatus::Succeeded => (State::Succeeded, None),
        ProviderRefundStatus::Failed => (State::Failed, reported.failure.as_deref()),
    };
    let moves = match (refund.state, to) {
        // An answer may be older than what was applied after a webhook.
        (State::Succeeded, State::Pending) | (State::Failed, _) => false,
        (from, to) => from != to,
    };
    if !moves || !store::update_state(conn, &refund, to, Some(&reported.id), failure, now).await? {
        return Ok(());
    }
    match (refund.state, to) {
        (_, State::Succeeded) => succeeded(conn, payment, &refund, now).await,
        (before, State::Failed) => {
            let reason = failure.unwrap_or("the provider gave no reason");
            failed(conn, payment, &refund, before, reason, now).await
        }
        _ => Ok(()),
    }
}

/// Ends a refund whose call Stripe has refused permanently.
pub(crate) async fn fail_refused(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: RefundId,
    error: &str,
    now: Moment,
) -> FaultResult<()> {
    let Some(refund) = store::find(&mut *conn, refund).await? else {
        return Ok(());
    };
    if !matches!(refund.state, State::Intended | State::Pending)
        || !store::update_state(conn, &refund, State::Failed, None, Some(error), now).await?
    {
        return Ok(());
    }
    failed(conn, payment, &refund, refund.state, error, now).await
}

/// Inserts a refund that was made at the provider, and opens an incident if it is partial. Its effect on the
/// tickets is in `elsewhere.rs`.
async fn insert_made_at_provider(
    conn: &mut Conn,
    payment: &PaymentRow,
    reported: &ProviderRefund,
    now: Moment,
) -> FaultResult<RefundRow> {
    let is_all = reported.amount_minor == store::get_unrefunded(conn, payment.id).await?;
    let id = RefundId(Uuid::now_v7());
    let refund = NewRefund {
        id,
        payment: payment.id,
        order: payment.order,
        amount_minor: reported.amount_minor,
        currency: payment.currency,
        reason: Reason::Provider,
        asked_by: None,
        stripe_id: Some(reported.id.clone()),
        lines: Vec::new(),
    };
    store::insert(conn, &refund, now).await?;
    let detail = format!(
        "{} of {} {} was made at the provider. A part leaves the tickets their buyer's; once all has \
         gone back, they are their sellers' again.",
        reported.id, reported.amount_minor, payment.currency
    );
    if !is_all {
        let kind = incidents::Kind::RefundElsewhere;
        incidents::open(conn, kind, id, Some(payment.order), &detail, now).await?;
    }
    store::find(conn, id)
        .await?
        .ok_or_else(|| Fault::unexpected("an inserted refund is missing", id.to_string()))
}

/// O8: books a succeeded refund and returns the tickets to their sellers, withdrawn from sale.
async fn succeeded(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    now: Moment,
) -> FaultResult<()> {
    book(conn, payment, refund, LedgerEvent::Refunded(refund.id), now).await?;
    mail::queue(conn, mail::Kind::OrderRefunded, refund.id, now).await?;
    metrics::counter!("stagedoor_refunds_total", "result" => "succeeded").increment(1);
    let lines = store::list_live_tickets(conn, refund.id).await?;
    if lines.is_empty() {
        return elsewhere::revoke_if_fully_refunded(conn, payment, now).await;
    }
    let returned = return_tickets(conn, refund.order, refund.id, now).await?;
    if returned != lines.len() {
        return Err(Fault::unexpected(
            "a refund has tickets that its order does not own",
            refund.id.to_string(),
        ));
    }
    order::refund(conn, refund.order, now).await?;
    elsewhere::revoke_if_fully_refunded(conn, payment, now).await
}

/// Restores the tickets of a failed refund to the buyer and opens an incident.
async fn failed(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    before: State,
    reason: &str,
    now: Moment,
) -> FaultResult<()> {
    let tickets = list_tickets(conn, refund.id).await?;
    let claims = store::list_live_tickets(conn, refund.id).await?;
    if before != State::Succeeded && !tickets.is_empty() && claims.is_empty() {
        // Its tickets have been refunded at the provider meanwhile.
        tracing::info!(refund = %refund.id, why = reason, "a refund had nothing left to refund");
        return Ok(());
    }
    let detail = format!(
        "a refund of {} {}: {reason}",
        refund.amount_minor, refund.currency
    );
    let kind = incidents::Kind::RefundFailed;
    incidents::open(conn, kind, refund.id, Some(refund.order), &detail, now).await?;
    mail::queue(conn, mail::Kind::RefundFailed, refund.id, now).await?;
    metrics::counter!("stagedoor_refunds_total", "result" => "failed").increment(1);
    if before == State::Succeeded {
        let event = LedgerEvent::RefundFailed(refund.id);
        book(conn, payment, refund, event, now).await?;
        if refund.reason == Reason::Provider {
            return elsewhere::restore_revoked(conn, payment, now).await;
        }
        let restored = restore_tickets(conn, payment, refund.id, now).await?;
        if restored < claims.len() {
            let missing = claims.len() - restored;
            elsewhere::report_moved_tickets(conn, payment, refund, missing, now).await?;
        }
    }
    store::release_lines(conn, refund.id).await?;
    if claims.is_empty() {
        return Ok(());
    }
    order::restore(conn, refund.order, now).await
}

/// Returns the tickets of a refund to their sellers. Returns their number. The caller must have locked them.
pub(super) async fn return_tickets(
    conn: &mut Conn,
    order: OrderId,
    refund: RefundId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let returned = holds::return_to_sellers(conn, refund, now).await?;
    store::record_ticket_versions(conn, refund).await?;
    orders::end_refunded_lines(conn, order, refund).await?;
    Ok(returned)
}

/// Restores those tickets of a failed refund to the buyer that have not changed since. Returns their number.
/// The caller must have locked them.
pub(super) async fn restore_tickets(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: RefundId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let restored = holds::restore_to_buyer(conn, refund, payment.buyer, now).await?;
    orders::restore_lines(conn, payment.order, refund).await?;
    holds::update_frozen(conn, payment.order).await?;
    Ok(restored)
}

/// Books a succeeded refund, or reverses one that failed later.
async fn book(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    event: LedgerEvent,
    now: Moment,
) -> FaultResult<()> {
    let refunded = match event {
        LedgerEvent::RefundFailed(_) => -refund.amount_minor,
        _ => refund.amount_minor,
    };
    if !payments::add_refunded(conn, payment.id, refunded).await? {
        return Err(Fault::unexpected(
            "the refunded amount of a payment would be out of range",
            refund.id.to_string(),
        ));
    }
    let shares = allocate(conn, refund).await?;
    let entry = Entry {
        event,
        payment: payment.id,
        currency: refund.currency,
        shares: &shares,
        at: now,
    };
    ledger::record(conn, &entry).await
}

async fn list_tickets(conn: &mut Conn, refund: RefundId) -> Result<Vec<TicketId>, sqlx::Error> {
    let mut tickets = store::list_tickets(conn, &[refund]).await?;
    Ok(tickets.remove(&refund).unwrap_or_default())
}

/// Allocates a refund to the sellers of its tickets; unallocated if it was made at the provider or has none.
async fn allocate(conn: &mut Conn, refund: &RefundRow) -> Result<Vec<Share>, sqlx::Error> {
    let tickets = list_tickets(conn, refund.id).await?;
    if tickets.is_empty() || refund.reason == Reason::Provider {
        return Ok(vec![Share {
            account: Account::Unallocated,
            amount_minor: refund.amount_minor,
        }]);
    }
    ledger::list_shares(conn, refund.order, Some(&tickets)).await
}

/// Lists the sold tickets of a complete order without a live refund line, in the order of their ids.
pub(super) async fn list_refundable(
    conn: &mut Conn,
    order: OrderId,
) -> Result<Vec<Refundable>, sqlx::Error> {
    query_as(
        "SELECT l.ticket_id, l.price_minor, t.seller_id, t.frozen FROM order_lines l \
         JOIN tickets t ON t.id = l.ticket_id JOIN orders o ON o.id = l.order_id \
         WHERE l.order_id = $1 AND l.live = 1 AND o.status = 'complete' AND t.state = 'sold' \
         AND NOT EXISTS (SELECT 1 FROM refund_lines r WHERE r.order_id = l.order_id \
         AND r.ticket_id = l.ticket_id AND r.live = 1) ORDER BY l.ticket_id",
    )
    .bind(order)
    .fetch_all(conn)
    .await
}

/// A ticket that can be refunded.
#[derive(FromRow)]
pub(super) struct Refundable {
    #[sqlx(rename = "ticket_id")]
    pub ticket: TicketId,
    pub price_minor: MinorUnits,
    #[sqlx(rename = "seller_id")]
    pub seller: UserId,
    /// The payment is disputed, so it cannot be refunded.
    pub frozen: Flag,
}
