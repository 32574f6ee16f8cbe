//! Sessions: which user a browser's cookie belongs to. Signing in and out is in `shop::accounts`.
//!
//! Built on tower-sessions with our own store in the shop's database, which keeps only the hash of a
//! session's id. Loading a session also loads the signed-in user, so a request costs one query, or none
//! with Redis (`in_redis.rs`).
//!
//! A session is valid only in its user's current epoch. A new password or signing out everywhere begins
//! a new epoch, which ends all earlier sessions in the same transaction, wherever they are cached. A
//! session expires 30 days after its last use and 90 days after the sign-in. [`Sessions`] has the
//! operations that tower-sessions does not offer: list, end, prolong.

mod in_redis;

pub use in_redis::CachedSessions;

use crate::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult, chain},
    network::network_prefix,
    request,
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::{User, Viewer},
    error::{AppError, AppResult},
    ids::{SessionId, UserId},
    micros,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{query, query_as};
use sqlx_macros::FromRow;
use std::{collections::HashMap, time::Duration};
use tower_sessions_core::{
    Session,
    session::{self, Id, Record},
    session_store::{Error, Result, SessionStore},
};
use uuid::Uuid;

/// Key of the [`SignedIn`] in a session that is being written.
const SIGNED_IN: &str = "signed_in";
/// Key of the signed-in user, added by the store on loading.
const USER: &str = "user";
/// Key of the time of the sign-in, in microseconds, added by the store on loading.
const BEGUN_AT: &str = "begun_at";
/// Key of the time of the last use, in microseconds, added by the store on loading.
const SEEN_AT: &str = "seen_at";
/// A session expires after this time without use.
pub const IDLE: time::Duration = time::Duration::days(30);
/// A session expires after this time from the sign-in, used or not.
const LIFETIME_MAX: Duration = Duration::from_hours(90 * 24);
/// The use of a session is recorded at most once in this time, so that not every request writes.
const SEEN_EVERY: Duration = Duration::from_hours(1);
/// A script that signs in can create any number of sessions.
const LISTED_MAX: i64 = 100;

/// The data that signing in writes into a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedIn {
    pub user_id: UserId,
    /// The user's epoch when their password was checked.
    pub epoch: i64,
    pub begun_at: Moment,
    /// Browser and system, such as `Firefox on Windows`.
    pub device: String,
    /// The network prefix, such as `192.0.2.0/24`.
    #[serde(default)]
    pub network: Option<String>,
}

/// A session of a user, as listed. Fields that are not known are `None`.
#[derive(Debug, Clone)]
pub struct UserSession {
    /// Identifies the session; its secret id cannot be derived from it.
    pub id: SessionId,
    pub begun_at: Option<Moment>,
    /// Last use, to the hour.
    pub seen_at: Option<Moment>,
    /// Browser and system.
    pub device: Option<String>,
    /// The network prefix of the last use.
    pub network: Option<String>,
}

/// A use of a session.
#[derive(Debug, Clone)]
pub struct SessionUse {
    pub at: Moment,
    /// The session's new time of expiry.
    pub expires_at: Moment,
    /// The network prefix, if known.
    pub network: Option<String>,
}

/// Operations of a session store beyond those of tower-sessions.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Lists the valid sessions of a user, most recently used first; at most 100.
    async fn list(&self, user: UserId) -> FaultResult<Vec<UserSession>>;

    /// Ends a session of a user. False: they have no session with this id.
    async fn end(&self, user: UserId, id: SessionId) -> FaultResult<bool>;

    /// Deletes a user's sessions of earlier epochs, which are invalid already.
    async fn end_before(&self, user: UserId, epoch: i64) -> FaultResult<()>;

    /// Invalidates cached data of a user after a change of their row or epoch.
    async fn user_changed(&self, user: UserId);

    /// Records a use and prolongs the session. Does nothing if it has ended.
    async fn record_use(&self, id: Id, seen: SessionUse) -> FaultResult<()>;
}

/// Sessions in the database.
#[derive(Clone)]
pub struct DbSessions {
    db: Db,
    clock: SharedClock,
}

impl DbSessions {
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }
}

impl std::fmt::Debug for DbSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DbSessions")
    }
}

