//! Deleting an account: what prevents it, and what is removed.
//!
//! The row of `users` stays, without personal data, because orders, payments and the ledger refer to it
//! and stay as well. Everything happens in one transaction.

use super::AccountCareService;
use crate::{
    accounts::{
        factors, proofs, resets, rules,
        store::{self, Account, FORMER_MEMBER},
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
    pub(super) async fn delete_account(
        &self,
        viewer: &Viewer,
        request: DeleteAccount,
    ) -> FaultResult<()> {
        let account = self
            .accounts
            .prove_password(viewer, request.password, "password")
            .await?;
        if !account.has_password() && !self.accounts.signed_in_recently().await {
            return Err(rules::sign_in_again("password").into());
        }
        let (id, now) = (account.user.id, self.clock.now());
        let epoch = self
            .db
            .write(move |conn| Box::pin(async move { delete(conn, &account, now).await }))
            .await?;
        self.accounts.delete_ended_sessions(id, epoch).await;
        if let Some(session) = request::session() {
            let failed = |error| Fault::unexpected("Session could not be ended", error);
            session.flush().await.map_err(failed)?;
        }
        request::mark_session_ended();
        Ok(())
    }
}

/// The result of [`AccountCareService::delete_or_lock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// No account has this address.
    NotFound,
    Deleted,
    /// The account could not be deleted for this reason. Its listings are withdrawn and its password is
    /// removed.
    Locked(Conflict),
}

impl AccountCareService {
    /// Deletes the account with this address without any proof. If it cannot be deleted yet, withdraws its
    /// listings and removes its password instead.
    pub async fn delete_or_lock(&self, email: &str) -> FaultResult<Deletion> {
        let key = rules::email_key(email);
        let Some(account) = store::find_by_email(self.db.reads(), &key).await? else {
            return Ok(Deletion::NotFound);
        };
        let (id, now) = (account.user.id, self.clock.now());
        let deleted = self
            .db
            .write(move |conn| Box::pin(async move { delete(conn, &account, now).await }))
            .await;
        let (deletion, epoch) = match deleted {
            Ok(epoch) => (Deletion::Deleted, epoch),
            Err(Fault::Refused(AppError::Conflict { conflict, .. })) => {
                let epoch = self
                    .db
                    .write(move |conn| {
                        Box::pin(async move { remove_password(conn, id, now).await })
                    })
                    .await?;
                (Deletion::Locked(conflict), epoch)
            }
            Err(fault) => return Err(fault),
        };
        self.accounts.delete_ended_sessions(id, epoch).await;
        Ok(deletion)
    }
}

/// Returns the new epoch, to which no session belongs.
async fn remove_password(conn: &mut Conn, id: UserId, now: Moment) -> FaultResult<i64> {
    tickets::holds::withdraw_all(conn, id, now).await?;
    resets::delete_of_user(conn, id).await?;
    let locked = store::set_password(conn, id, None, "").await?;
    Ok(locked.ok_or(AppError::NotFound)?.epoch)
}

/// Returns the new epoch, to which no session belongs.
async fn delete(conn: &mut Conn, account: &Account, now: Moment) -> FaultResult<i64> {
    let id = account.user.id;
    // Lock order: tickets before the account, whose lock prevents new listings.
    tickets::holds::withdraw_all(conn, id, now).await?;
    if !store::lock(conn, id, Some(&account.password_hash)).await? {
        return Err(rules::wrong_password("password").into());
    }
    if let Some(conflict) = find_obstacle(conn, id, now).await? {
        return Err(conflict.into());
    }
    let (former, epoch) = store::anonymise(conn, id, now)
        .await?
        .ok_or(AppError::SignInRequired)?;
    // The recipients of mails are found by the links in them, which are deleted below.
    mail::erase_for_user(conn, id).await?;
    // Waiting-list entries of an unverified address may be another person's.
    let email = account
        .user
        .email_verified
        .then_some(account.user.email.as_str());
    waiting::delete_all_of_user(conn, id, email).await?;
    factors::delete(conn, id).await?;
    resets::delete_of_user(conn, id).await?;
    proofs::delete_of_user(conn, id, None).await?;
    idempotency::delete_of_user(conn, id).await?;
    outbox::redact_user(conn, id, FORMER_MEMBER).await?;
    outbox::append(
        conn,
        now,
        &[store::domain_event(EventType::UserUpdated, &former)],
    )
    .await?;
    Ok(epoch)
}

/// The reasons why an account cannot be deleted yet, most important first, each with a query that returns
/// a row if it applies.
const OBSTACLES: [(Conflict, &str); 7] = [
    // Open, or with a payment that can still complete: a late authorisation can revive an order.
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
    // Owed to or by the user as a seller.
    (
        Conflict::AccountMoneyOwed,
        "SELECT 1 FROM ledger g WHERE g.seller_id = $1 AND $2 > 0 \
         GROUP BY g.currency HAVING SUM(g.amount_minor) <> 0 LIMIT 1",
    ),
    // Owed to the user as a buyer: money captured without an order, or a refund that failed and has an
    // open incident.
    (
        Conflict::AccountMoneyOwed,
        "SELECT 1 FROM orders o WHERE o.buyer_id = $1 AND $2 > 0 AND (EXISTS \
         (SELECT 1 FROM incidents i WHERE i.order_id = o.id AND i.settled_at IS NULL) OR EXISTS \
         (SELECT 1 FROM payments p JOIN ledger g ON g.payment_id = p.id \
         AND g.account = 'unallocated' WHERE p.order_id = o.id \
         GROUP BY p.id HAVING SUM(g.amount_minor) < 0)) LIMIT 1",
    ),
];

async fn find_obstacle(
    conn: &mut Conn,
    user: UserId,
    now: Moment,
) -> Result<Option<Conflict>, sqlx::Error> {
    for (conflict, sql) in OBSTACLES {
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
