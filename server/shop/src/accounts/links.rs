//! Queues the mails whose links lead to an account: the link to a new password, and the link that proves
//! an address. Following the links is `account_care/`, their SQL is in `resets.rs` and `proofs.rs`.

use super::{AccountsService, proofs, resets, rules, store};
use crate::mail::{self, Kind};
use model::{
    Moment,
    accounts::{Forgot, User},
    ids::{ProofId, UserId},
};
use platform::{db::Conn, fault::FaultResult, limits::Key, request};
use std::fmt;
use uuid::Uuid;

/// The longest path at which a mailed link continues; a selection of tickets fits.
const NEXT_BYTES_MAX: usize = 2048;

impl AccountsService {
    /// Queues the link to a new password, if there is an account with this address.
    pub(crate) async fn queue_reset(
        &self,
        request: Forgot,
        next: Option<String>,
    ) -> FaultResult<()> {
        rules::check_email(&request.email)?;
        let (key, from) = (rules::email_key(&request.email), request::network());
        self.limits.take(&Key::ForgotFrom(from)).await?;
        self.limits
            .take(&Key::ForgotOfFrom(key.clone(), from))
            .await?;
        // This account was asked for from other networks: enough mails with a link are queued.
        if self.limits.take(&Key::ForgotOf(key.clone())).await.is_err() {
            return Ok(());
        }
        let next = next.filter(|next| next.len() <= NEXT_BYTES_MAX);
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let Some(found) = store::user_find_by_email(&mut *conn, &key).await? else {
                        return Ok(());
                    };
                    let id = ProofId(Uuid::now_v7());
                    resets::reset_insert(conn, id, found.user.id, next, now).await?;
                    mail::queue_rarely(conn, Kind::PasswordReset, id, &key, now).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// As [`mail::queue_rarely`], for the address of this user. Nothing is queued if the account is deleted.
pub(crate) async fn queue_rarely_to(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    user: UserId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    if let Some(user) = store::user_find(&mut *conn, user).await? {
        let key = rules::email_key(&user.email);
        mail::queue_rarely(conn, kind, subject, &key, now).await?;
    }
    Ok(())
}

/// Queues the link that proves an account's address, unless that was done within the last hour.
pub(crate) async fn ask_for_proof(
    conn: &mut Conn,
    user: &User,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let id = proofs::proof_insert(conn, user.id, &user.email, now).await?;
    let key = rules::email_key(&user.email);
    mail::queue_rarely(conn, Kind::EmailProof, id, &key, now)
        .await
        .map(drop)
}
