//! A cache of sessions in Redis, shared by the processes of a shop. Entries expire after a minute; the
//! database is authoritative.
//!
//! A change of a session or its user removes the cached entries. So that a read that began before the
//! change cannot write stale data afterwards, the change leaves a marker: in place of the session, or for
//! the user. If Redis is unavailable during a change, stale entries last a minute at most.

use super::{self as session, DbSessions, SessionUse, Sessions, UserSession};
use crate::redis_client::{Redis, RedisUnavailable};
use crate::{
    clock::SharedClock,
    db::Db,
    fault::{FaultResult, chain},
};
use async_trait::async_trait;
use model::ids::{SessionId, UserId};
use redis::Script;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashMap, sync::LazyLock, time::Duration};
use tower_sessions_core::{
    session::{Id, Record},
    session_store::{Result, SessionStore},
};

/// How long an entry is cached.
const CACHED_FOR: Duration = Duration::from_mins(1);
/// How long a marker stays: longer than any read that began before the change.
const MARKED_FOR: Duration = Duration::from_secs(30);
/// The marker in place of a changed session.
const CHANGED: &str = "-";

/// Caches a session, unless it or its user has a marker.
/// Keys: the session, the set of the user's sessions, the user's marker.
static CACHE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end \
         if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end \
         redis.call('SADD', KEYS[2], KEYS[1]) \
         redis.call('PEXPIRE', KEYS[2], ARGV[2]) \
         return 1",
    )
});

/// Removes all sessions of a user and sets the user's marker. Keys: the set of the user's sessions, the
/// marker.
static INVALIDATE_USER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('SET', KEYS[2], '1', 'PX', ARGV[1]) \
         for _, session in ipairs(redis.call('SMEMBERS', KEYS[1])) do \
         redis.call('DEL', session) end \
         return redis.call('DEL', KEYS[1])",
    )
});

/// The cached form of a session, as JSON.
#[derive(Serialize, Deserialize)]
struct CachedSession {
    data: HashMap<String, Value>,
    /// In seconds.
    expires_at: i64,
}

/// Sessions in the database, cached in Redis if there is one.
#[derive(Clone)]
pub struct CachedSessions {
    stored: DbSessions,
    redis: Option<Redis>,
    clock: SharedClock,
}

impl std::fmt::Debug for CachedSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachedSessions")
    }
}

fn session_key(id_hash: &str) -> String {
    format!("stagedoor:session:{id_hash}")
}

fn user_sessions_key(user: &str) -> String {
    format!("stagedoor:sessions-of:{user}")
}

fn user_marker_key(user: &str) -> String {
    format!("stagedoor:user-changed:{user}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl CachedSessions {
    pub fn new(db: Db, clock: SharedClock, redis: Option<Redis>) -> Self {
        Self {
            stored: DbSessions::new(db, clock.clone()),
            redis,
            clock,
        }
    }

    /// Reads an unexpired session from Redis.
    async fn load_cached(&self, id: &Id) -> Option<Record> {
        let redis = self.redis.as_ref()?;
        let mut get = redis::cmd("GET");
        get.arg(session_key(&session::hash(id)));
        let text: Option<String> = redis.ask(&get).await.ok()?;
        let cached: CachedSession = serde_json::from_str(&text?).ok()?;
        let is_valid = cached.expires_at > self.clock.now().seconds();
        let expiry_date = time::OffsetDateTime::from_unix_timestamp(cached.expires_at).ok()?;
        is_valid.then_some(Record {
            id: *id,
            data: cached.data,
            expiry_date,
        })
    }

    async fn cache(&self, record: &Record) {
        let Some(redis) = &self.redis else {
            return;
        };
        let cached = CachedSession {
            data: record.data.clone(),
            expires_at: record.expiry_date.unix_timestamp(),
        };
        let Ok(text) = serde_json::to_string(&cached) else {
            return;
        };
        let user = session::user_id(record).map_or_else(String::new, |user| user.to_string());
        let done: std::result::Result<i64, RedisUnavailable> = redis
            .with(|mut connection| async move {
                CACHE
                    .key(session_key(&session::hash(&record.id)))
                    .key(user_sessions_key(&user))
                    .key(user_marker_key(&user))
                    .arg(text)
                    .arg(millis(CACHED_FOR))
                    .invoke_async(&mut connection)
                    .await
            })
            .await;
        if let Err(error) = done {
            tracing::debug!(error = chain(&error), "Session was not cached in Redis");
        }
    }

    /// Removes a session from the cache and sets its marker.
    async fn invalidate_session(&self, id_hash: &str) {
        let Some(redis) = &self.redis else {
            return;
        };
        let mut set = redis::cmd("SET");
        set.arg(session_key(id_hash))
            .arg(CHANGED)
            .arg("PX")
            .arg(millis(MARKED_FOR));
        if let Err(error) = redis.ask::<()>(&set).await {
            tracing::warn!(
                error = chain(&error),
                "Changed session was not removed from Redis; it expires there within a minute"
            );
        }
    }
}

#[async_trait]
impl SessionStore for CachedSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.stored.create(record).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let saved = self.stored.save(record).await;
        self.invalidate_session(&session::hash(&record.id)).await;
        saved
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        if let Some(record) = self.load_cached(id).await {
            return Ok(Some(record));
        }
        let found = self.stored.load(id).await?;
        if let Some(record) = &found {
            self.cache(record).await;
        }
        Ok(found)
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let deleted = self.stored.delete(id).await;
        self.invalidate_session(&session::hash(id)).await;
        deleted
    }
}

#[async_trait]
impl Sessions for CachedSessions {
    async fn list(&self, user: UserId) -> FaultResult<Vec<UserSession>> {
        self.stored.list(user).await
    }

    async fn end(&self, user: UserId, id: SessionId) -> FaultResult<bool> {
        let ended = self.stored.end(user, id).await;
        // The whole hash, and so the key, is not known here.
        self.user_changed(user).await;
        ended
    }

    async fn end_before(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        let ended = self.stored.end_before(user, epoch).await;
        self.user_changed(user).await;
        ended
    }

    async fn record_use(&self, id: Id, session_use: SessionUse) -> FaultResult<()> {
        let recorded = self.stored.record_use(id, session_use).await;
        self.invalidate_session(&session::hash(&id)).await;
        recorded
    }

    async fn user_changed(&self, user: UserId) {
        let Some(redis) = &self.redis else {
            return;
        };
        let user = user.to_string();
        let done: std::result::Result<i64, RedisUnavailable> = redis
            .with(|mut connection| async move {
                INVALIDATE_USER
                    .key(user_sessions_key(&user))
                    .key(user_marker_key(&user))
                    .arg(millis(MARKED_FOR))
                    .invoke_async(&mut connection)
                    .await
            })
            .await;
        if let Err(error) = done {
            tracing::warn!(
                error = chain(&error),
                "Sessions of a changed user were not removed from Redis; they expire there within a minute"
            );
        }
    }
}
