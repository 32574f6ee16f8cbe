//! The payment provider and mode of a shop: owns the table `payment_provider`.
//!
//! A shop does not change its mode: the first payment, or the first start with live keys, records it, and
//! a process in another mode does not start, begins no payment and makes no call. Does not read settings
//! and calls no provider.

use model::Moment;
use platform::{
    db::{Conn, Db},
    fault::{Fault, FaultResult},
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Any, Executor, query, query_scalar};
use std::collections::BTreeSet;
use strum::{Display, EnumString, IntoStaticStr};

/// A payment provider, and the mode in which it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ProviderMode {
    /// The Stripe double inside the server: no money moves.
    Demo,
    /// The server at `STRIPE_API_URL`.
    Double,
    /// Stripe with test keys: no money moves.
    Test,
    /// Stripe with live keys.
    Live,
}

model::text_columns!(ProviderMode);

impl ProviderMode {
    /// The mode of a secret key; `has_api_url`: calls go to `STRIPE_API_URL`.
    pub fn of_key(key: &SecretString, has_api_url: bool) -> Self {
        match (is_live_key(key.expose_secret()), has_api_url) {
            (true, _) => Self::Live,
            (false, true) => Self::Double,
            (false, false) => Self::Test,
        }
    }

    /// For error messages.
    fn described(self) -> &'static str {
        match self {
            Self::Demo => "the built-in Stripe double",
            Self::Double => "the Stripe double at STRIPE_API_URL",
            Self::Test => "Stripe with test keys",
            Self::Live => "Stripe with live keys",
        }
    }
}

/// Whether a Stripe key (`sk_…`, `rk_…`, `pk_…`) is for live mode.
pub fn is_live_key(key: &str) -> bool {
    has_word(key, "live")
}

/// Whether a Stripe key is for test mode.
pub fn is_test_key(key: &str) -> bool {
    has_word(key, "test")
}

/// The mode is the second word of a key, or the third in keys of an organisation: `sk_org_live_…`.
fn has_word(key: &str, word: &str) -> bool {
    let mut words = key.split('_').skip(1);
    match words.next() {
        Some("org") => words.next() == Some(word),
        first => first == Some(word),
    }
}

/// The settings name another provider than the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this shop takes its payments by {}, and the settings name {}: {}",
    recorded.described(), configured.described(), self.advice()
)]
pub struct ProviderMismatch {
    /// The mode of the shop's payments.
    pub recorded: ProviderMode,
    /// The mode of this process.
    pub configured: ProviderMode,
}

impl ProviderMismatch {
    fn advice(self) -> &'static str {
        match (self.recorded, self.configured) {
            (ProviderMode::Demo, _) => {
                "tickets that were bought in the demo are not paid for, so use these keys with a new database (DATABASE_URL or STAGEDOOR_DATA_DIR)"
            }
            (ProviderMode::Double, ProviderMode::Demo) => {
                "set STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET and STRIPE_API_URL as before, or use another database for a demo (DATABASE_URL or STAGEDOOR_DATA_DIR)"
            }
            (_, ProviderMode::Demo) => {
                "set STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY and STRIPE_WEBHOOK_SECRET as before, or use another database for a demo (DATABASE_URL or STAGEDOOR_DATA_DIR)"
            }
            _ => {
                "set the keys as before, or use another database (DATABASE_URL or STAGEDOOR_DATA_DIR); if the new settings do reach the same payments, run `stagedoor provider --set MODE` first"
            }
        }
    }
}

/// Why [`check_at_start`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderCheckError {
    #[error(transparent)]
    Other(#[from] ProviderMismatch),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The recorded mode; none before the first payment that was made since modes are recorded.
pub async fn find_recorded<'e>(
    reads: impl Executor<'e, Database = Any>,
) -> Result<Option<ProviderMode>, sqlx::Error> {
    query_scalar("SELECT mode FROM payment_provider WHERE id = 1")
        .fetch_optional(reads)
        .await
}

/// Records `mode` with the first payment. Errors: another mode is recorded.
pub(super) async fn claim(conn: &mut Conn, mode: ProviderMode, now: Moment) -> FaultResult<()> {
    if find_recorded(&mut *conn).await?.is_none() {
        record_first(conn, mode, now).await?;
    }
    assert_recorded(conn, mode).await
}

/// Errors: another mode than `mode` is recorded.
pub(super) async fn assert_recorded<'e>(
    reads: impl Executor<'e, Database = Any>,
    mode: ProviderMode,
) -> FaultResult<()> {
    match find_recorded(reads).await? {
        Some(recorded) if recorded != mode => {
            let other = ProviderMismatch {
                recorded,
                configured: mode,
            };
            Err(Fault::unexpected(
                "this process is configured for another payment provider",
                other,
            ))
        }
        _ => Ok(()),
    }
}

