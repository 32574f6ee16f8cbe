//! The sessions of accounts: binding the request's own, listing them, ending them.
//!
//! Ending sessions begins the next epoch of the account in a transaction (see `session/`), so that no
//! crash leaves a session valid, and a sign-in that has just checked the previous password comes too
//! late. The rows of ended sessions are deleted afterwards. How sessions are stored is not decided here.

use super::{
    AccountsService,
    device::device,
    rules,
    store::{self, Locked},
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

/// How long after signing in an account without a password can be deleted.
const LATELY: Duration = Duration::from_mins(30);

impl AccountsService {
    /// Signs the request's session in to the user's account, whose epoch is `epoch`. The user has proved
    /// who they are.
    pub(super) async fn bind_session(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        self.bind_session_since(user, epoch, self.clock.now()).await
    }

    /// The same for a user who proved it at `begun_at`, from which the session's longest time counts.
    async fn bind_session_since(
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
            .map_err(|error| session::failed("a session could not be written", error))?;
        self.remember_device(user, epoch).await;
        Ok(())
    }

    /// Binds this session to the epoch that has begun, and deletes those of the epochs before.
    pub(crate) async fn stay_alone(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        let bound = self.bind_session(user, epoch).await;
        self.tidy(user, epoch).await;
        bound
    }

    /// Deletes the sessions of the epochs before, which are not valid even if this fails.
    pub(crate) async fn tidy(&self, user: UserId, epoch: i64) {
        if let Err(fault) = self.sessions.end_before(user, epoch).await {
            tracing::warn!(error = chain(&fault), "ended sessions were not deleted");
        }
    }

    /// Where the viewer is signed in, this session first.
    pub(crate) async fn places(&self, viewer: &Viewer) -> FaultResult<Vec<SignedInAt>> {
        let this = request::session().as_ref().and_then(session::name);
        let places = self.sessions.of_user(viewer.user.id).await?;
        let mut places: Vec<SignedInAt> = places
            .into_iter()
            .map(|place| SignedInAt {
                id: place.id,
                device: place.device.unwrap_or_else(|| device("")),
                network: place.network,
                begun_at: place.begun_at.map(Moment::timestamp),
                seen_at: place.seen_at.map(Moment::timestamp),
                current: this == Some(place.id),
            })
            .collect();
        places.sort_by_key(|place| !place.current);
        Ok(places)
    }

    /// Ends all sessions of the viewer except this one.
    pub(crate) async fn be_alone(&self, viewer: &Viewer) -> FaultResult<()> {
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

    /// Whether the session of this request was signed in within the last half hour.
    pub(crate) async fn signed_in_lately(&self) -> bool {
        let Some(session) = request::session() else {
            return false;
        };
        let begun_at = session::begun_at(&session).await;
        begun_at.unwrap_or(Moment::EPOCH) > self.clock.now() - LATELY
    }

    /// Ends all sessions of the account with this address, if the viewer may act as an operator.
    pub(crate) async fn end_for_operator(&self, viewer: &Viewer, email: &str) -> FaultResult<User> {
        let operator = viewer.user.id;
        let standing = self.standing(viewer).await?;
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

/// Ends every session of the account with this address, as an operator asked. Returns the account. None:
/// there is none.
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
        security::record(Event::OperatorSessionsEnd, Outcome::Done, Some(id), "");
        sessions.end_before(id, epoch).await?;
    }
    Ok(epoch.map(|_| user))
}
