//! Deleting an account: what must be over first, and what goes.
//!
//! The row of `users` stays, without anything personal, because orders, payments and the books
//! refer to it; they stay as well. All of it is one transaction.

use super::AccountCareService;
use crate::{
    accounts::{
        factors, proofs, resets, rules,
        store::{self, FORMER_MEMBER, Locked},
    },
    events::span::not_over,
    mail, tickets, waiting,
};
use model::{
    Moment,
    accounts::{DeleteAccount, Viewer},
    error::{AppError, Conflict},
    ids::UserId,
};
use platform::{
    db::Conn,
    fault::{Fault, FaultResult},
    idempotency,
    outbox::{self, EventType},
    request,
};
use sqlx::query;

impl AccountCareService {
    pub(super) async fn leave(&self, viewer: &Viewer, request: DeleteAccount) -> FaultResult<()> {
        let found = self
            .accounts
            .proved(viewer, request.password, "password")
            .await?;
        if !found.has_password() && !self.accounts.signed_in_lately().await {
            return Err(rules::sign_in_anew("password").into());
        }
        let (id, now) = (found.user.id, self.clock.now());
        let epoch = self
            .db
            .write(move |conn| Box::pin(async move { delete(conn, &found, now).await }))
            .await?;
        self.accounts.tidy(id, epoch).await;
        if let Some(session) = request::session() {
            let failed = |error| Fault::unexpected("a session could not be ended", error);
            session.flush().await.map_err(failed)?;
        }
        request::mark_session_ended();
        Ok(())
    }
}

/// What became of an account that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// There is none of this address.
    NotThere,
    /// It is deleted.
    Removed,
    /// Something is under way, for this reason: it stays, its listings withdrawn, and no password
    /// opens it any more.
    LockedOut(Conflict),
}

impl AccountCareService {
    /// Deletes the account of an address without asking its owner; where something is under way,
    /// takes its password away instead. Errors: the database fails.
    pub async fn remove_or_lock_out(&self, email: &str) -> FaultResult<Removal> {
        let key = rules::email_key(email);
        let Some(found) = store::user_find_by_email(self.db.reads(), &key).await? else {
            return Ok(Removal::NotThere);
        };
        let (id, now) = (found.user.id, self.clock.now());
        let deleted = self
            .db
            .write(move |conn| Box::pin(async move { delete(conn, &found, now).await }))
            .await;
        let (removal, epoch) = match deleted {
            Ok(epoch) => (Removal::Removed, epoch),
            Err(Fault::Refused(AppError::Conflict { conflict, .. })) => {
                let epoch = self
                    .db
                    .write(move |conn| Box::pin(async move { lock_out(conn, id, now).await }))
                    .await?;
                (Removal::LockedOut(conflict), epoch)
            }
            Err(fault) => return Err(fault),
        };
        self.accounts.tidy(id, epoch).await;
        Ok(removal)
    }
}

/// Returns the epoch that no session is of.
async fn lock_out(conn: &mut Conn, id: UserId, now: Moment) -> FaultResult<i64> {
    tickets::holds::listings_withdraw(conn, id, now).await?;
    resets::resets_end(conn, id).await?;
    let locked = store::password_set(conn, id, None, "").await?;
    Ok(locked.ok_or(AppError::NotFound)?.epoch)
}

/// Returns the epoch that no session is of.
async fn delete(conn: &mut Conn, found: &Locked, now: Moment) -> FaultResult<i64> {
    let id = found.user.id;
    // Tickets first, as everywhere; then the account, behind which nothing new is listed.
    tickets::holds::listings_withdraw(conn, id, now).await?;
    if !store::user_lock(conn, id, Some(&found.password_hash)).await? {
        return Err(rules::wrong_password("password").into());
    }
    if let Some(conflict) = what_is_under_way(conn, id, now).await? {
        return Err(conflict.into());
    }
    let (gone, epoch) = store::user_anonymise(conn, id, now)
        .await?
        .ok_or(AppError::SignInRequired)?;
    // The mails know their reader by the links that they carry.
    mail::drop_all_to(conn, id).await?;
    // An address that is not proved may have entries of other people.
    let email = found
        .user
        .email_verified
        .then_some(found.user.email.as_str());
    waiting::delete_all_of_user(conn, id, email).await?;
    factors::factor_delete(conn, id).await?;
    resets::resets_end(conn, id).await?;
    proofs::proofs_end(conn, id, None).await?;
    idempotency::delete_of_user(conn, id).await?;
    outbox::redact_user(conn, id, FORMER_MEMBER).await?;
    outbox::append(conn, now, &[store::told(EventType::UserUpdated, &gone)]).await?;
    Ok(epoch)
}

