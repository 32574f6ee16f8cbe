//! Sessions: who a browser's cookie stands for.
//!
//! tower-sessions carries them; the store is ours, over the same database as everything else,
//! and keeps only the hash of a session's id. What reads a session gets the signed-in user with
//! it, so a request costs one query, or none where there is Redis (`in_redis.rs`). Signing in and out is the accounts' business.
//!
//! A session counts only while it is of its user's epoch, which a new password or signing out
//! everywhere moves on; so all others end in the transaction that means them to, wherever they are
//! kept. It ends by itself once it was not used for 30 days, and 90 days after the sign-in, used or
//! not. [`Sessions`] is what a store can do beyond tower-sessions' own: list, end, prolong.

mod in_redis;

pub use in_redis::KeptSessions;

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

/// Who signed in, in a session that is being written.
const SIGNED_IN: &str = "signed_in";
/// The signed-in user, as the store found them on loading.
const USER: &str = "user";
/// When its user signed in, in microseconds, as the store found it on loading.
const BEGUN_AT: &str = "begun_at";
/// When the session was last used, in microseconds, as the store found it on loading.
const SEEN_AT: &str = "seen_at";
/// How long a session lives without being used.
pub const IDLE: time::Duration = time::Duration::days(30);
/// How long it lives after signing in, however much it is used.
const LASTS: Duration = Duration::from_hours(90 * 24);
/// That a session is used is written down at most once in this time: not every request writes.
const SEEN_EVERY: Duration = Duration::from_hours(1);
/// How many places are listed: somebody who signs in by script has more than they read.
const LISTED_MAX: i64 = 100;

/// What signing in writes into a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedIn {
    /// Who.
    pub user_id: UserId,
    /// The user's epoch when their password was checked.
    pub epoch: i64,
    /// When.
    pub begun_at: Moment,
    /// Browser and system, as a person knows them.
    pub device: String,
    /// The network that they signed in from, without its last part.
    #[serde(default)]
    pub network: Option<String>,
}

/// One place where somebody is signed in.
#[derive(Debug, Clone)]
pub struct Place {
    /// Names it.
    pub id: SessionId,
    /// Since when, if that is known.
    pub begun_at: Option<Moment>,
    /// When it was last used, to the hour, if that is known.
    pub seen_at: Option<Moment>,
    /// Browser and system, if that is known.
    pub device: Option<String>,
    /// The network that it was last used from, without its last part, if that is known.
    pub network: Option<String>,
}

/// That a session is in use.
#[derive(Debug, Clone)]
pub struct Use {
    /// When.
    pub at: Moment,
    /// Until when it lives.
    pub expires_at: Moment,
    /// The network that it is used from, without its last part, if that is known.
    pub network: Option<String>,
}

/// What a store of sessions can do beyond keeping them.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Where this user is signed in, the place used last first; at most 100.
    async fn of_user(&self, user: UserId) -> FaultResult<Vec<Place>>;

    /// Ends one session of this user. False: they have none of this name.
    async fn end(&self, user: UserId, id: SessionId) -> FaultResult<bool>;

    /// Forgets this user's sessions of epochs before this one, which don't count any more.
    async fn end_before(&self, user: UserId, epoch: i64) -> FaultResult<()>;

    /// The user is not as a session may have been told: their name, or which sessions count.
    async fn user_changed(&self, user: UserId);

    /// The session was used, and lives on. One that has ended stays so.
    async fn seen(&self, id: Id, seen: Use) -> FaultResult<()>;
}

/// Sessions in the database.
#[derive(Clone)]
pub struct DbSessions {
    db: Db,
    clock: SharedClock,
}

impl DbSessions {
    /// Sessions in `db`.
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }
}

impl std::fmt::Debug for DbSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DbSessions")
    }
}

/// Whom this session stands for.
///
/// Errors: `Unavailable`, if the database does not say. Who is signed in must not be told that they
/// are not.
pub async fn viewer(session: &Session) -> AppResult<Option<Viewer>> {
    let user: Option<User> = match session.get(USER).await {
        Ok(user) => user,
        Err(error) => match failed("a session could not be read", error) {
            Fault::Refused(error) => return Err(error),
            unreadable => {
                tracing::error!(error = chain(&unreadable), "somebody is taken for nobody");
                None
            }
        },
    };
    Ok(user.map(|user| Viewer { user }))
}

/// Why something could not be done with a session: the database is away, or it is our bug.
pub fn failed(what: &'static str, error: session::Error) -> Fault {
    if matches!(error, session::Error::Store(Error::Backend(_))) {
        tracing::warn!(error = chain(&error), what);
        return AppError::Unavailable.into();
    }
    Fault::unexpected(what, error)
}

/// Binds the session to who signed in, under a new id: one that somebody planted before is worth
/// nothing. The one before ends here and the new one is written with the answer: if the database goes
/// away between the two, nobody is signed in, and the answer says that it failed.
pub async fn bind(
    session: &Session,
    signed_in: &SignedIn,
) -> std::result::Result<(), session::Error> {
    session.cycle_id().await?;
    session.insert(SIGNED_IN, signed_in).await
}

/// When the user of this session signed in, if that is known.
pub async fn begun_at(session: &Session) -> Option<Moment> {
    let begun: Option<i64> = session.get(BEGUN_AT).await.ok().flatten();
    known(Moment::from_micros(begun?))
}

/// The session's name in [`Place`], if there is one.
pub fn name(session: &Session) -> Option<SessionId> {
    session.id().map(|id| named(&digest(&id)))
}

