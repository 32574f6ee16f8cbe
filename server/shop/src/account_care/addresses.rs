//! Verifying and replacing the address of an account.
//!
//! Invariant: an address is verified, and replaces an account's previous address, only after a link mailed
//! to it was followed. The mails are in `letters/account.rs`; each feature checks what an account may not
//! do before its address is verified.

use super::AccountCareService;
use crate::{
    accounts::{
        links::queue_verification_link,
        proofs::{self, Proof},
        resets, rules, store,
    },
    mail::{self, Kind},
    orders, passes, waiting,
};
use model::{
    Moment,
    accounts::{ADDRESS_IN_USE, ChangeEmail, ResetToken, User, Viewer},
    error::AppError,
    micros,
    order_link::OrderLink,
};
use platform::{
    db::Conn,
    fault::{Fault, FaultResult},
    limits::Key,
    outbox::{self, EventType},
    request,
    security::{self, Event, Outcome},
};

impl AccountCareService {
    pub(super) async fn send_verification_link(&self, viewer: &Viewer) -> FaultResult<()> {
        let own = self.accounts.find_own(viewer).await?.user;
        if own.email_verified {
            return Ok(());
        }
        self.limits
            .take(&Key::ProofFrom(request::network()))
            .await?;
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move { Ok(queue_verification_link(conn, &own, now).await?) })
            })
            .await
    }

    pub(super) async fn change_email(
        &self,
        viewer: &Viewer,
        request: ChangeEmail,
    ) -> FaultResult<()> {
        let own = self.accounts.find_own(viewer).await?;
        rules::check_new_email(&request, own.has_password())?;
        let email = request.email.trim().to_owned();
        let own = self
            .accounts
            .prove_password(viewer, request.password, "password")
            .await?
            .user;
        if rules::email_key(&email) == rules::email_key(&own.email) {
            return Err(AppError::invalid("email", "This is the address that you have.").into());
        }
        self.limits
            .take(&Key::ProofFrom(request::network()))
            .await?;
        let key = rules::email_key(&email);
        let (user, now) = (own.id, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if store::find_by_email(&mut *conn, &key).await?.is_some() {
                        return Err(in_use("email").into());
                    }
                    let id = proofs::insert(conn, user, &email, now).await?;
                    let kind = Kind::EmailProof;
                    let queued = mail::queue_or_skip(conn, kind, id, &key, now).await?;
                    if queued {
                        return Ok(());
                    }
                    let wait = AppError::TooManyRequests {
                        retry_after_seconds: micros(mail::UNVERIFIED_INTERVAL) / 1_000_000,
                    };
                    Err::<_, Fault>(wait.into())
                })
            })
            .await
    }

    pub(super) async fn find_verification_link(
        &self,
        token: &ResetToken,
    ) -> FaultResult<Option<(Proof, User)>> {
        let now = self.clock.now();
        let Some(proof) = proofs::find_by_token(self.db.reads(), token, now).await? else {
            return Ok(None);
        };
        let user = store::find(self.db.reads(), proof.user).await?;
        Ok(user.map(|user| (proof, user)))
    }

    /// Marks the address of an account as verified, without a link.
    pub async fn verify_without_link(&self, user: User) -> FaultResult<User> {
        let now = self.clock.now();
        self.db
            .write(move |conn| Box::pin(async move { mark_verified(conn, user, now).await }))
            .await
    }

    /// Marks the viewer's address as verified if they are the buyer of the link's order. The link does not
    /// verify other accounts: a stranger may have bought with their address.
    pub(super) async fn verify_by_order_link(
        &self,
        viewer: &Viewer,
        link: &OrderLink,
    ) -> FaultResult<()> {
        let Some(order) = passes::link::verify(&self.db, link).await? else {
            return Ok(());
        };
        let order = orders::store::find(self.db.reads(), order).await?;
        let own = self.accounts.find_own(viewer).await?.user;
        if order.is_none_or(|order| order.buyer != own.id) {
            return Ok(());
        }
        let was_unverified = !own.email_verified;
        self.verify_without_link(own).await?;
        self.sessions.user_changed(viewer.user.id).await;
        if was_unverified {
            let user = Some(viewer.user.id);
            security::record(
                Event::EmailConfirmation,
                Outcome::Done,
                user,
                "by an order's link",
            );
        }
        Ok(())
    }

    pub(super) async fn verify_email(&self, token: ResetToken) -> FaultResult<VerifiedEmail> {
        self.limits
            .take(&Key::ResetFrom(request::network()))
            .await?;
        let now = self.clock.now();
        let verified = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let proof = proofs::consume(conn, &token, now).await?;
                    let proof = proof.ok_or_else(rules::invalid_verification_link)?;
                    let user = store::find(&mut *conn, proof.user).await?;
                    let user = user.ok_or_else(rules::invalid_verification_link)?;
                    if rules::email_key(&proof.email) == rules::email_key(&user.email) {
                        let user = mark_verified(conn, user, now).await?;
                        return Ok(VerifiedEmail {
                            user,
                            replaced: false,
                        });
                    }
                    let user = replace_email(conn, &user, &proof, now).await?;
                    Ok::<_, Fault>(VerifiedEmail {
                        user,
                        replaced: true,
                    })
                })
            })
            .await?;
        self.sessions.user_changed(verified.user.id).await;
        Ok(verified)
    }
}

