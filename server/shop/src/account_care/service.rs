//! Setting a password, entering by a mailed link, and the port [`AccountCare`].
//!
//! What ends sessions begins the next epoch of the account in the same transaction (see
//! `accounts/sessions.rs`).

use super::addresses;
use crate::{
    accounts::{
        AccountsService, Standing, factors, resets, rules,
        second_factor::{self, proof_take},
        store::{self, Locked},
    },
    mail::{self, Kind},
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::{
        AccountCare, Accounts, CameIn, ChangeEmail, ChangePassword, DeleteAccount, EmailProof,
        EndSessionsOf, Forgot, LinkToAccount, ResetPassword, ResetToken, SignUp, SignedInAt, User,
        Viewer,
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

/// The care of accounts.
#[derive(Clone)]
pub struct AccountCareService {
    pub(super) accounts: AccountsService,
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) limits: Arc<Limits>,
    pub(super) sessions: Arc<dyn Sessions>,
}

impl AccountCareService {
    /// Care of `accounts`, with the same parts that they were made of.
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

    /// Makes an account whose address needs no proof, without signing in.
    pub async fn create(&self, request: SignUp) -> FaultResult<User> {
        let user = self.accounts.create(request).await?;
        self.vouch(user).await
    }

    async fn replace_password(&self, viewer: &Viewer, request: ChangePassword) -> FaultResult<()> {
        let own = self.accounts.own(viewer).await?;
        rules::check_change(&request, own.has_password(), &own.user)?;
        let field = "currentPassword";
        let found = self
            .accounts
            .proved(viewer, request.current_password, field)
            .await?;
        let hash = self.accounts.hash(request.new_password).await?;
        let now = self.clock.now();
        let id = found.user.id;
        let changed = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let before = Some(found.password_hash.as_str());
                    let changed = store::password_set(conn, id, before, &hash).await?;
                    // Another change was quicker: what was typed is no longer the current password.
                    let changed = changed.ok_or_else(|| rules::wrong_password(field))?;
                    resets::resets_end(conn, id).await?;
                    tell_of_password(conn, &changed, now).await?;
                    Ok::<_, Fault>(changed)
                })
            })
            .await?;
        self.accounts.stay_alone(id, changed.epoch).await
    }

    /// Ends all other sessions of a guest's account and signs in to it, by a mailed link that works
    /// once. Errors: `Invalid` at `token`, also where the account has a password.
    async fn enter_by(&self, token: ResetToken) -> FaultResult<CameIn> {
        self.limits
            .take(&Key::ResetFrom(request::network()))
            .await?;
        let now = self.clock.now();
        let (user, epoch, next) = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let taken = resets::reset_take(conn, &token, now).await?;
                    let taken = taken.ok_or_else(rules::dead_token)?;
                    let guest = store::guest_epoch_begin(conn, taken.user).await?;
                    let guest = guest.ok_or_else(rules::dead_token)?;
                    resets::resets_end(conn, taken.user).await?;
                    let user = addresses::take_as_proved(conn, guest.user, now).await?;
                    Ok::<_, Fault>((user, guest.epoch, taken.next))
                })
            })
            .await?;
        self.accounts.stay_alone(user.id, epoch).await?;
        Ok(CameIn { user, next })
    }

    async fn reset_by(&self, request: ResetPassword) -> FaultResult<CameIn> {
        self.limits
            .take(&Key::ResetFrom(request::network()))
            .await?;
        let now = self.clock.now();
        // Checked first, so that an invalid link costs no hashing.
        let owner = resets::reset_owner(self.db.reads(), &request.token, now).await?;
        let owner = owner.ok_or_else(rules::dead_token)?;
        rules::check_password("password", &request.password, &owner.user)?;
        let proof = self
            .accounts
            .code_for(&owner, request.code.as_deref())
            .await?;
        let hash = self.accounts.hash(request.password).await?;
        let token = request.token;
        let (proof, tries) = proof.unzip();
        let (user, epoch, next) = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let taken = resets::reset_take(conn, &token, now).await?;
                    let taken = taken.ok_or_else(rules::dead_token)?;
                    if let Some(proof) = &proof
                        && !proof_take(conn, proof, now).await?
                    {
                        return Err(second_factor::refused(taken.user));
                    }
                    let changed = store::password_set(conn, taken.user, None, &hash).await?;
                    let changed = changed.ok_or_else(rules::dead_token)?;
                    resets::resets_end(conn, taken.user).await?;
                    let user = addresses::take_as_proved(conn, changed.user.clone(), now).await?;
                    tell_of_password(conn, &changed, now).await?;
                    Ok::<_, Fault>((user, changed.epoch, taken.next))
                })
            })
            .await?;
        if let Some(tries) = tries {
            self.accounts.code_was_right(tries).await;
        }
        self.accounts.stay_alone(user.id, epoch).await?;
        Ok(CameIn { user, next })
    }
}

