//! Queues the mails with reset links and verification links. `account_care/` handles links that are
//! followed; their SQL is in `resets.rs` and `proofs.rs`.

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

/// The longest path at which a mailed link continues: a selection of tickets fits.
const NEXT_BYTES_MAX: usize = 2048;

impl AccountsService {
    /// Queues a reset link, if there is an account with this address. Errors: `Invalid` at `email`,
    /// `TooManyRequests`.
    pub(crate) async fn request_reset(
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
        // Links for this account were requested from other networks; enough mails are queued.
        if self.limits.take(&Key::ForgotOf(key.clone())).await.is_err() {
            return Ok(());
        }
        let next = next.filter(|next| next.len() <= NEXT_BYTES_MAX);
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let Some(account) = store::find_by_email(&mut *conn, &key).await? else {
                        return Ok(());
                    };
                    let id = ProofId(Uuid::now_v7());
                    resets::insert(conn, id, account.user.id, next, now).await?;
                    mail::queue_or_skip(conn, Kind::PasswordReset, id, &key, now).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// As [`mail::queue_or_skip`], to the address of this user. Queues nothing if the account is deleted.
pub(crate) async fn queue_or_skip_to(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    user: UserId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    if let Some(user) = store::find(&mut *conn, user).await? {
        let key = rules::email_key(&user.email);
        mail::queue_or_skip(conn, kind, subject, &key, now).await?;
    }
    Ok(())
}

/// Queues a verification link for an account's address, unless one was queued within the last hour.
pub(crate) async fn queue_verification_link(
    conn: &mut Conn,
    user: &User,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let id = proofs::insert(conn, user.id, &user.email, now).await?;
    let key = rules::email_key(&user.email);
    mail::queue_or_skip(conn, Kind::EmailProof, id, &key, now)
        .await
        .map(drop)
}
