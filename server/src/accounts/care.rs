//! A new password, where one is signed in, and leaving.
//!
//! Whatever ends sessions begins the next epoch of the account in its own transaction (see
//! `session.rs`), so that no crash leaves a session behind, and a sign-in that has just checked the
//! password of before comes too late. Deleting the rows afterwards is tidying.

use super::{
    AccountsService, Standing, addresses, factors, resets, rules,
    second_factor::{self, proof_take},
    store,
    store::Locked,
    tries::Purpose,
};
use crate::{
    db::{Conn, Db},
    fault::{Fault, FaultResult, chain},
    limits::Key,
    mail::{self, Kind},
    request,
    security::{self, Event, Outcome},
    session::{self, Sessions},
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::{
        AccountCare, Accounts, CameIn, ChangeEmail, ChangePassword, DeleteAccount, EmailProof,
        EndSessionsOf, Forgot, LinkToAccount, Password, ResetPassword, ResetToken, SignedInAt,
        User, Viewer,
    },
    error::{AppError, AppResult},
    ids::{ProofId, SessionId, UserId},
    passes::OrderLink,
};
use uuid::Uuid;

/// Where a mailed link leads on to is kept up to this length; a choice of tickets fits.
const NEXT_BYTES_MAX: usize = 2048;

impl AccountsService {
    /// The viewer's account as it is now.
    pub(super) async fn own(&self, viewer: &Viewer) -> FaultResult<Locked> {
        let found = store::user_find_locked(self.db.reads(), viewer.user.id).await?;
        Ok(found.ok_or(AppError::SignInRequired)?)
    }

    /// The viewer's account, if `password` is its. Nothing but the session proves who somebody is
    /// who has none. Errors: `Invalid` at `field`.
    pub(super) async fn proved(
        &self,
        viewer: &Viewer,
        password: Password,
        field: &str,
    ) -> FaultResult<Locked> {
        let found = self.own(viewer).await?;
        if !found.has_password() {
            return Ok(found);
        }
        rules::check_given(field, &password)?;
        let purpose = Purpose::Proof(found.user.id);
        if self.knows(purpose, password, Some(&found)).await? {
            Ok(found)
        } else {
            security::note(
                Event::PasswordProof,
                Outcome::Failed,
                Some(viewer.user.id),
                "",
            );
            Err(rules::wrong_password(field).into())
        }
    }

    async fn replace_password(&self, viewer: &Viewer, request: ChangePassword) -> FaultResult<()> {
        let own = self.own(viewer).await?;
        rules::check_change(&request, own.has_password(), &own.user)?;
        let field = "currentPassword";
        let found = self.proved(viewer, request.current_password, field).await?;
        let hash = self.hash(request.new_password).await?;
        let now = self.clock.now();
        let id = found.user.id;
        let changed = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let before = Some(found.password_hash.as_str());
                    let changed = store::password_set(conn, id, before, &hash).await?;
                    // Another change was quicker: what was typed is the current one no longer.
                    let changed = changed.ok_or_else(|| rules::wrong_password(field))?;
                    resets::resets_end(conn, id).await?;
                    tell_of_password(conn, &changed, now).await?;
                    Ok::<_, Fault>(changed)
                })
            })
            .await?;
        self.stay_alone(id, changed.epoch).await
    }

    /// Binds this session to the epoch that has begun and forgets all before it.
    pub(super) async fn stay_alone(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        let bound = self.bind_session(user, epoch).await;
        self.tidy(user, epoch).await;
        bound
    }

    /// Sessions of the epochs before count no more, whether or not this succeeds.
    pub(super) async fn tidy(&self, user: UserId, epoch: i64) {
        if let Err(fault) = self.sessions.end_before(user, epoch).await {
            tracing::warn!(error = chain(&fault), "ended sessions were not deleted");
        }
    }

    async fn places(&self, viewer: &Viewer) -> FaultResult<Vec<SignedInAt>> {
        let this = request::session().as_ref().and_then(session::name);
        let places = self.sessions.of_user(viewer.user.id).await?;
        let mut places: Vec<SignedInAt> = places
            .into_iter()
            .map(|place| SignedInAt {
                id: place.id,
                device: place.device.unwrap_or_else(|| super::device::device("")),
                network: place.network,
                begun_at: place.begun_at.map(Moment::timestamp),
                seen_at: place.seen_at.map(Moment::timestamp),
                current: this == Some(place.id),
            })
            .collect();
        places.sort_by_key(|place| !place.current);
        Ok(places)
    }

    async fn be_alone(&self, viewer: &Viewer) -> FaultResult<()> {
        let id = viewer.user.id;
        let epoch: Option<i64> = self
            .db
            .write(move |conn| Box::pin(async move { store::epoch_begin(conn, id).await }))
            .await?;
        let epoch = epoch.ok_or(AppError::SignInRequired)?;
        let begun_at = match request::session() {
            Some(session) => session::begun_at(&session).await,
            None => None,
        };
        let begun_at = begun_at.unwrap_or_else(|| self.clock.now());
        let bound = self.bind_session_since(id, epoch, begun_at).await;
        self.tidy(id, epoch).await;
        bound
    }

    pub(super) async fn queue_reset(
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
        // Others have asked for this account: enough mails with a link are on their way.
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

    async fn reset_by(&self, request: ResetPassword) -> FaultResult<CameIn> {
        self.limits
            .take(&Key::ResetFrom(request::network()))
            .await?;
        let now = self.clock.now();
        // Looked at first, so that what is no link costs no hashing.
        let owner = resets::reset_owner(self.db.reads(), &request.token, now).await?;
        let owner = owner.ok_or_else(rules::dead_token)?;
        rules::check_password("password", &request.password, &owner.user)?;
        let proof = self.code_for(&owner, request.code.as_deref()).await?;
        let hash = self.hash(request.password).await?;
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
            self.code_was_right(tries).await;
        }
        self.stay_alone(user.id, epoch).await?;
        Ok(CameIn { user, next })
    }

    async fn end_for_operator(&self, viewer: &Viewer, email: &str) -> FaultResult<User> {
        let operator = viewer.user.id;
        let standing = self.operators.standing(self.db.reads(), operator).await?;
        if !standing.may_act() {
            return Err(standing.refusal(AppError::Forbidden).into());
        }
        rules::check_email(email)?;
        let ended = end_sessions_of(&self.db, &*self.sessions, email).await?;
        let ended =
            ended.ok_or_else(|| AppError::invalid("email", "No account has this address."))?;
        tracing::info!(%operator, user = %ended.id, "an operator signs somebody out everywhere");
        Ok(ended)
    }
}

