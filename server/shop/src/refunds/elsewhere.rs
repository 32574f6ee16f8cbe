//! What becomes of an order whose money was paid back at the provider, by hand.
//!
//! A part that goes back leaves the tickets their buyer's: nobody knows which of them it is for, so it is
//! booked as owed by nobody, and a person is told. Once all of a payment has gone back, its tickets are
//! their sellers' again, off sale, and the books say whose money it was. Does not decide what a refund of
//! tickets does (`transitions.rs`).

use super::{
    store::{self, RefundRow},
    transitions::{give_tickets, take_tickets},
};
use crate::{
    incidents,
    ledger::{self, Entry, Happened, Reallocation},
    orders::{State as OrderState, store as orders, transitions as order},
    payments::store::{self as payments, PaymentRow, State},
};
use model::{Moment, ids::TicketId};
use platform::{db::Conn, fault::FaultResult};

/// Takes back what a payment bought, if all of its money has gone back and some of that was paid back at
/// the provider. The caller has locked the order's tickets.
pub(super) async fn take_tickets_back(
    conn: &mut Conn,
    payment: &PaymentRow,
    now: Moment,
) -> FaultResult<()> {
    let stands = payments::payment_find(&mut *conn, payment.id).await?;
    if stands.is_none_or(|stands| stands.state != State::Refunded) {
        return Ok(());
    }
    let paid = orders::order_find(&mut *conn, payment.order)
        .await?
        .is_some_and(|order| matches!(order.state, OrderState::Complete | OrderState::Refunding));
    let Some(refund) = store::refund_by_provider(conn, payment.id).await? else {
        return Ok(());
    };
    let left = store::lines_not_paid_back(conn, payment.order).await?;
    if !paid || left.is_empty() {
        return Ok(());
    }
    let tickets: Vec<TicketId> = left.iter().map(|(ticket, _)| *ticket).collect();
    // What is still asked for of these tickets has nothing left to pay back.
    store::lines_give_way(conn, payment.order, &tickets).await?;
    store::refund_lines_insert(conn, refund.id, payment.order, &left).await?;
    reallocate(
        conn,
        payment,
        &refund,
        &tickets,
        Reallocation::ToSellers,
        now,
    )
    .await?;
    take_tickets(conn, payment.order, refund.id, now).await?;
    order::refund(conn, payment.order, now).await
}

/// Gives the tickets back that [`take_tickets_back`] had taken, since money of this payment has come in
/// again. The caller has locked the order's tickets, and written the money down.
pub(super) async fn give_tickets_back(
    conn: &mut Conn,
    payment: &PaymentRow,
    now: Moment,
) -> FaultResult<()> {
    let Some(refund) = store::refund_with_tickets_by_provider(conn, payment.id).await? else {
        return Ok(());
    };
    let tickets = store::live_tickets(conn, refund.id).await?;
    let restored = give_tickets(conn, payment, refund.id, now).await?;
    store::refund_lines_end(conn, refund.id).await?;
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
        moved_on(conn, payment, &refund, tickets.len() - restored, now).await?;
    }
    order::restore(conn, payment.order, now).await
}

/// The money is here again, and tickets that it paid for are not: their seller, or another, has sold or
/// listed them since. A person has to find a way.
pub(super) async fn moved_on(
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
    let shares = ledger::shares_of_order(conn, payment.order, Some(tickets)).await?;
    let number = ledger::reallocations(conn, payment.id, refund.id).await?;
    let entry = Entry {
        happened: Happened::Refunded(refund.id),
        payment: payment.id,
        currency: refund.currency,
        shares: &shares,
        at: now,
    };
    ledger::reallocate(conn, &entry, number, how).await
}