/// Queues the mail that tells the owner of the new password, in case the change was not theirs.
async fn tell_of_password(
    conn: &mut Conn,
    changed: &Locked,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let subject = mail::password_changed(changed.user.id, changed.epoch);
    let key = rules::email_key(&changed.user.email);
    mail::queue_rarely(conn, Kind::PasswordChanged, subject, &key, now)
        .await
        .map(drop)
}

#[async_trait]
impl AccountCare for AccountCareService {
    async fn change_password(&self, viewer: &Viewer, request: ChangePassword) -> AppResult<()> {
        let changed = self.replace_password(viewer, request).await;
        let changed = changed.map_err(AppError::from);
        security::record_result(Event::PasswordChange, changed, |()| Some(viewer.user.id))
    }

    async fn sessions(&self, viewer: &Viewer) -> AppResult<Vec<SignedInAt>> {
        Ok(self.accounts.places(viewer).await?)
    }

    async fn end_session(&self, viewer: &Viewer, id: SessionId) -> AppResult<()> {
        if request::session().as_ref().and_then(session::name) == Some(id) {
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
        let alone = self.accounts.be_alone(viewer).await.map_err(AppError::from);
        security::record_result(Event::OtherSessionsEnd, alone, |()| Some(viewer.user.id))
    }

    async fn end_sessions_of(&self, viewer: &Viewer, request: EndSessionsOf) -> AppResult<()> {
        Ok(self
            .accounts
            .end_for_operator(viewer, &request.email)
            .await
            .map(drop)?)
    }

    async fn is_operator(&self, viewer: &Viewer) -> AppResult<bool> {
        Ok(self.accounts.standing(viewer).await? != Standing::Member)
    }

    async fn forgot(&self, request: Forgot, next: Option<String>) -> AppResult<()> {
        let queued = self.accounts.queue_reset(request, next).await;
        security::record_result(Event::PasswordLink, queued.map_err(AppError::from), |()| {
            None
        })
    }

    async fn link(&self, token: &ResetToken) -> AppResult<Option<LinkToAccount>> {
        let now = self.clock.now();
        let owner = resets::reset_owner(self.db.reads(), token, now).await;
        let Some(owner) = owner.map_err(Fault::from)? else {
            return Ok(None);
        };
        let factor = factors::factor_find(self.db.reads(), owner.user.id).await;
        Ok(Some(LinkToAccount {
            has_password: owner.has_password(),
            second_factor: factor.map_err(Fault::from)?.is_some(),
            email: owner.user.email,
        }))
    }

    async fn reset(&self, request: ResetPassword) -> AppResult<CameIn> {
        let reset = self.reset_by(request).await.map_err(AppError::from);
        security::record_result(Event::PasswordReset, reset, |came| Some(came.user.id))
    }

    async fn enter(&self, token: ResetToken) -> AppResult<CameIn> {
        let entered = self.enter_by(token).await.map_err(AppError::from);
        security::record_result(Event::SignInByLink, entered, |came| Some(came.user.id))
    }

    async fn send_proof(&self, viewer: &Viewer) -> AppResult<()> {
        let sent = self.send_own_proof(viewer).await.map_err(AppError::from);
        security::record_result(Event::EmailLink, sent, |()| Some(viewer.user.id))
    }

    async fn change_email(&self, viewer: &Viewer, request: ChangeEmail) -> AppResult<()> {
        let asked = self.ask_for_change(viewer, request).await;
        security::record_result(Event::EmailLink, asked.map_err(AppError::from), |()| {
            Some(viewer.user.id)
        })
    }

    async fn proof(&self, token: &ResetToken) -> AppResult<Option<EmailProof>> {
        let linked = self.linked_proof(token).await?;
        Ok(linked.map(|(proof, user)| EmailProof {
            is_new: rules::email_key(&proof.email) != rules::email_key(&user.email),
            email: proof.email,
        }))
    }

    async fn verify_email(&self, token: ResetToken) -> AppResult<User> {
        match self.prove(token).await {
            Ok(proved) => {
                let event = if proved.replaced {
                    Event::EmailChange
                } else {
                    Event::EmailConfirmation
                };
                security::record(event, Outcome::Done, Some(proved.user.id), "");
                Ok(proved.user)
            }
            Err(fault) => {
                security::record_result(Event::EmailConfirmation, Err(fault.into()), |_| None)
            }
        }
    }

    async fn verify_by_link(&self, viewer: &Viewer, link: &OrderLink) -> AppResult<()> {
        Ok(self.prove_by_order(viewer, link).await?)
    }

    async fn delete(&self, viewer: &Viewer, request: DeleteAccount) -> AppResult<()> {
        let left = self.leave(viewer, request).await.map_err(AppError::from);
        security::record_result(Event::AccountDeletion, left, |()| Some(viewer.user.id))
    }
}
