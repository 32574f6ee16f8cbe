//! Sessions as the processes of a shop share them: the database keeps them, and Redis has those that
//! are in use, for a minute at a time, so that a request need not ask the database who is asking.
//!
//! What changes a session, or its user, takes it out of Redis; the database then says how it is. A
//! read that began before such a change must not put back what it found: a session that was changed
//! leaves a mark in its place, and a user who was changed leaves one of their own. Should Redis be
//! away at that very moment, what it has is a minute old at most.

use super::{self as session, DbSessions, Place, Sessions, Use};
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

/// How long Redis has a session without the database being asked again.
const KEPT: Duration = Duration::from_mins(1);
/// How long a mark of a change stays: longer than any read that began before.
const MARKED: Duration = Duration::from_secs(30);
/// What stands in the place of a session that has changed.
const CHANGED: &str = "-";

/// Keeps what was read, unless the session or its user has changed meanwhile.
/// Keys: the session, the user's sessions, the mark of the user's change.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end \
         if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end \
         redis.call('SADD', KEYS[2], KEYS[1]) \
         redis.call('PEXPIRE', KEYS[2], ARGV[2]) \
         return 1",
    )
});

/// Takes out all sessions of a user who has changed. Keys: the user's sessions, the mark.
static CHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('SET', KEYS[2], '1', 'PX', ARGV[1]) \
         for _, session in ipairs(redis.call('SMEMBERS', KEYS[1])) do \
         redis.call('DEL', session) end \
         return redis.call('DEL', KEYS[1])",
    )
});

/// A session as Redis has it.
#[derive(Serialize, Deserialize)]
struct Kept {
    data: HashMap<String, Value>,
    /// In seconds.
    expires_at: i64,
}

/// Sessions in the database, and in Redis if there is one.
#[derive(Clone)]
pub struct KeptSessions {
    all: DbSessions,
    redis: Option<Redis>,
    clock: SharedClock,
}

impl std::fmt::Debug for KeptSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptSessions")
    }
}

fn place(id_hash: &str) -> String {
    format!("stagedoor:session:{id_hash}")
}

fn sessions_of(user: &str) -> String {
    format!("stagedoor:sessions-of:{user}")
}

fn mark_of(user: &str) -> String {
    format!("stagedoor:user-changed:{user}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl KeptSessions {
    /// The sessions of `db`, those in use in `redis` too.
    pub fn new(db: Db, clock: SharedClock, redis: Option<Redis>) -> Self {
        Self {
            all: DbSessions::new(db, clock.clone()),
            redis,
            clock,
        }
    }

    /// What Redis has, if it has it and it lives.
    async fn recall(&self, id: &Id) -> Option<Record> {
        let redis = self.redis.as_ref()?;
        let mut get = redis::cmd("GET");
        get.arg(place(&session::hash(id)));
        let text: Option<String> = redis.ask(&get).await.ok()?;
        let kept: Kept = serde_json::from_str(&text?).ok()?;
        let lives = kept.expires_at > self.clock.now().seconds();
        let expiry_date = time::OffsetDateTime::from_unix_timestamp(kept.expires_at).ok()?;
        lives.then_some(Record {
            id: *id,
            data: kept.data,
            expiry_date,
        })
    }

    async fn keep(&self, record: &Record) {
        let Some(redis) = &self.redis else {
            return;
        };
        let kept = Kept {
            data: record.data.clone(),
            expires_at: record.expiry_date.unix_timestamp(),
        };
        let Ok(text) = serde_json::to_string(&kept) else {
            return;
        };
        let user = session::user_id(record).map_or_else(String::new, |user| user.to_string());
        let done: std::result::Result<i64, RedisUnavailable> = redis
            .with(|mut connection| async move {
                KEEP.key(place(&session::hash(&record.id)))
                    .key(sessions_of(&user))
                    .key(mark_of(&user))
                    .arg(text)
                    .arg(millis(KEPT))
                    .invoke_async(&mut connection)
                    .await
            })
            .await;
        if let Err(error) = done {
            tracing::debug!(error = chain(&error), "a session was not kept in Redis");
        }
    }

    /// This session is not as Redis may have it.
    async fn session_changed(&self, id_hash: &str) {
        let Some(redis) = &self.redis else {
            return;
        };
        let mut mark = redis::cmd("SET");
        mark.arg(place(id_hash))
            .arg(CHANGED)
            .arg("PX")
            .arg(millis(MARKED));
        if let Err(error) = redis.ask::<()>(&mark).await {
            tracing::warn!(
                error = chain(&error),
                "Redis was not told of a session's change; it forgets the session within a minute"
            );
        }
    }
}

#[async_trait]
impl SessionStore for KeptSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.all.create(record).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let saved = self.all.save(record).await;
        self.session_changed(&session::hash(&record.id)).await;
        saved
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        if let Some(record) = self.recall(id).await {
            return Ok(Some(record));
        }
        let found = self.all.load(id).await?;
        if let Some(record) = &found {
            self.keep(record).await;
        }
        Ok(found)
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let deleted = self.all.delete(id).await;
        self.session_changed(&session::hash(id)).await;
        deleted
    }
}

#[async_trait]
impl Sessions for KeptSessions {
    async fn of_user(&self, user: UserId) -> FaultResult<Vec<Place>> {
        self.all.of_user(user).await
    }

    async fn end(&self, user: UserId, id: SessionId) -> FaultResult<bool> {
        let ended = self.all.end(user, id).await;
        // Its whole hash is not known here.
        self.user_changed(user).await;
        ended
    }

    async fn end_before(&self, user: UserId, epoch: i64) -> FaultResult<()> {
        let ended = self.all.end_before(user, epoch).await;
        self.user_changed(user).await;
        ended
    }

    async fn seen(&self, id: Id, seen: Use) -> FaultResult<()> {
        let seen = self.all.seen(id, seen).await;
        self.session_changed(&session::hash(&id)).await;
        seen
    }

    async fn user_changed(&self, user: UserId) {
        let Some(redis) = &self.redis else {
            return;
        };
        let user = user.to_string();
        let done: std::result::Result<i64, RedisUnavailable> = redis
            .with(|mut connection| async move {
                CHANGE
                    .key(sessions_of(&user))
                    .key(mark_of(&user))
                    .arg(millis(MARKED))
                    .invoke_async(&mut connection)
                    .await
            })
            .await;
        if let Err(error) = done {
            tracing::warn!(
                error = chain(&error),
                "Redis was not told of a user's change; it forgets their sessions within a minute"
            );
        }
    }
}