/// The signed-in user of this session. An unreadable session counts as anonymous.
///
/// Errors: `Unavailable`, if the database fails: a signed-in user must not be treated as anonymous.
pub async fn viewer(session: &Session) -> AppResult<Option<Viewer>> {
    let user: Option<User> = match session.get(USER).await {
        Ok(user) => user,
        Err(error) => match failed("Session could not be read", error) {
            Fault::Refused(error) => return Err(error),
            unreadable => {
                tracing::error!(
                    error = chain(&unreadable),
                    "Session unreadable; treating as anonymous"
                );
                None
            }
        },
    };
    Ok(user.map(|user| Viewer { user }))
}

/// The fault for a failed session operation: `Unavailable` if the database fails, else unexpected.
pub fn failed(what: &'static str, error: session::Error) -> Fault {
    if matches!(error, session::Error::Store(Error::Backend(_))) {
        tracing::warn!(error = chain(&error), what);
        return AppError::Unavailable.into();
    }
    Fault::unexpected(what, error)
}

/// Binds the session to a user under a new id, which prevents session fixation. The old session ends here;
/// the new one is saved with the response. If the database fails in between, the user is not signed in
/// and the response is an error.
pub async fn bind(
    session: &Session,
    signed_in: &SignedIn,
) -> std::result::Result<(), session::Error> {
    session.cycle_id().await?;
    session.insert(SIGNED_IN, signed_in).await
}

/// When the user of this session signed in, if known.
pub async fn begun_at(session: &Session) -> Option<Moment> {
    let begun: Option<i64> = session.get(BEGUN_AT).await.ok().flatten();
    known(Moment::from_micros(begun?))
}

/// The session's id in [`UserSession`]. None: it has not been saved.
pub fn public_id(session: &Session) -> Option<SessionId> {
    session.id().map(|id| to_public_id(&digest(&id)))
}

/// Prolongs a session that was not prolonged within the last hour. This is a separate write before the
/// request is handled, so that its failure cannot fail a completed request. Returns the session's id if
/// its cookie must be set again.
pub async fn prolong(
    session: &Session,
    sessions: &dyn Sessions,
    clock: &SharedClock,
) -> Option<Id> {
    let id = session.id()?;
    let now = clock.now();
    let seen_at: i64 = session.get(SEEN_AT).await.ok().flatten().unwrap_or(0);
    if now.since(Moment::from_micros(seen_at)) < SEEN_EVERY {
        return None;
    }
    let seen = SessionUse {
        at: now,
        expires_at: now + IDLE.unsigned_abs(),
        network: network_prefix(request::address()),
    };
    if let Err(fault) = sessions.record_use(id, seen).await {
        tracing::warn!(error = chain(&fault), "Session could not be prolonged");
        return None;
    }
    Some(id)
}

/// Deletes expired sessions. Returns how many.
pub async fn delete_expired(db: &Db, clock: &SharedClock) -> std::result::Result<u64, sqlx::Error> {
    let now = clock.now();
    db.write(move |conn| {
        Box::pin(async move {
            let done = query("DELETE FROM sessions WHERE expires_at <= $1")
                .bind(now)
                .execute(conn)
                .await?;
            Ok(done.rows_affected())
        })
    })
    .await
}

fn digest(id: &Id) -> [u8; 32] {
    Sha256::digest(id.to_string()).into()
}

/// The hash of a session's id, under which it is stored.
pub(crate) fn hash(id: &Id) -> String {
    hex::encode(digest(id))
}

/// The signed-in user of a loaded session.
pub(crate) fn user_id(session: &Record) -> Option<UserId> {
    session.data.get(USER)?.get("id")?.as_str()?.parse().ok()
}

/// The public id is the first half of the hash, from which the secret id cannot be derived.
fn to_public_id(digest: &[u8; 32]) -> SessionId {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    SessionId(Uuid::from_bytes(half))
}

fn backend(error: &sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}

/// The data to store as JSON: without the sign-in, which has its own columns, and without what loading
/// adds.
fn record(session: &Record) -> Result<String> {
    let mut data = session.data.clone();
    for added in [SIGNED_IN, USER, BEGUN_AT, SEEN_AT] {
        data.remove(added);
    }
    serde_json::to_string(&data).map_err(|error| Error::Encode(error.to_string()))
}

