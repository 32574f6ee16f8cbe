//! Sessions: who a browser's cookie stands for.
//!
//! tower-sessions carries them; the store is ours, over the same database as everything else,
//! and keeps only the hash of a session's id. What reads a session gets the signed-in user with
//! it, so a request costs one query. Signing in and out is the accounts' business.

use crate::{
    clock::SharedClock,
    db::{Conn, Db, parse},
    fault::chain,
};
use app::{
    accounts::{User, Viewer},
    error::{AppError, AppResult},
};
use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Row, any::AnyRow, query};
use std::fmt::Write;
use tower_sessions::{
    Expiry, Session, SessionManagerLayer,
    cookie::SameSite,
    session::{self, Id, Record},
    session_store::{Error, Result, SessionStore},
};

/// The signed-in user's id, in a session.
pub const USER_ID: &str = "user_id";
/// The signed-in user, as the store found them on loading.
const USER: &str = "user";
/// When the session was last prolonged, in seconds.
const TOUCHED: &str = "touched";
/// How long a session lives without being used.
const IDLE_DAYS: i64 = 30;
/// A session is prolonged at most once in this time: not every request writes.
const TOUCH_EVERY_SECONDS: i64 = 24 * 3600;

/// Sessions in the database.
#[derive(Clone)]
pub struct DbSessions {
    db: Db,
    clock: SharedClock,
}

impl std::fmt::Debug for DbSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DbSessions")
    }
}

/// The layer that reads and sets the cookie. It is persistent, so that closing the tab does not
/// sign out, and `Lax`, so that the way back from a bank's page does not either.
pub fn layer(db: Db, clock: SharedClock, secure: bool) -> SessionManagerLayer<DbSessions> {
    SessionManagerLayer::new(DbSessions { db, clock })
        .with_name(if secure { "__Host-sid" } else { "sid" })
        .with_secure(secure)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(time::Duration::days(IDLE_DAYS)))
}

/// Whom this session stands for; prolongs it once a day.
///
/// Errors: `Unavailable`, if the database does not say. Who is signed in must not be told that they
/// are not.
pub async fn viewer(session: &Session, clock: &SharedClock) -> AppResult<Option<Viewer>> {
    let user: Option<User> = match session.get(USER).await {
        Ok(user) => user,
        Err(error) => {
            tracing::error!(error = chain(&error), "a session could not be read");
            if matches!(error, session::Error::Store(Error::Backend(_))) {
                return Err(AppError::Unavailable);
            }
            None
        }
    };
    let Some(user) = user else {
        return Ok(None);
    };
    let now = clock.now().as_second();
    let touched: i64 = session.get(TOUCHED).await.ok().flatten().unwrap_or(0);
    if now - touched > TOUCH_EVERY_SECONDS
        && let Err(error) = session.insert(TOUCHED, now).await
    {
        tracing::warn!(error = chain(&error), "a session could not be prolonged");
    }
    Ok(Some(Viewer { user }))
}

/// Deletes what nobody can use any more. Returns how many.
pub async fn sessions_delete_expired(
    db: &Db,
    clock: &SharedClock,
) -> std::result::Result<u64, sqlx::Error> {
    let now = clock.now_micros();
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

fn hash(id: &Id) -> String {
    Sha256::digest(id.to_string())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn backend(error: &sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}

/// A session as it is written: never with its id, nor with the user that loading adds.
struct Written {
    id_hash: String,
    user_id: Option<String>,
    record: String,
    expires_at: i64,
}

impl Written {
    fn new(session: &Record) -> Result<Self> {
        let mut data = session.data.clone();
        data.remove(USER);
        let user_id = data.get(USER_ID).and_then(Value::as_str).map(str::to_owned);
        let record =
            serde_json::to_string(&data).map_err(|error| Error::Encode(error.to_string()))?;
        let expires_at = session
            .expiry_date
            .unix_timestamp()
            .saturating_mul(1_000_000);
        Ok(Self {
            id_hash: hash(&session.id),
            user_id,
            record,
            expires_at,
        })
    }
}

/// Writes a session; with `only_new`, only if there is none of this id. Returns whether it did.
async fn session_write(
    conn: &mut Conn,
    written: Written,
    only_new: bool,
) -> std::result::Result<bool, sqlx::Error> {
    let conflict = if only_new {
        "DO NOTHING"
    } else {
        "DO UPDATE SET user_id = excluded.user_id, record = excluded.record, \
         expires_at = excluded.expires_at"
    };
    let sql = format!(
        "INSERT INTO sessions (id_hash, user_id, record, expires_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id_hash) {conflict}"
    );
    let done = query(AssertSqlSafe(sql))
        .bind(written.id_hash)
        .bind(written.user_id)
        .bind(written.record)
        .bind(written.expires_at)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &AnyRow, id: &Id) -> std::result::Result<Record, sqlx::Error> {
    let decode = |error: serde_json::Error| sqlx::Error::Decode(error.into());
    let data: String = row.try_get("record")?;
    let mut data: std::collections::HashMap<String, Value> =
        serde_json::from_str(&data).map_err(decode)?;
    if row.try_get::<Option<String>, _>("user_id")?.is_some() {
        let user = User {
            id: parse(row, "user_id")?,
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            version: row.try_get("version")?,
        };
        data.insert(USER.to_owned(), serde_json::to_value(user).map_err(decode)?);
    }
    let expires_at: i64 = row.try_get("expires_at")?;
    let expiry_date = time::OffsetDateTime::from_unix_timestamp(expires_at / 1_000_000)
        .map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Record {
        id: *id,
        data,
        expiry_date,
    })
}

#[async_trait]
impl SessionStore for DbSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        loop {
            let written = Written::new(record)?;
            let made = self
                .db
                .write(|conn| Box::pin(session_write(conn, written, true)))
                .await
                .map_err(|error: sqlx::Error| backend(&error))?;
            if made {
                return Ok(());
            }
            record.id = Id::default();
        }
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let written = Written::new(record)?;
        self.db
            .write(|conn| Box::pin(session_write(conn, written, false)))
            .await
            .map(|_| ())
            .map_err(|error: sqlx::Error| backend(&error))
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let row = query(
            "SELECT s.record, s.expires_at, s.user_id, u.email, u.name, u.version \
             FROM sessions s LEFT JOIN users u ON u.id = s.user_id \
             WHERE s.id_hash = $1 AND s.expires_at > $2",
        )
        .bind(hash(id))
        .bind(self.clock.now_micros())
        .fetch_optional(self.db.reads())
        .await
        .map_err(|error| backend(&error))?;
        row.map(|row| read(&row, id))
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
