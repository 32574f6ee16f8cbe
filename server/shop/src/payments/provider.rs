//! Which payment provider a shop's payments are made with: the table `payment_provider`.
//!
//! Owns the mode of the provider and the rule that a shop never changes it: the first payment, or
//! the first start with live keys, records the mode, and a process in another mode neither starts nor
//! begins a payment nor makes a call. Does not read settings and calls no provider.

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
    /// What answers at `STRIPE_API_URL`.
    Double,
    /// Stripe with test keys: no money moves.
    Test,
    /// Stripe with live keys.
    Live,
}

model::text_columns!(ProviderMode);

impl ProviderMode {
    /// The mode that Stripe's secret key is for; `elsewhere`: calls go to `STRIPE_API_URL`.
    pub fn of_key(key: &SecretString, elsewhere: bool) -> Self {
        match (is_live_key(key.expose_secret()), elsewhere) {
            (true, _) => Self::Live,
            (false, true) => Self::Double,
            (false, false) => Self::Test,
        }
    }

    /// As a sentence names it.
    fn described(self) -> &'static str {
        match self {
            Self::Demo => "the built-in Stripe double",
            Self::Double => "the Stripe double at STRIPE_API_URL",
            Self::Test => "Stripe with test keys",
            Self::Live => "Stripe with live keys",
        }
    }
}

/// Whether one of Stripe's keys (`sk_…`, `rk_…`, `pk_…`) moves real money.
pub fn is_live_key(key: &str) -> bool {
    has_word(key, "live")
}

/// Whether one of Stripe's keys is for tests.
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

/// The settings name another provider than the shop's payments were made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this shop takes its payments by {}, and the settings name {}: {}",
    recorded.described(), configured.described(), self.advice()
)]
pub struct OtherProvider {
    /// In which mode the payments were made.
    pub recorded: ProviderMode,
    /// In which mode this process would go on.
    pub configured: ProviderMode,
}

impl OtherProvider {
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

/// Why the provider could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum NotTheSame {
    /// They differ.
    #[error(transparent)]
    Other(#[from] OtherProvider),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The recorded mode. None: no payment was made since modes are recorded.
pub async fn recorded<'e>(
    reads: impl Executor<'e, Database = Any>,
) -> Result<Option<ProviderMode>, sqlx::Error> {
    query_scalar("SELECT mode FROM payment_provider WHERE id = 1")
        .fetch_optional(reads)
        .await
}

/// Records `mode` with the first payment. Errors: another mode is recorded.
pub(super) async fn claim(conn: &mut Conn, mode: ProviderMode, now: Moment) -> FaultResult<()> {
    if recorded(&mut *conn).await?.is_none() {
        record_first(conn, mode, now).await?;
    }
    assert_recorded(conn, mode).await
}

/// Errors: another mode than `mode` is recorded.
pub(super) async fn assert_recorded<'e>(
    reads: impl Executor<'e, Database = Any>,
    mode: ProviderMode,
) -> FaultResult<()> {
    match recorded(reads).await? {
        Some(recorded) if recorded != mode => {
            let other = OtherProvider {
                recorded,
                configured: mode,
            };
            Err(Fault::unexpected(
                "this process is set up for another payment provider",
                other,
            ))
        }
        _ => Ok(()),
    }
}

/// Of two who come at once the first is recorded.
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

/// Checks at the start of a process in `mode` that the shop's payments were made in it. Live mode is
/// recorded at once, so that nobody makes a demo of the shop before its first payment.
/// `demo_intents` are the intents that the double in the data folder knows, which tells where the
/// payments were made that are older than the record; the mode of those is then recorded.
///
/// Errors: they were made in another mode, and nothing is written; or the database fails.
pub async fn assert_same(
    db: &Db,
    mode: ProviderMode,
    demo_intents: &BTreeSet<String>,
    now: Moment,
) -> Result<(), NotTheSame> {
    let found = match recorded(db.reads()).await? {
        Some(found) => Some(found),
        None => mode_of_old_payments(db, mode, demo_intents).await?,
    };
    let found = found.or(Some(mode).filter(|mode| *mode == ProviderMode::Live));
    let Some(found) = found else {
        return Ok(());
    };
    if found != mode {
        return Err(OtherProvider {
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

/// In which mode payments were made that no mode is recorded for. None: there are none. If nothing
/// contradicts `mode`, it is believed.
async fn mode_of_old_payments(
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
    let told_live = newest_webhook_is_live(db).await?;
    Ok(Some(match (mode, told_live) {
        (ProviderMode::Demo, _) if in_demo == intents.len() => ProviderMode::Demo,
        (ProviderMode::Demo, Some(true)) => ProviderMode::Live,
        (ProviderMode::Demo, _) => ProviderMode::Test,
        _ if in_demo > 0 => ProviderMode::Demo,
        (ProviderMode::Live, Some(false)) => ProviderMode::Test,
        (ProviderMode::Test | ProviderMode::Double, Some(true)) => ProviderMode::Live,
        _ => mode,
    }))
}

/// What the newest webhook that is kept says of its mode.
async fn newest_webhook_is_live(db: &Db) -> Result<Option<bool>, sqlx::Error> {
    let payload: Option<String> =
        query_scalar("SELECT payload FROM stripe_inbox ORDER BY received_at DESC LIMIT 1")
            .fetch_optional(db.reads())
            .await?;
    let event: Option<serde_json::Value> =
        payload.and_then(|payload| serde_json::from_str(&payload).ok());
    Ok(event.and_then(|event| event["livemode"].as_bool()))
}

/// Records `mode` in the place of what is recorded. False: nothing is recorded, or it is the demo,
/// whose tickets nobody has paid for.
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
        let of = |text, elsewhere| ProviderMode::of_key(&key(text), elsewhere);
        assert_eq!(of("sk_live_1", true), ProviderMode::Live);
        assert_eq!(of("rk_test_1", true), ProviderMode::Double);
        assert_eq!(of("sk_test_1", false), ProviderMode::Test);
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let other = |recorded, configured| {
            OtherProvider {
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