fn expires_at(session: &Record) -> Moment {
    Moment::from_seconds(session.expiry_date.unix_timestamp())
}

/// Rows of earlier versions have 0 where a time is not known.
fn known(at: Moment) -> Option<Moment> {
    Some(at).filter(|at| *at > Moment::EPOCH)
}

/// The values of a new row.
struct NewSession {
    id_hash: String,
    record: String,
    expires_at: Moment,
    signed_in: Option<SignedIn>,
}

impl NewSession {
    fn of(session: &Record) -> Result<Self> {
        let signed_in = session.data.get(SIGNED_IN).cloned();
        let signed_in = signed_in
            .map(serde_json::from_value::<SignedIn>)
            .transpose()
            .map_err(|error| Error::Encode(error.to_string()))?;
        let expires_at = expires_at(session);
        let ends_at = signed_in.as_ref().map(|of| of.begun_at + LIFETIME_MAX);
        Ok(Self {
            id_hash: hash(&session.id),
            record: record(session)?,
            expires_at: ends_at.map_or(expires_at, |ends_at| ends_at.min(expires_at)),
            signed_in,
        })
    }
}

// A used session expires at `$2`, but at most `$3` after its sign-in.
const SAVE: &str = "UPDATE sessions SET record = $4, expires_at = CASE WHEN user_id IS NOT NULL \
     AND begun_at + $3 < $2 THEN begun_at + $3 ELSE $2 END WHERE id_hash = $1";
const SEEN: &str = "UPDATE sessions SET seen_at = $4, network = COALESCE($5, network), expires_at = CASE WHEN user_id IS NOT NULL \
     AND begun_at + $3 < $2 THEN begun_at + $3 ELSE $2 END WHERE id_hash = $1 AND seen_at < $4";

/// Inserts a session. False: the id is in use.
async fn insert(conn: &mut Conn, new: NewSession) -> std::result::Result<bool, sqlx::Error> {
    let of = new.signed_in;
    let begun_at = of.as_ref().map_or(Moment::EPOCH, |of| of.begun_at);
    let done = query(
        "INSERT INTO sessions (id_hash, user_id, record, expires_at, epoch, begun_at, seen_at, \
         device, network) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8) ON CONFLICT (id_hash) DO NOTHING",
    )
    .bind(new.id_hash)
    .bind(of.as_ref().map(|of| of.user_id))
    .bind(new.record)
    .bind(new.expires_at)
    .bind(of.as_ref().map_or(0, |of| of.epoch))
    .bind(begun_at)
    .bind(of.as_ref().map(|of| of.device.clone()))
    .bind(of.and_then(|of| of.network))
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A session and its signed-in user.
#[derive(FromRow)]
struct SessionRow {
    record: String,
    expires_at: Moment,
    begun_at: Moment,
    seen_at: Moment,
    user_id: Option<UserId>,
    email: Option<String>,
    name: Option<String>,
    email_verified_at: Option<Moment>,
    version: Option<i64>,
}

impl SessionRow {
    fn into_record(self, id: Id) -> std::result::Result<Record, sqlx::Error> {
        let decode = |error: serde_json::Error| sqlx::Error::Decode(error.into());
        let mut data: HashMap<String, Value> =
            serde_json::from_str(&self.record).map_err(decode)?;
        let seconds = self.expires_at.seconds();
        let expiry_date = time::OffsetDateTime::from_unix_timestamp(seconds)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        let times = [(BEGUN_AT, self.begun_at), (SEEN_AT, self.seen_at)];
        if let Some(user) = self.user() {
            data.insert(USER.to_owned(), serde_json::to_value(user).map_err(decode)?);
            for (name, at) in times {
                data.insert(name.to_owned(), at.micros().into());
            }
        }
        Ok(Record {
            id,
            data,
            expiry_date,
        })
    }

    fn user(self) -> Option<User> {
        Some(User {
            id: self.user_id?,
            email: self.email?,
            name: self.name?,
            email_verified: self.email_verified_at.is_some(),
            version: self.version?,
        })
    }
}

#[async_trait]
impl SessionStore for DbSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        loop {
            let new = NewSession::of(record)?;
            let made = self
                .db
                .write(|conn| Box::pin(insert(conn, new)))
                .await
                .map_err(|error: sqlx::Error| backend(&error))?;
            if made {
                return Ok(());
            }
            record.id = Id::default();
        }
    }

    /// Does not recreate a session that has ended in the meantime.
    async fn save(&self, session: &Record) -> Result<()> {
        let (id_hash, expires_at) = (hash(&session.id), expires_at(session));
        let record = record(session)?;
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    query(SAVE)
                        .bind(id_hash)
                        .bind(expires_at)
                        .bind(micros(LIFETIME_MAX))
                        .bind(record)
                        .execute(conn)
                        .await
                        .map(|_| ())
                })
            })
            .await
            .map_err(|error: sqlx::Error| backend(&error))
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let row = query_as::<_, SessionRow>(
            "SELECT s.record, s.expires_at, s.user_id, s.begun_at, s.seen_at, u.email, u.name, \
             u.email_verified_at, u.version FROM sessions s LEFT JOIN users u ON u.id = s.user_id \
             WHERE s.id_hash = $1 AND s.expires_at > $2 \
             AND (s.user_id IS NULL OR (s.epoch = u.session_epoch AND s.begun_at > $3))",
        )
        .bind(hash(id))
        .bind(self.clock.now())
        .bind(self.clock.now() - LIFETIME_MAX)
        .fetch_optional(self.db.reads())
        .await
        .map_err(|error| backend(&error))?;
        row.map(|row| row.into_record(*id))
            .transpose()
            .map_err(|error| backend(&error))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let id_hash = hash(id);
        self.db
            .write(|conn| {
                Box::pin(async move {
                    query("DELETE FROM sessions WHERE id_hash = $1")
                        .bind(id_hash)
                        .execute(conn)
                        .await
                        .map(|_| ())
                })
            })
            .await
            .map_err(|error: sqlx::Error| backend(&error))
    }
}

