//! Setting a password, signing in by a mailed link, and the port [`AccountCare`].
//!
//! Operations that end sessions begin the next epoch of the account in the same transaction (see
//! `accounts/sessions.rs`).

use super::addresses;
use crate::{
    accounts::{
        AccountsService, OperatorStatus, factors, resets, rules,
        second_factor::{self, consume_code},
        store::{self, Account},
    },
    mail::{self, Kind},
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::{
        AccountCare, Accounts, ChangeEmail, ChangePassword, DeleteAccount, EndSessionsOf, Forgot,
        LinkSignIn, ResetLink, ResetPassword, ResetToken, SignUp, SignedInAt, User,
        VerificationLink, Viewer,
    },
    error::{AppError, AppResult},
    ids::SessionId,
    order_link::OrderLink,
};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
    limits::{Key, Limits},
    request,
    security::{self, Event, Outcome},
    session::{self, Sessions},
};
use std::sync::Arc;

/// Implements [`AccountCare`].
#[derive(Clone)]
pub struct AccountCareService {
    pub(super) accounts: AccountsService,
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) limits: Arc<Limits>,
    pub(super) sessions: Arc<dyn Sessions>,
}

impl AccountCareService {
    /// The other arguments must be those that `accounts` was made with.
    pub fn new(
        accounts: AccountsService,
        db: Db,
        clock: SharedClock,
        limits: Arc<Limits>,
        sessions: Arc<dyn Sessions>,
    ) -> Self {
        Self {
            accounts,
            db,
            clock,
            limits,
            sessions,
        }
    }

    /// Creates an account with a verified address, without signing in.
    pub async fn create(&self, request: SignUp) -> FaultResult<User> {
        let user = self.accounts.create(request).await?;
        self.verify_without_link(user).await
    }

    async fn change_password(&self, viewer: &Viewer, request: ChangePassword) -> FaultResult<()> {
        let own = self.accounts.find_own(viewer).await?;
        rules::check_password_change(&request, own.has_password(), &own.user)?;
        let field = "currentPassword";
        let account = self
            .accounts
            .prove_password(viewer, request.current_password, field)
            .await?;
        let hash = self.accounts.hash(request.new_password).await?;
        let now = self.clock.now();
        let id = account.user.id;
        let changed = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let before = Some(account.password_hash.as_str());
                    let changed = store::set_password(conn, id, before, &hash).await?;
                    // A concurrent change has replaced the password that was typed.
                    let changed = changed.ok_or_else(|| rules::wrong_password(field))?;
                    resets::delete_of_user(conn, id).await?;
                    queue_password_notice(conn, &changed, now).await?;
                    Ok::<_, Fault>(changed)
                })
            })
            .await?;
        self.accounts.rebind_session(id, changed.epoch).await
    }

    /// Consumes a mailed link, ends all other sessions of the guest's account and signs in to it. Errors:
    /// `Invalid` at `token`, also if the account has a password; `TooManyRequests`.
    async fn sign_in_by_link(&self, token: ResetToken) -> FaultResult<LinkSignIn> {
        self.limits
            .take(&Key::ResetFrom(request::network()))
            .await?;
        let now = self.clock.now();
        let (user, epoch, next) = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let reset = resets::consume(conn, &token, now).await?;
                    let reset = reset.ok_or_else(rules::invalid_reset_link)?;
                    let guest = store::begin_guest_epoch(conn, reset.user).await?;
                    let guest = guest.ok_or_else(rules::invalid_reset_link)?;
                    resets::delete_of_user(conn, reset.user).await?;
                    let user = addresses::mark_verified(conn, guest.user, now).await?;
                    Ok::<_, Fault>((user, guest.epoch, reset.next))
                })
            })
            .await?;
        self.accounts.rebind_session(user.id, epoch).await?;
        Ok(LinkSignIn { user, next })
    }

    async fn reset_password(&self, request: ResetPassword) -> FaultResult<LinkSignIn> {
        self.limits
            .take(&Key::ResetFrom(request::network()))
            .await?;
        let now = self.clock.now();
        // Checked first, so that an invalid link does not cost hashing.
        let owner = resets::find_owner(self.db.reads(), &request.token, now).await?;
        let owner = owner.ok_or_else(rules::invalid_reset_link)?;
        rules::check_password("password", &request.password, &owner.user)?;
        let checked = self
            .accounts
            .check_code(&owner, request.code.as_deref())
            .await?;
        let hash = self.accounts.hash(request.password).await?;
        let token = request.token;
        let (code, counted) = checked.unzip();
        let (user, epoch, next) = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let reset = resets::consume(conn, &token, now).await?;
                    let reset = reset.ok_or_else(rules::invalid_reset_link)?;
                    if let Some(code) = &code
                        && !consume_code(conn, code, now).await?
                    {
                        return Err(second_factor::code_refused(reset.user));
                    }
                    let changed = store::set_password(conn, reset.user, None, &hash).await?;
                    let changed = changed.ok_or_else(rules::invalid_reset_link)?;
                    resets::delete_of_user(conn, reset.user).await?;
                    let user = addresses::mark_verified(conn, changed.user.clone(), now).await?;
                    queue_password_notice(conn, &changed, now).await?;
                    Ok::<_, Fault>((user, changed.epoch, reset.next))
                })
            })
            .await?;
        if let Some(counted) = counted {
            self.accounts.uncount_code(counted).await;
        }
        self.accounts.rebind_session(user.id, epoch).await?;
        Ok(LinkSignIn { user, next })
    }
}

