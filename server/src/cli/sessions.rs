//! `stagedoor sessions end`: signs somebody out everywhere, for an operator who was told that an account
//! is in wrong hands. It changes no password and asks nobody: whoever may run it has the database.

use crate::config::Config;
use anyhow::Context;
use platform::{clock::SystemClock, db::Db, redis_client::Redis, session::KeptSessions};
use shop::accounts::end_sessions_of;
use std::sync::Arc;

/// The sessions of the shop that runs with these settings.
pub(super) fn kept(db: &Db, config: &Config) -> anyhow::Result<KeptSessions> {
    let redis = config.redis_url.as_deref();
    let redis = redis.map(|url| Redis::new(url, &config.trust)).transpose();
    let redis = redis.context("REDIS_URL")?;
    Ok(KeptSessions::new(db.clone(), Arc::new(SystemClock), redis))
}

/// Ends all sessions of the account of `email`. Returns what to print.
pub(super) async fn end(db: &Db, config: &Config, email: &str) -> anyhow::Result<String> {
    let sessions = kept(db, config)?;
    let ended = end_sessions_of(db, &sessions, email).await?;
    let user = ended.with_context(|| format!("nobody has signed up as {email}"))?;
    Ok(format!("{} is signed out everywhere\n", user.email))
}