/// Prolongs a session in use, once in a while: in a write of its own before the request is done, so
/// that nothing which has been done is answered with a failure of this. Returns the session's id if
/// its cookie is to be set anew.
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
    let seen = Use {
        at: now,
        expires_at: now + IDLE.unsigned_abs(),
        network: network_prefix(request::address()),
    };
    if let Err(fault) = sessions.seen(id, seen).await {
        tracing::warn!(error = chain(&fault), "a session could not be prolonged");
        return None;
    }
    Some(id)
}

/// Deletes what nobody can use any more. Returns how many.
pub async fn sessions_delete_expired(
    db: &Db,
    clock: &SharedClock,
) -> std::result::Result<u64, sqlx::Error> {
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

/// What a session's id is known by: nothing keeps the id itself.
pub(crate) fn hash(id: &Id) -> String {
    hex::encode(digest(id))
}

/// Whose session this is, if anybody's, as the store found it on loading.
pub(crate) fn user_id(session: &Record) -> Option<UserId> {
    session.data.get(USER)?.get("id")?.as_str()?.parse().ok()
}

/// A session is named by the first half of its hash, from which its id cannot be found.
fn named(digest: &[u8; 32]) -> SessionId {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    SessionId(Uuid::from_bytes(half))
}

fn backend(error: &sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}

/// What of a session is kept as it is: not who signed in, which has columns of its own, nor what
/// loading adds.
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

/// Columns of before have 0 where a time is not known.
fn known(at: Moment) -> Option<Moment> {
    Some(at).filter(|at| *at > Moment::EPOCH)
}

/// A session before it has a row.
struct New {
    id_hash: String,
    record: String,
    expires_at: Moment,
    signed_in: Option<SignedIn>,
}

impl New {
    fn of(session: &Record) -> Result<Self> {
        let signed_in = session.data.get(SIGNED_IN).cloned();
        let signed_in = signed_in
            .map(serde_json::from_value::<SignedIn>)
            .transpose()
            .map_err(|error| Error::Encode(error.to_string()))?;
        let expires_at = expires_at(session);
        let ends_at = signed_in.as_ref().map(|of| of.begun_at + LASTS);
        Ok(Self {
            id_hash: hash(&session.id),
            record: record(session)?,
            expires_at: ends_at.map_or(expires_at, |ends_at| ends_at.min(expires_at)),
            signed_in,
        })
    }
}

// A session that is used lives until `$2`, but no longer than `$3` from its sign-in.
const SAVE: &str = "UPDATE sessions SET record = $4, expires_at = CASE WHEN user_id IS NOT NULL \
     AND begun_at + $3 < $2 THEN begun_at + $3 ELSE $2 END WHERE id_hash = $1";
const SEEN: &str = "UPDATE sessions SET seen_at = $4, network = COALESCE($5, network), expires_at = CASE WHEN user_id IS NOT NULL \
     AND begun_at + $3 < $2 THEN begun_at + $3 ELSE $2 END WHERE id_hash = $1 AND seen_at < $4";

/// Writes a session if there is none of this id. Returns whether it did.
async fn session_insert(conn: &mut Conn, new: New) -> std::result::Result<bool, sqlx::Error> {
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

/// A session, and the account of who is signed in.
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
    /// The record of the session with this id. Errors: the row cannot be read.
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
            let new = New::of(record)?;
            let made = self
                .db
                .write(|conn| Box::pin(session_insert(conn, new)))
                .await
                .map_err(|error: sqlx::Error| backend(&error))?;
            if made {
                return Ok(());
            }
            record.id = Id::default();
        }
    }

    /// A session that has ended meanwhile stays so.
    async fn save(&self, session: &Record) -> Result<()> {
        let (id_hash, expires_at) = (hash(&session.id), expires_at(session));
        let record = record(session)?;
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    query(SAVE)
                        .bind(id_hash)
                        .bind(expires_at)
                        .bind(micros(LASTS))
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
        .bind(self.clock.now() - LASTS)
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
    async fn of_user(&self, user: UserId) -> FaultResult<Vec<Place>> {
        let rows = query_as::<_, PlaceRow>(
            "SELECT s.id_hash, s.begun_at, s.seen_at, s.device, s.network FROM sessions s \
             JOIN users u ON u.id = s.user_id AND u.session_epoch = s.epoch \
             WHERE s.user_id = $1 AND s.expires_at > $2 AND s.begun_at > $4 \
             ORDER BY s.seen_at DESC, s.begun_at DESC, s.id_hash LIMIT $3",
        )
        .bind(user)
        .bind(self.clock.now())
        .bind(LISTED_MAX)
        .bind(self.clock.now() - LASTS)
        .fetch_all(self.db.reads())
        .await?;
        Ok(rows
            .into_iter()
            .map(Place::try_from)
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

    /// The database is asked with every request: there is nothing to forget.
    async fn user_changed(&self, _: UserId) {}

    async fn seen(&self, id: Id, seen: Use) -> FaultResult<()> {
        let id_hash = hash(&id);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    query(SEEN)
                        .bind(id_hash)
                        .bind(seen.expires_at)
                        .bind(micros(LASTS))
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
struct PlaceRow {
    id_hash: String,
    begun_at: Moment,
    seen_at: Moment,
    device: Option<String>,
    network: Option<String>,
}

impl TryFrom<PlaceRow> for Place {
    type Error = sqlx::Error;

    fn try_from(row: PlaceRow) -> std::result::Result<Self, sqlx::Error> {
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
