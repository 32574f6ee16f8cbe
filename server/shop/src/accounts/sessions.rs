//! The sessions of accounts: binding the request's own, listing them, ending them.
//!
//! Sessions are ended by beginning the next epoch of the account in a transaction (see `session/`). So no
//! crash leaves one of them valid, and a concurrent sign-in that has checked the previous password gets
//! no valid session. Their rows are deleted afterwards. Storing sessions is `platform::session`.

use super::{
    AccountsService,
    device::device,
    rules,
    store::{self, Account},
};
use model::{
    Moment,
    accounts::{SignedInAt, User, Viewer},
    error::AppError,
    ids::UserId,
};
use platform::{
    db::Db,
    fault::{FaultResult, chain},
    network::network_prefix,
    request,
    security::{self, Event, Outcome},
    session::{self, Sessions, SignedIn},
};
use std::time::Duration;

/// How long a sign-in proves the identity of a user without a password.
const RECENTLY: Duration = Duration::from_mins(30);

impl AccountsService {
    /// Signs the request's session in to the account of `user` in `epoch`. The caller has authenticated
    /// the user.
    pub(super) async fn bind_session(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        self.bind_session_begun_at(user, epoch, self.clock.now())
            .await
    }

    /// As [`Self::bind_session`], for a user who signed in at `begun_at`, from which the session's maximum
    /// lifetime counts.
    async fn bind_session_begun_at(
        &self,
        user: UserId,
        epoch: i64,
        begun_at: Moment,
    ) -> FaultResult<()> {
        let Some(session) = request::session() else {
            return Ok(());
        };
        let signed_in = SignedIn {
            user_id: user,
            epoch,
            begun_at,
            device: device(&request::agent()),
            network: network_prefix(request::address()),
        };
        session::bind(&session, &signed_in)
            .await
            .map_err(|error| session::failed("Session could not be written", error))?;
        self.remember_device(user, epoch).await;
        Ok(())
    }

    /// Binds this session to the new epoch and deletes those of earlier epochs.
    pub(crate) async fn rebind_session(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        let bound = self.bind_session(user, epoch).await;
        self.delete_ended_sessions(user, epoch).await;
        bound
    }

    /// Deletes the sessions of earlier epochs. They are invalid even if this fails.
    pub(crate) async fn delete_ended_sessions(&self, user: UserId, epoch: i64) {
        if let Err(fault) = self.sessions.end_before(user, epoch).await {
            tracing::warn!(error = chain(&fault), "Ended sessions were not deleted");
        }
    }

    /// The viewer's sessions, this one first.
    pub(crate) async fn list_sessions(&self, viewer: &Viewer) -> FaultResult<Vec<SignedInAt>> {
        let this = request::session().as_ref().and_then(session::public_id);
        let sessions = self.sessions.list(viewer.user.id).await?;
        let mut sessions: Vec<SignedInAt> = sessions
            .into_iter()
            .map(|session| SignedInAt {
                id: session.id,
                device: session.device.unwrap_or_else(|| device("")),
                network: session.network,
                begun_at: session.begun_at.map(Moment::timestamp),
                seen_at: session.seen_at.map(Moment::timestamp),
                current: this == Some(session.id),
            })
            .collect();
        sessions.sort_by_key(|session| !session.current);
        Ok(sessions)
    }

    /// Ends all sessions of the viewer except this one.
    pub(crate) async fn end_other_sessions(&self, viewer: &Viewer) -> FaultResult<()> {
        let id = viewer.user.id;
        let epoch: Option<i64> = self
            .db
            .write(move |conn| Box::pin(async move { store::begin_epoch(conn, id).await }))
            .await?;
        let epoch = epoch.ok_or(AppError::SignInRequired)?;
        let begun_at = match request::session() {
            Some(session) => session::begun_at(&session).await,
            None => None,
        };
        let begun_at = begun_at.unwrap_or_else(|| self.clock.now());
        let bound = self.bind_session_begun_at(id, epoch, begun_at).await;
        self.delete_ended_sessions(id, epoch).await;
        bound
    }

    /// Whether this session was signed in within the last 30 minutes.
    pub(crate) async fn signed_in_recently(&self) -> bool {
        let Some(session) = request::session() else {
            return false;
        };
        let begun_at = session::begun_at(&session).await;
        begun_at.unwrap_or(Moment::EPOCH) > self.clock.now() - RECENTLY
    }

    /// As [`end_sessions_of`], if the viewer may act as an operator.
    pub(crate) async fn end_sessions_of(&self, viewer: &Viewer, email: &str) -> FaultResult<User> {
        let operator = viewer.user.id;
        let status = self.operator_status(viewer).await?;
        if !status.may_act() {
            return Err(status.refusal(AppError::Forbidden).into());
        }
        rules::check_email(email)?;
        let user = end_sessions_of(&self.db, &*self.sessions, email).await?;
        let user =
            user.ok_or_else(|| AppError::invalid("email", "No account has this address."))?;
        tracing::info!(%operator, user = %user.id, "Operator ended all sessions of an account");
        Ok(user)
    }
}

/// Ends all sessions of the account with this address. Returns its user. None: no such account.
pub async fn end_sessions_of(
    db: &Db,
    sessions: &dyn Sessions,
    email: &str,
) -> FaultResult<Option<User>> {
    let account = store::find_by_email(db.reads(), &rules::email_key(email)).await?;
    let Some(Account { user, .. }) = account else {
        return Ok(None);
    };
    let id = user.id;
    let epoch: Option<i64> = db
        .write(move |conn| Box::pin(async move { store::begin_epoch(conn, id).await }))
        .await?;
    if let Some(epoch) = epoch {
        security::record(Event::OperatorSessionsEnd, Outcome::Done, Some(id), "");
        sessions.end_before(id, epoch).await?;
    }
    Ok(epoch.map(|_| user))
}
