//! Disputes: a cardholder has asked their bank for the money back.
//!
//! Owns the table `disputes`. [`apply`] is idempotent and accepts Stripe's reports in any order. An
//! incident is opened when a dispute is opened and when one is lost. An open dispute is not booked,
//! although Stripe withholds its money. A lost one is booked from the provider's account to unallocated.
//! Does not decide whether the sellers or the shop bear the loss: amounts owed to sellers do not change.

use super::{
    gateway::{ProviderDispute, ProviderDisputeStatus},
    store::PaymentRow,
};
use crate::{
    incidents::{self, Kind},
    ledger,
    tickets::holds,
};
use model::{Moment, money::MinorUnits};
use platform::{db::Conn, fault::FaultResult};
use sqlx::{AnyExecutor, query, query_scalar};

/// Applies Stripe's report of a dispute of this payment. The caller must have locked the order's tickets.
pub(crate) async fn apply(
    conn: &mut Conn,
    payment: &PaymentRow,
    reported: &ProviderDispute,
    now: Moment,
) -> FaultResult<()> {
    let before = find_status(&mut *conn, &reported.id).await?;
    // Also if the status is unchanged: an earlier version of the server did not book lost disputes.
    book(conn, payment, reported, now).await?;
    let settled_at = (reported.status != ProviderDisputeStatus::Open).then_some(now);
    query(
        "INSERT INTO disputes (id, payment_id, order_id, state, amount_minor, currency, reason, \
         found_at, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET state = $4, amount_minor = $5, currency = $6, \
         settled_at = COALESCE(disputes.settled_at, $9)",
    )
    .bind(reported.id.clone())
    .bind(payment.id)
    .bind(payment.order)
    .bind(reported.status)
    .bind(reported.amount_minor)
    .bind(reported.currency.clone())
    .bind(reported.reason.clone())
    .bind(now)
    .bind(settled_at)
    .execute(&mut *conn)
    .await?;
    if before == Some(reported.status) {
        return Ok(());
    }
    holds::update_frozen(conn, payment.order).await?;
    let kind = match reported.status {
        ProviderDisputeStatus::Open => Kind::DisputeOpened,
        ProviderDisputeStatus::Lost => Kind::DisputeLost,
        ProviderDisputeStatus::Won => return Ok(()),
    };
    let detail = format!(
        "{} of {} {} ({}): the tickets are frozen. Answer it at Stripe.",
        reported.id, reported.amount_minor, reported.currency, reported.reason
    );
    incidents::open(conn, kind, &reported.id, Some(payment.order), &detail, now).await?;
    Ok(())
}

/// Books the loss of a dispute, or reverses it.
async fn book(
    conn: &mut Conn,
    payment: &PaymentRow,
    reported: &ProviderDispute,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let dispute = ledger::DisputeLoss {
        dispute: &reported.id,
        payment: payment.id,
        currency: payment.currency,
        lost_minor: lost_minor(payment, reported),
        at: now,
    };
    ledger::record_dispute(conn, &dispute).await
}

/// The amount that a dispute has taken from a payment. A loss in another currency than the payment's is
/// not booked: an operator must convert it.
fn lost_minor(payment: &PaymentRow, reported: &ProviderDispute) -> MinorUnits {
    let is_lost = reported.status == ProviderDisputeStatus::Lost;
    if is_lost && reported.currency == payment.currency.code() {
        reported.amount_minor
    } else {
        MinorUnits::ZERO
    }
}

/// Whether the ledger contains this dispute's loss.
pub(super) async fn is_booked<'e>(
    on: impl AnyExecutor<'e>,
    payment: &PaymentRow,
    reported: &ProviderDispute,
) -> Result<bool, sqlx::Error> {
    let booked = ledger::get_dispute_loss(on, payment.id, &reported.id).await?;
    Ok(booked == lost_minor(payment, reported))
}

/// The stored status of a dispute; none if the dispute is unknown.
pub(crate) async fn find_status<'e>(
    on: impl AnyExecutor<'e>,
    dispute: &str,
) -> Result<Option<ProviderDisputeStatus>, sqlx::Error> {
    query_scalar("SELECT state FROM disputes WHERE id = $1")
        .bind(dispute.to_owned())
        .fetch_optional(on)
        .await
}