#[async_trait]
impl Sessions for DbSessions {
    async fn list(&self, user: UserId) -> FaultResult<Vec<UserSession>> {
        let rows = query_as::<_, UserSessionRow>(
            "SELECT s.id_hash, s.begun_at, s.seen_at, s.device, s.network FROM sessions s \
             JOIN users u ON u.id = s.user_id AND u.session_epoch = s.epoch \
             WHERE s.user_id = $1 AND s.expires_at > $2 AND s.begun_at > $4 \
             ORDER BY s.seen_at DESC, s.begun_at DESC, s.id_hash LIMIT $3",
        )
        .bind(user)
        .bind(self.clock.now())
        .bind(LISTED_MAX)
        .bind(self.clock.now() - LIFETIME_MAX)
        .fetch_all(self.db.reads())
        .await?;
        Ok(rows
            .into_iter()
            .map(UserSession::try_from)
            .collect::<std::result::Result<_, _>>()?)
    }

    async fn end(&self, user: UserId, id: SessionId) -> FaultResult<bool> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let done = query(
                        "DELETE FROM sessions WHERE user_id = $1 AND substr(id_hash, 1, 32) = $2",
                    )
                    .bind(user)
                    .bind(id.0.simple().to_string())
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    async fn end_before(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    query("DELETE FROM sessions WHERE user_id = $1 AND epoch < $2")
                        .bind(user)
                        .bind(epoch)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Every request reads the database: nothing is cached.
    async fn user_changed(&self, _: UserId) {}

    async fn record_use(&self, id: Id, seen: SessionUse) -> FaultResult<()> {
        let id_hash = hash(&id);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    query(SEEN)
                        .bind(id_hash)
                        .bind(seen.expires_at)
                        .bind(micros(LIFETIME_MAX))
                        .bind(seen.at)
                        .bind(seen.network)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}

#[derive(FromRow)]
struct UserSessionRow {
    id_hash: String,
    begun_at: Moment,
    seen_at: Moment,
    device: Option<String>,
    network: Option<String>,
}

impl TryFrom<UserSessionRow> for UserSession {
    type Error = sqlx::Error;

    fn try_from(row: UserSessionRow) -> std::result::Result<Self, sqlx::Error> {
        let half = row.id_hash.get(..32).unwrap_or_default();
        let id = Uuid::try_parse(half).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Self {
            id: SessionId(id),
            begun_at: known(row.begun_at),
            seen_at: known(row.seen_at),
            device: row.device,
            network: row.network,
        })
    }
}