/// The result of following a verification link.
pub(super) struct VerifiedEmail {
    pub user: User,
    /// Whether the address replaced another one.
    pub replaced: bool,
}

fn in_use(field: &str) -> AppError {
    AppError::invalid(field, ADDRESS_IN_USE)
}

/// Marks the address of an account as verified, unless it is or has changed. Returns the user after that.
pub(super) async fn mark_verified(conn: &mut Conn, user: User, now: Moment) -> FaultResult<User> {
    let verified = store::verify_email(conn, user.id, &user.email, now).await?;
    let Some(verified) = verified else {
        return Ok(user);
    };
    finish_verification(conn, &verified, now).await?;
    Ok(verified)
}

async fn replace_email(
    conn: &mut Conn,
    user: &User,
    proof: &Proof,
    now: Moment,
) -> FaultResult<User> {
    let key = rules::email_key(&proof.email);
    let replaced = match store::replace_email(conn, user.id, &proof.email, &key, now).await {
        Ok(replaced) => replaced.ok_or_else(|| in_use("token"))?,
        // A concurrent transaction gave it to another account.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(in_use("token").into());
        }
        Err(error) => return Err(error.into()),
    };
    // Invalidate links that were mailed to the previous address.
    resets::delete_of_user(conn, user.id).await?;
    proofs::delete_of_user(conn, user.id, Some(proof.id)).await?;
    proofs::set_replaced(conn, proof.id, &user.email).await?;
    if user.email_verified {
        mail::queue(conn, Kind::EmailChanged, proof.id, now).await?;
    } else {
        let before = rules::email_key(&user.email);
        mail::queue_or_skip(conn, Kind::EmailChanged, proof.id, &before, now).await?;
    }
    // If the previous address was mistyped, these mails never arrived.
    let orders = passes::list_shown_orders(&mut *conn, user.id, now).await?;
    mail::queue_again(conn, Kind::OrderComplete, &orders, now).await?;
    finish_verification(conn, &replaced, now).await?;
    Ok(replaced)
}

/// Gives the account the waiting-list entries of its verified address, and appends the domain event.
async fn finish_verification(conn: &mut Conn, user: &User, now: Moment) -> Result<(), sqlx::Error> {
    let key = rules::email_key(&user.email);
    waiting::store::claim(conn, user.id, &key).await?;
    outbox::append(
        conn,
        now,
        &[store::domain_event(EventType::UserUpdated, user)],
    )
    .await
}
