//! Refunds made at the provider, for example in Stripe's dashboard.
//!
//! A partial one leaves the tickets with the buyer: it is unknown which of them it is for, so it is booked
//! as unallocated, and an incident is opened. Once a payment is refunded in full, its tickets return to
//! their sellers, withdrawn from sale, and the amount is reallocated to the sellers. Refunds made by the
//! shop are in `transitions.rs`.

use super::{
    store::{self, RefundRow},
    transitions::{restore_tickets, return_tickets},
};
use crate::{
    incidents,
    ledger::{self, Entry, LedgerEvent, Reallocation},
    orders::{State as OrderState, store as orders, transitions as order},
    payments::store::{self as payments, PaymentRow, State},
};
use model::{Moment, ids::TicketId};
use platform::{db::Conn, fault::FaultResult};

/// Returns a payment's tickets to their sellers if it is refunded in full, at least in part at the provider.
/// The caller must have locked the order's tickets.
pub(super) async fn revoke_if_fully_refunded(
    conn: &mut Conn,
    payment: &PaymentRow,
    now: Moment,
) -> FaultResult<()> {
    let current = payments::find(&mut *conn, payment.id).await?;
    if current.is_none_or(|current| current.state != State::Refunded) {
        return Ok(());
    }
    let paid = orders::find(&mut *conn, payment.order)
        .await?
        .is_some_and(|order| matches!(order.state, OrderState::Complete | OrderState::Refunding));
    let Some(refund) = store::find_newest_by_provider(conn, payment.id).await? else {
        return Ok(());
    };
    let left = store::list_unrefunded_lines(conn, payment.order).await?;
    if !paid || left.is_empty() {
        return Ok(());
    }
    let tickets: Vec<TicketId> = left.iter().map(|(ticket, _)| *ticket).collect();
    // Pending refunds of these tickets have nothing left to refund.
    store::release_tickets(conn, payment.order, &tickets).await?;
    store::insert_lines(conn, refund.id, payment.order, &left).await?;
    reallocate(
        conn,
        payment,
        &refund,
        &tickets,
        Reallocation::ToSellers,
        now,
    )
    .await?;
    return_tickets(conn, payment.order, refund.id, now).await?;
    order::refund(conn, payment.order, now).await
}

/// Restores the tickets to the buyer after a refund at the provider has failed, if
/// [`revoke_if_fully_refunded`] had returned them. The caller must have locked the order's tickets and booked
/// the money.
pub(super) async fn restore_revoked(
    conn: &mut Conn,
    payment: &PaymentRow,
    now: Moment,
) -> FaultResult<()> {
    let Some(refund) = store::find_by_provider_with_tickets(conn, payment.id).await? else {
        return Ok(());
    };
    let tickets = store::list_live_tickets(conn, refund.id).await?;
    let restored = restore_tickets(conn, payment, refund.id, now).await?;
    store::release_lines(conn, refund.id).await?;
    reallocate(
        conn,
        payment,
        &refund,
        &tickets,
        Reallocation::FromSellers,
        now,
    )
    .await?;
    if restored < tickets.len() {
        report_moved_tickets(conn, payment, &refund, tickets.len() - restored, now).await?;
    }
    order::restore(conn, payment.order, now).await
}

/// Opens an incident: a refund has failed, but some of its tickets have been listed or sold since.
pub(super) async fn report_moved_tickets(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    tickets: usize,
    now: Moment,
) -> FaultResult<()> {
    let detail = format!(
        "a refund of {} {} came back, and {tickets} of its tickets are somebody else's by now: the \
         buyer has paid and has nothing. Pay it back at Stripe, or in another way.",
        refund.amount_minor, refund.currency
    );
    let kind = incidents::Kind::TicketMovedOn;
    incidents::open(conn, kind, refund.id, Some(payment.order), &detail, now).await?;
    Ok(())
}

async fn reallocate(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    tickets: &[TicketId],
    how: Reallocation,
    now: Moment,
) -> FaultResult<()> {
    let shares = ledger::list_shares(conn, payment.order, Some(tickets)).await?;
    let number = ledger::count_reallocations(conn, payment.id, refund.id).await?;
    let entry = Entry {
        event: LedgerEvent::Refunded(refund.id),
        payment: payment.id,
        currency: refund.currency,
        shares: &shares,
        at: now,
    };
    ledger::reallocate(conn, &entry, number, how).await
}
