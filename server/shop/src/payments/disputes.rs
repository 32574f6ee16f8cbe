//! Disputes: a cardholder has asked their bank for the money back.
//!
//! Owns the table `disputes`. [`apply`] takes whatever Stripe says of a
//! dispute, in any order and any number of times. A person is told when one is opened and when one is
//! lost. An open dispute is not booked, although Stripe withholds its money. A lost one is: the money leaves
//! the provider's account and is unallocated. Whether the sellers or the shop bear it is not decided here;
//! what the sellers are owed does not change.

use super::{
    gateway::{Disputed, Standing},
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

/// Brings our side up to what Stripe says of a dispute of this payment. The caller has locked the
/// order's tickets.
pub(crate) async fn apply(
    conn: &mut Conn,
    payment: &PaymentRow,
    said: &Disputed,
    now: Moment,
) -> FaultResult<()> {
    let before = dispute_state(&mut *conn, &said.id).await?;
    // Also of a state that is known: an earlier version of the server did not book lost disputes.
    book(conn, payment, said, now).await?;
    let settled_at = (said.standing != Standing::Open).then_some(now);
    query(
        "INSERT INTO disputes (id, payment_id, order_id, state, amount_minor, currency, reason, \
         found_at, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET state = $4, amount_minor = $5, currency = $6, \
         settled_at = COALESCE(disputes.settled_at, $9)",
    )
    .bind(said.id.clone())
    .bind(payment.id)
    .bind(payment.order)
    .bind(said.standing)
    .bind(said.amount_minor)
    .bind(said.currency.clone())
    .bind(said.reason.clone())
    .bind(now)
    .bind(settled_at)
    .execute(&mut *conn)
    .await?;
    if before == Some(said.standing) {
        return Ok(());
    }
    holds::tickets_freeze_if_disputed(conn, payment.order).await?;
    let kind = match said.standing {
        Standing::Open => Kind::DisputeOpened,
        Standing::Lost => Kind::DisputeLost,
        Standing::Won => return Ok(()),
    };
    let detail = format!(
        "{} of {} {} ({}): the tickets are frozen. Answer it at Stripe.",
        said.id, said.amount_minor, said.currency, said.reason
    );
    incidents::open(conn, kind, &said.id, Some(payment.order), &detail, now).await?;
    Ok(())
}

/// Writes down that a dispute has taken its money, or has not after all.
async fn book(
    conn: &mut Conn,
    payment: &PaymentRow,
    said: &Disputed,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let dispute = ledger::Disputed {
        dispute: &said.id,
        payment: payment.id,
        currency: payment.currency,
        lost_minor: lost_minor(payment, said),
        at: now,
    };
    ledger::record_dispute(conn, &dispute).await
}

/// What a dispute has taken of a payment. What a bank takes in another currency than the payment's is
/// not booked: only a person can say what it was worth.
fn lost_minor(payment: &PaymentRow, said: &Disputed) -> MinorUnits {
    let is_lost = said.standing == Standing::Lost;
    if is_lost && said.currency == payment.currency.code() {
        said.amount_minor
    } else {
        MinorUnits::ZERO
    }
}

/// Whether the books have what this dispute has taken.
pub(super) async fn is_booked<'e>(
    on: impl AnyExecutor<'e>,
    payment: &PaymentRow,
    said: &Disputed,
) -> Result<bool, sqlx::Error> {
    let booked = ledger::lost_to_dispute(on, payment.id, &said.id).await?;
    Ok(booked == lost_minor(payment, said))
}

/// How a dispute stands here; none if we have not heard of it.
pub(crate) async fn dispute_state<'e>(
    on: impl AnyExecutor<'e>,
    dispute: &str,
) -> Result<Option<Standing>, sqlx::Error> {
    query_scalar("SELECT state FROM disputes WHERE id = $1")
        .bind(dispute.to_owned())
        .fetch_optional(on)
        .await
}