/// Queues the mail that reports the new password to the owner, who may not have set it.
async fn queue_password_notice(
    conn: &mut Conn,
    changed: &Account,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let subject = mail::subjects::format_password_changed(changed.user.id, changed.epoch);
    let key = rules::email_key(&changed.user.email);
    mail::queue_or_skip(conn, Kind::PasswordChanged, subject, &key, now)
        .await
        .map(drop)
}

#[async_trait]
impl AccountCare for AccountCareService {
    async fn change_password(&self, viewer: &Viewer, request: ChangePassword) -> AppResult<()> {
        let changed = self.change_password(viewer, request).await;
        security::record_result(
            Event::PasswordChange,
            changed.map_err(AppError::from),
            |()| Some(viewer.user.id),
        )
    }

    async fn list_sessions(&self, viewer: &Viewer) -> AppResult<Vec<SignedInAt>> {
        Ok(self.accounts.list_sessions(viewer).await?)
    }

    async fn end_session(&self, viewer: &Viewer, id: SessionId) -> AppResult<()> {
        if request::session().as_ref().and_then(session::public_id) == Some(id) {
            return self.accounts.sign_out().await;
        }
        if self.sessions.end(viewer.user.id, id).await? {
            security::record(Event::SessionEnd, Outcome::Done, Some(viewer.user.id), "");
            Ok(())
        } else {
            Err(AppError::NotFound)
        }
    }

    async fn end_other_sessions(&self, viewer: &Viewer) -> AppResult<()> {
        let ended = self.accounts.end_other_sessions(viewer).await;
        security::record_result(
            Event::OtherSessionsEnd,
            ended.map_err(AppError::from),
            |()| Some(viewer.user.id),
        )
    }

    async fn end_sessions_of(&self, viewer: &Viewer, request: EndSessionsOf) -> AppResult<()> {
        Ok(self
            .accounts
            .end_sessions_of(viewer, &request.email)
            .await
            .map(drop)?)
    }

    async fn is_operator(&self, viewer: &Viewer) -> AppResult<bool> {
        Ok(self.accounts.operator_status(viewer).await? != OperatorStatus::NotOperator)
    }

    async fn request_reset(&self, request: Forgot, next: Option<String>) -> AppResult<()> {
        let queued = self.accounts.request_reset(request, next).await;
        security::record_result(Event::PasswordLink, queued.map_err(AppError::from), |()| {
            None
        })
    }

    async fn find_reset_link(&self, token: &ResetToken) -> AppResult<Option<ResetLink>> {
        let now = self.clock.now();
        let owner = resets::find_owner(self.db.reads(), token, now).await;
        let Some(owner) = owner.map_err(Fault::from)? else {
            return Ok(None);
        };
        let factor = factors::find(self.db.reads(), owner.user.id).await;
        Ok(Some(ResetLink {
            has_password: owner.has_password(),
            second_factor: factor.map_err(Fault::from)?.is_some(),
            email: owner.user.email,
        }))
    }

    async fn reset_password(&self, request: ResetPassword) -> AppResult<LinkSignIn> {
        let reset = self.reset_password(request).await.map_err(AppError::from);
        security::record_result(Event::PasswordReset, reset, |sign_in| Some(sign_in.user.id))
    }

    async fn sign_in_by_link(&self, token: ResetToken) -> AppResult<LinkSignIn> {
        let signed_in = self.sign_in_by_link(token).await.map_err(AppError::from);
        security::record_result(Event::SignInByLink, signed_in, |sign_in| {
            Some(sign_in.user.id)
        })
    }

    async fn send_verification_link(&self, viewer: &Viewer) -> AppResult<()> {
        let sent = self
            .send_verification_link(viewer)
            .await
            .map_err(AppError::from);
        security::record_result(Event::EmailLink, sent, |()| Some(viewer.user.id))
    }

    async fn change_email(&self, viewer: &Viewer, request: ChangeEmail) -> AppResult<()> {
        let requested = self.change_email(viewer, request).await;
        security::record_result(Event::EmailLink, requested.map_err(AppError::from), |()| {
            Some(viewer.user.id)
        })
    }

    async fn find_verification_link(
        &self,
        token: &ResetToken,
    ) -> AppResult<Option<VerificationLink>> {
        let found = self.find_verification_link(token).await?;
        Ok(found.map(|(proof, user)| VerificationLink {
            is_new: rules::email_key(&proof.email) != rules::email_key(&user.email),
            email: proof.email,
        }))
    }

    async fn verify_email(&self, token: ResetToken) -> AppResult<User> {
        match self.verify_email(token).await {
            Ok(verified) => {
                let event = if verified.replaced {
                    Event::EmailChange
                } else {
                    Event::EmailConfirmation
                };
                security::record(event, Outcome::Done, Some(verified.user.id), "");
                Ok(verified.user)
            }
            Err(fault) => {
                security::record_result(Event::EmailConfirmation, Err(fault.into()), |_| None)
            }
        }
    }

    async fn verify_by_order_link(&self, viewer: &Viewer, link: &OrderLink) -> AppResult<()> {
        Ok(self.verify_by_order_link(viewer, link).await?)
    }

    async fn delete_account(&self, viewer: &Viewer, request: DeleteAccount) -> AppResult<()> {
        let deleted = self.delete_account(viewer, request).await;
        security::record_result(
            Event::AccountDeletion,
            deleted.map_err(AppError::from),
            |()| Some(viewer.user.id),
        )
    }
}
