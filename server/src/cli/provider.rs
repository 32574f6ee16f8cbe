//! `stagedoor provider`: prints the payment provider that the shop's payments are made with, or declares
//! that another mode reaches the same payments.

use anyhow::{Context, bail};
use clap::ValueEnum;
use platform::db::Db;
use shop::payments::{ProviderMode, provider};

/// A mode that can be set by hand. Not the demo, in which no money is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Settable {
    /// The server at `STRIPE_API_URL`.
    Double,
    /// Stripe with test keys.
    Test,
    /// Stripe with live keys.
    Live,
}

/// Prints the recorded mode, after replacing it by `set` if given. Returns the output. Errors: to
/// replace, but no mode is recorded or it is the demo.
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
        match provider::find_recorded(db.reads()).await.context(failed)? {
            Some(mode) => format!("{mode}\n"),
            None => "no payment has been made yet\n".to_owned(),
        },
    )
}
