//! What becomes of order, tickets and books when money goes back.
//!
//! [`begin`] writes a refund down, [`begin_for_nothing`] one of money that no order stands for;
//! [`apply`] takes whatever Stripe says of a refund, in any order and any number of times. As
//! everywhere, the tickets are locked first, by the caller, and each move is one conditional
//! UPDATE.

use super::{
    elsewhere,
    store::{self, NewRefund, Reason, RefundRow, State},
};
use crate::{
    incidents,
    ledger::{self, Account, Entry, Happened, Share},
    mail,
    orders::{store as orders, transitions as order},
    payments::{
        effects::{self, EffectKind},
        gateway::{GivenBack, GivingBack, Refunded},
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

/// A refund of sold tickets, as its transaction needs it.
pub(super) struct Begin {
    pub payment: PaymentRow,
    pub reason: Reason,
    pub asked_by: UserId,
    pub lines: Vec<(TicketId, MinorUnits)>,
    pub now: Moment,
}

/// Writes the refund and its call down. The order is `refunding` if none of its tickets is left
/// that is not paid back or about to be.
pub(super) async fn begin(conn: &mut Conn, begin: Begin) -> FaultResult<RefundId> {
    let amount_minor = begin
        .lines
        .iter()
        .try_fold(MinorUnits::ZERO, |sum, (_, price)| sum.checked_add(*price))
        .ok_or_else(|| Fault::unexpected("a refund is out of range", "sum"))?;
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
    write_down(conn, &refund, begin.now).await?;
    order::begin_refund(conn, refund.order, begin.now).await?;
    Ok(refund.id)
}

/// Sends back money that was taken though no order stands for it.
pub(crate) async fn begin_for_nothing(
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
    write_down(conn, &refund, now).await
}

async fn write_down(conn: &mut Conn, refund: &NewRefund, now: Moment) -> FaultResult<()> {
    store::refund_insert(conn, refund, now).await?;
    let params = GivingBack {
        refund: refund.id,
        payment: refund.payment,
        order: refund.order,
        amount_minor: refund.amount_minor,
        currency: refund.currency.code().to_owned(),
    };
    let params = serde_json::to_string(&params)
        .map_err(|error| Fault::unexpected("parameters do not serialise", error))?;
    let key = format!("ref:{}:{}", refund.payment, refund.id);
    effects::effect_insert(conn, refund.payment, EffectKind::Refund, &key, &params, now).await?;
    Ok(())
}

/// Brings our side up to what Stripe says of a refund of this payment.
pub(crate) async fn apply(
    conn: &mut Conn,
    payment: &PaymentRow,
    said: &Refunded,
    now: Moment,
) -> FaultResult<()> {
    let named = match said.refund {
        Some(id) => store::refund_find(&mut *conn, id).await?,
        None => None,
    };
    let known = match named.filter(|refund| refund.payment == payment.id) {
        Some(refund) => Some(refund),
        None => store::refund_find_by_stripe(conn, &said.id).await?,
    };
    let refund = match known {
        Some(refund) => refund,
        None => made_elsewhere(conn, payment, said, now).await?,
    };
    let (to, failure) = match said.status {
        GivenBack::Pending => (State::Pending, None),
        GivenBack::Succeeded => (State::Succeeded, None),
        GivenBack::Failed => (State::Failed, said.failure.as_deref()),
    };
    let moves = match (refund.state, to) {
        // Stripe answers may be older than what a webhook has told us.
        (State::Succeeded, State::Pending) | (State::Failed, _) => false,
        (from, to) => from != to,
    };
    if !moves || !store::refund_move(conn, &refund, to, Some(&said.id), failure, now).await? {
        return Ok(());
    }
    match (refund.state, to) {
        (_, State::Succeeded) => succeeded(conn, payment, &refund, now).await,
        (before, State::Failed) => {
            let why = failure.unwrap_or("the provider gave no reason");
            failed(conn, payment, &refund, before, why, now).await
        }
        _ => Ok(()),
    }
}

/// Stripe refused the call for what it says, and always would.
pub(crate) async fn refused(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: RefundId,
    error: &str,
    now: Moment,
) -> FaultResult<()> {
    let Some(refund) = store::refund_find(&mut *conn, refund).await? else {
        return Ok(());
    };
    if !matches!(refund.state, State::Intended | State::Pending)
        || !store::refund_move(conn, &refund, State::Failed, None, Some(error), now).await?
    {
        return Ok(());
    }
    failed(conn, payment, &refund, refund.state, error, now).await
}

/// A refund that was made at the provider, by hand: it goes into the books, and a person is told.
/// What becomes of the tickets is in `elsewhere.rs`.
async fn made_elsewhere(
    conn: &mut Conn,
    payment: &PaymentRow,
    said: &Refunded,
    now: Moment,
) -> FaultResult<RefundRow> {
    let is_all = said.amount_minor == store::not_paid_back(conn, payment.id).await?;
    let id = RefundId(Uuid::now_v7());
    let refund = NewRefund {
        id,
        payment: payment.id,
        order: payment.order,
        amount_minor: said.amount_minor,
        currency: payment.currency,
        reason: Reason::Provider,
        asked_by: None,
        stripe_id: Some(said.id.clone()),
        lines: Vec::new(),
    };
    store::refund_insert(conn, &refund, now).await?;
    let detail = format!(
        "{} of {} {} was made at the provider. A part leaves the tickets their buyer's; once all has \
         gone back, they are their sellers' again.",
        said.id, said.amount_minor, payment.currency
    );
    if !is_all {
        let kind = incidents::Kind::RefundElsewhere;
        incidents::open(conn, kind, id, Some(payment.order), &detail, now).await?;
    }
    store::refund_find(conn, id)
        .await?
        .ok_or_else(|| Fault::unexpected("a refund vanished", "just written"))
}

/// O8: the money is back, the tickets are their sellers' again, withdrawn from sale.
async fn succeeded(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    now: Moment,
) -> FaultResult<()> {
    book(conn, payment, refund, Happened::Refunded(refund.id), now).await?;
    mail::queue(conn, mail::Kind::OrderRefunded, refund.id, now).await?;
    metrics::counter!("stagedoor_refunds_total", "result" => "succeeded").increment(1);
    let lines = store::live_tickets(conn, refund.id).await?;
    if lines.is_empty() {
        return elsewhere::take_tickets_back(conn, payment, now).await;
    }
    let returned = take_tickets(conn, refund.order, refund.id, now).await?;
    if returned != lines.len() {
        return Err(Fault::unexpected(
            "refunded tickets that its order does not own",
            refund.id.to_string(),
        ));
    }
    order::refund(conn, refund.order, now).await?;
    elsewhere::take_tickets_back(conn, payment, now).await
}

/// The money did not get back: what was paid for stays bought, and a person is asked.
async fn failed(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    before: State,
    why: &str,
    now: Moment,
) -> FaultResult<()> {
    let asked_for = lines(conn, refund.id).await?;
    let claims = store::live_tickets(conn, refund.id).await?;
    if before != State::Succeeded && !asked_for.is_empty() && claims.is_empty() {
        // Its tickets were paid back at the provider meanwhile: the buyer has the money.
        tracing::info!(refund = %refund.id, why, "a refund had nothing left to pay back");
        return Ok(());
    }
    let detail = format!(
        "a refund of {} {}: {why}",
        refund.amount_minor, refund.currency
    );
    let kind = incidents::Kind::RefundFailed;
    incidents::open(conn, kind, refund.id, Some(refund.order), &detail, now).await?;
    mail::queue(conn, mail::Kind::RefundFailed, refund.id, now).await?;
    metrics::counter!("stagedoor_refunds_total", "result" => "failed").increment(1);
    if before == State::Succeeded {
        let happened = Happened::RefundFailed(refund.id);
        book(conn, payment, refund, happened, now).await?;
        if refund.reason == Reason::Provider {
            return elsewhere::give_tickets_back(conn, payment, now).await;
        }
        let restored = give_tickets(conn, payment, refund.id, now).await?;
        if restored < claims.len() {
            let missing = claims.len() - restored;
            elsewhere::moved_on(conn, payment, refund, missing, now).await?;
        }
    }
    store::refund_lines_end(conn, refund.id).await?;
    if claims.is_empty() {
        return Ok(());
    }
    order::restore(conn, refund.order, now).await
}

/// Takes the tickets of a refund from their buyer. Returns how many. The caller has locked them.
pub(super) async fn take_tickets(
    conn: &mut Conn,
    order: OrderId,
    refund: RefundId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let returned = holds::tickets_return(conn, refund, now).await?;
    store::refund_lines_note_versions(conn, refund).await?;
    orders::order_lines_end_refunded(conn, order, refund).await?;
    Ok(returned)
}

/// Gives the tickets of a failed refund back to their buyer, unless they were changed since.
/// Returns how many. The caller has locked them.
pub(super) async fn give_tickets(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: RefundId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let restored = holds::tickets_restore(conn, refund, payment.buyer, now).await?;
    orders::order_lines_restore(conn, payment.order, refund).await?;
    holds::tickets_freeze_if_disputed(conn, payment.order).await?;
    Ok(restored)
}

/// The money of a refund goes into the books: out, or, if it failed after all, in again.
async fn book(
    conn: &mut Conn,
    payment: &PaymentRow,
    refund: &RefundRow,
    happened: Happened,
    now: Moment,
) -> FaultResult<()> {
    let refunded = match happened {
        Happened::RefundFailed(_) => -refund.amount_minor,
        _ => refund.amount_minor,
    };
    if !payments::payment_refunded_add(conn, payment.id, refunded).await? {
        return Err(Fault::unexpected(
            "more goes back than was taken, or comes back than went",
            refund.id.to_string(),
        ));
    }
    let shares = shares(conn, refund).await?;
    let entry = Entry {
        happened,
        payment: payment.id,
        currency: refund.currency,
        shares: &shares,
        at: now,
    };
    ledger::record(conn, &entry).await
}

async fn lines(conn: &mut Conn, refund: RefundId) -> Result<Vec<TicketId>, sqlx::Error> {
    let mut tickets = store::refunds_tickets(conn, &[refund]).await?;
    Ok(tickets.remove(&refund).unwrap_or_default())
}

/// Who stands for the money of a refund: the sellers of its tickets, or nobody.
async fn shares(conn: &mut Conn, refund: &RefundRow) -> Result<Vec<Share>, sqlx::Error> {
    let tickets = lines(conn, refund.id).await?;
    if tickets.is_empty() || refund.reason == Reason::Provider {
        return Ok(vec![Share {
            account: Account::Unallocated,
            amount_minor: refund.amount_minor,
        }]);
    }
    ledger::shares_of_order(conn, refund.order, Some(&tickets)).await
}

/// What of an order can be refunded: the tickets that are its buyer's and not on their way back,
/// with the price that was paid and who sells them, in the order of their ids.
pub(super) async fn refundable(
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
    /// The payment is disputed: its money is not the shop's to give.
    pub frozen: Flag,
}
