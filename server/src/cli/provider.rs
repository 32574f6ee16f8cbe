//! `stagedoor provider`: with which payment provider the shop's payments are made, and the explicit
//! way to say that another mode reaches the same payments.

use anyhow::{Context, bail};
use clap::ValueEnum;
use platform::db::Db;
use shop::payments::{ProviderMode, provider};

/// A mode that can be set by hand; never the demo, whose tickets nobody pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Settable {
    /// What answers at `STRIPE_API_URL`.
    Double,
    /// Stripe with test keys.
    Test,
    /// Stripe with live keys.
    Live,
}

/// Tells the recorded mode, or replaces it by `set`. Returns what to print. Errors: nothing is
/// recorded, or payments were made in the demo.
pub(super) async fn run(db: &Db, set: Option<Settable>) -> anyhow::Result<String> {
    let failed = "the database failed";
    if let Some(set) = set {
        let mode = match set {
            Settable::Double => ProviderMode::Double,
            Settable::Test => ProviderMode::Test,
            Settable::Live => ProviderMode::Live,
        };
        if !provider::replace(db, mode).await.context(failed)? {
            bail!(
                "only the mode of a shop that has taken payments by Stripe or a double of its own can be set: `stagedoor provider` says what is recorded"
            );
        }
    }
    Ok(
        match provider::recorded(db.reads()).await.context(failed)? {
            Some(mode) => format!("{mode}\n"),
            None => "no payment has been made yet\n".to_owned(),
        },
    )
}