/// Does nothing if a mode is already recorded.
async fn record_first(conn: &mut Conn, mode: ProviderMode, now: Moment) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO payment_provider (id, mode, since) VALUES (1, $1, $2) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(mode)
    .bind(now)
    .execute(conn)
    .await
    .map(drop)
}

/// Checks at the start of a process that the shop's payments were made in `mode`. Live mode is recorded at
/// once, so that the shop cannot become a demo before its first payment. For payments that are older than
/// the record, the mode is inferred and recorded; `demo_intents` are the intents of the double in the data
/// folder.
///
/// Errors: they were made in another mode (nothing is written), or the database fails.
pub async fn check_at_start(
    db: &Db,
    mode: ProviderMode,
    demo_intents: &BTreeSet<String>,
    now: Moment,
) -> Result<(), ProviderCheckError> {
    let found = match find_recorded(db.reads()).await? {
        Some(found) => Some(found),
        None => infer_mode(db, mode, demo_intents).await?,
    };
    let found = found.or(Some(mode).filter(|mode| *mode == ProviderMode::Live));
    let Some(found) = found else {
        return Ok(());
    };
    if found != mode {
        return Err(ProviderMismatch {
            recorded: found,
            configured: mode,
        }
        .into());
    }
    let done: Result<(), sqlx::Error> = db
        .write(move |conn| Box::pin(async move { record_first(conn, mode, now).await }))
        .await;
    Ok(done?)
}

/// Infers the mode of payments that are older than the record: `mode`, unless the data contradicts it.
/// None if there are no payments.
async fn infer_mode(
    db: &Db,
    mode: ProviderMode,
    demo_intents: &BTreeSet<String>,
) -> Result<Option<ProviderMode>, sqlx::Error> {
    let intents: Vec<String> =
        query_scalar("SELECT stripe_id FROM payments WHERE stripe_id IS NOT NULL")
            .fetch_all(db.reads())
            .await?;
    if intents.is_empty() {
        return Ok(None);
    }
    let in_demo = intents
        .iter()
        .filter(|intent| demo_intents.contains(*intent))
        .count();
    let webhook_is_live = newest_webhook_is_live(db).await?;
    Ok(Some(match (mode, webhook_is_live) {
        (ProviderMode::Demo, _) if in_demo == intents.len() => ProviderMode::Demo,
        (ProviderMode::Demo, Some(true)) => ProviderMode::Live,
        (ProviderMode::Demo, _) => ProviderMode::Test,
        _ if in_demo > 0 => ProviderMode::Demo,
        (ProviderMode::Live, Some(false)) => ProviderMode::Test,
        (ProviderMode::Test | ProviderMode::Double, Some(true)) => ProviderMode::Live,
        _ => mode,
    }))
}

/// Whether the newest stored webhook is of live mode.
async fn newest_webhook_is_live(db: &Db) -> Result<Option<bool>, sqlx::Error> {
    let payload: Option<String> =
        query_scalar("SELECT payload FROM stripe_inbox ORDER BY received_at DESC LIMIT 1")
            .fetch_optional(db.reads())
            .await?;
    let event: Option<serde_json::Value> =
        payload.and_then(|payload| serde_json::from_str(&payload).ok());
    Ok(event.and_then(|event| event["livemode"].as_bool()))
}

/// Replaces the recorded mode. Returns false if none is recorded, or if it is the demo, whose tickets are
/// not paid for.
pub async fn replace(db: &Db, mode: ProviderMode) -> Result<bool, sqlx::Error> {
    db.write(move |conn| {
        Box::pin(async move {
            let done =
                query("UPDATE payment_provider SET mode = $1 WHERE id = 1 AND mode <> 'demo'")
                    .bind(mode)
                    .execute(conn)
                    .await?;
            Ok(done.rows_affected() == 1)
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_a_key_is_its_second_word() {
        for live in ["sk_live_1", "rk_live_1", "pk_live_1", "sk_org_live_1"] {
            assert!(is_live_key(live) && !is_test_key(live), "{live}");
        }
        for test in ["sk_test_live_1", "rk_test_1", "pk_test_double"] {
            assert!(is_test_key(test) && !is_live_key(test), "{test}");
        }
        assert!(!is_live_key("sk_1") && !is_test_key("sk_1"));
        let key = |key: &str| SecretString::from(key);
        let of = |text, has_api_url| ProviderMode::of_key(&key(text), has_api_url);
        assert_eq!(of("sk_live_1", true), ProviderMode::Live);
        assert_eq!(of("rk_test_1", true), ProviderMode::Double);
        assert_eq!(of("sk_test_1", false), ProviderMode::Test);
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let other = |recorded, configured| {
            ProviderMismatch {
                recorded,
                configured,
            }
            .to_string()
        };
        let lost = other(ProviderMode::Live, ProviderMode::Demo);
        assert!(lost.contains("set STRIPE_SECRET_KEY"), "{lost}");
        let unpaid = other(ProviderMode::Demo, ProviderMode::Live);
        assert!(unpaid.contains("new database"), "{unpaid}");
    }
}