/// Ends every session of the account with this address, on the word of an operator. Returns the
/// account. None: there is none.
pub async fn end_sessions_of(
    db: &Db,
    sessions: &dyn Sessions,
    email: &str,
) -> FaultResult<Option<User>> {
    let found = store::user_find_by_email(db.reads(), &rules::email_key(email)).await?;
    let Some(Locked { user, .. }) = found else {
        return Ok(None);
    };
    let id = user.id;
    let epoch: Option<i64> = db
        .write(move |conn| Box::pin(async move { store::epoch_begin(conn, id).await }))
        .await?;
    if let Some(epoch) = epoch {
        security::note(Event::OperatorSessionsEnd, Outcome::Done, Some(id), "");
        sessions.end_before(id, epoch).await?;
    }
    Ok(epoch.map(|_| user))
}

/// Has the owner told that their password is a new one: if it was not them, they should know.
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
impl AccountCare for AccountsService {
    async fn change_password(&self, viewer: &Viewer, request: ChangePassword) -> AppResult<()> {
        let changed = self.replace_password(viewer, request).await;
        let changed = changed.map_err(AppError::from);
        security::noted(Event::PasswordChange, changed, |()| Some(viewer.user.id))
    }

    async fn sessions(&self, viewer: &Viewer) -> AppResult<Vec<SignedInAt>> {
        Ok(self.places(viewer).await?)
    }

    async fn end_session(&self, viewer: &Viewer, id: SessionId) -> AppResult<()> {
        if request::session().as_ref().and_then(session::name) == Some(id) {
            return self.sign_out().await;
        }
        if self.sessions.end(viewer.user.id, id).await? {
            security::note(Event::SessionEnd, Outcome::Done, Some(viewer.user.id), "");
            Ok(())
        } else {
            Err(AppError::NotFound)
        }
    }

    async fn end_other_sessions(&self, viewer: &Viewer) -> AppResult<()> {
        let alone = self.be_alone(viewer).await.map_err(AppError::from);
        security::noted(Event::OtherSessionsEnd, alone, |()| Some(viewer.user.id))
    }

    async fn end_sessions_of(&self, viewer: &Viewer, request: EndSessionsOf) -> AppResult<()> {
        Ok(self
            .end_for_operator(viewer, &request.email)
            .await
            .map(drop)?)
    }

    async fn is_operator(&self, viewer: &Viewer) -> AppResult<bool> {
        let standing = self.operators.standing(self.db.reads(), viewer.user.id);
        let standing = standing.await.map_err(Fault::from)?;
        Ok(standing != Standing::Member)
    }

    async fn forgot(&self, request: Forgot, next: Option<String>) -> AppResult<()> {
        let queued = self.queue_reset(request, next).await;
        security::noted(Event::PasswordLink, queued.map_err(AppError::from), |()| {
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
        security::noted(Event::PasswordReset, reset, |came| Some(came.user.id))
    }

    async fn send_proof(&self, viewer: &Viewer) -> AppResult<()> {
        let sent = self.send_own_proof(viewer).await.map_err(AppError::from);
        security::noted(Event::EmailLink, sent, |()| Some(viewer.user.id))
    }

    async fn change_email(&self, viewer: &Viewer, request: ChangeEmail) -> AppResult<()> {
        let asked = self.ask_for_change(viewer, request).await;
        security::noted(Event::EmailLink, asked.map_err(AppError::from), |()| {
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
                security::note(event, Outcome::Done, Some(proved.user.id), "");
                Ok(proved.user)
            }
            Err(fault) => security::noted(Event::EmailConfirmation, Err(fault.into()), |_| None),
        }
    }

    async fn verify_by_link(&self, viewer: &Viewer, link: &OrderLink) -> AppResult<()> {
        Ok(self.prove_by_order(viewer, link).await?)
    }

    async fn delete(&self, viewer: &Viewer, request: DeleteAccount) -> AppResult<()> {
        let left = self.leave(viewer, request).await.map_err(AppError::from);
        security::noted(Event::AccountDeletion, left, |()| Some(viewer.user.id))
    }
}