/// Why an account cannot be deleted yet, most pressing first. Each is found by one row.
const UNDER_WAY: [(Conflict, &str); 7] = [
    // Open, or with a card that may still be charged: a late authorisation can make it whole.
    (
        Conflict::AccountOrderOpen,
        "SELECT 1 FROM orders o WHERE o.buyer_id = $1 AND $2 > 0 AND (o.status = 'capturing' \
         OR (o.status IN ('created', 'awaiting_payment') AND o.hold_until > $2) \
         OR EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id AND p.state IN \
         ('intended', 'open', 'requires_action', 'capturing', 'voiding', 'refunding'))) LIMIT 1",
    ),
    (
        Conflict::AccountRefundOpen,
        "SELECT 1 FROM refunds r JOIN orders o ON o.id = r.order_id WHERE o.buyer_id = $1 \
         AND $2 > 0 AND r.state IN ('intended', 'pending') LIMIT 1",
    ),
    (
        Conflict::AccountRefundOpen,
        "SELECT 1 FROM refunds r JOIN refund_lines l ON l.refund_id = r.id \
         JOIN tickets t ON t.id = l.ticket_id WHERE t.seller_id = $1 AND $2 > 0 \
         AND r.state IN ('intended', 'pending') LIMIT 1",
    ),
    (
        Conflict::AccountSaleOpen,
        "SELECT 1 FROM tickets t WHERE t.seller_id = $1 AND t.state = 'listed' AND $2 > 0 \
         AND (t.held_by IS NOT NULL OR NOT EXISTS (SELECT 1 FROM listing_batches b \
         WHERE b.id = t.batch_id AND b.publication IS NULL)) LIMIT 1",
    ),
    (
        Conflict::AccountTicketsSold,
        concat!(
            "SELECT 1 FROM tickets t JOIN events e ON e.id = t.event_id WHERE t.seller_id = $1 \
             AND t.state = 'sold' AND ",
            not_over!("e", "$2"),
            " LIMIT 1"
        ),
    ),
    // Owed to them as a seller, or by them.
    (
        Conflict::AccountMoneyOwed,
        "SELECT 1 FROM ledger g WHERE g.seller_id = $1 AND $2 > 0 \
         GROUP BY g.currency HAVING SUM(g.amount_minor) <> 0 LIMIT 1",
    ),
    // Owed to them as a buyer: taken without an order, or a refund that their bank sent back and a
    // person is looking after.
    (
        Conflict::AccountMoneyOwed,
        "SELECT 1 FROM orders o WHERE o.buyer_id = $1 AND $2 > 0 AND (EXISTS \
         (SELECT 1 FROM incidents i WHERE i.order_id = o.id AND i.settled_at IS NULL) OR EXISTS \
         (SELECT 1 FROM payments p JOIN ledger g ON g.payment_id = p.id \
         AND g.account = 'unallocated' WHERE p.order_id = o.id \
         GROUP BY p.id HAVING SUM(g.amount_minor) < 0)) LIMIT 1",
    ),
];

async fn what_is_under_way(
    conn: &mut Conn,
    user: UserId,
    now: Moment,
) -> Result<Option<Conflict>, sqlx::Error> {
    for (conflict, sql) in UNDER_WAY {
        let found = query(sql)
            .bind(user)
            .bind(now)
            .fetch_optional(&mut *conn)
            .await?;
        if found.is_some() {
            return Ok(Some(conflict));
        }
    }
    Ok(None)
}
