//! `stagedoor sessions end`: ends all sessions of an account, for example one that has been taken over.
//! Does not change the password. It has no authorisation, because it needs access to the database.

use crate::config::Config;
use anyhow::Context;
use platform::{clock::SystemClock, db::Db, redis_client::Redis, session::CachedSessions};
use shop::accounts::end_sessions_of;
use std::sync::Arc;

/// The sessions in the database and Redis of these settings.
pub(super) fn kept(db: &Db, config: &Config) -> anyhow::Result<CachedSessions> {
    let redis = config.redis_url.as_deref();
    let redis = redis.map(|url| Redis::new(url, &config.trust)).transpose();
    let redis = redis.context("REDIS_URL")?;
    Ok(CachedSessions::new(
        db.clone(),
        Arc::new(SystemClock),
        redis,
    ))
}

/// Ends all sessions of the account of `email`. Returns the output.
pub(super) async fn end(db: &Db, config: &Config, email: &str) -> anyhow::Result<String> {
    let sessions = kept(db, config)?;
    let ended = end_sessions_of(db, &sessions, email).await?;
    let user = ended.with_context(|| format!("nobody has signed up as {email}"))?;
    Ok(format!("{} is signed out everywhere\n", user.email))
}
