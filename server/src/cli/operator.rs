//! `stagedoor operator`: makes and lists operators. It has no authorisation, because it needs access to the
//! database.

use super::sessions;
use crate::config::Config;
use anyhow::Context;
use model::{accounts::User, ids::UserId};
use platform::{
    clock::SystemClock,
    db::Db,
    security::{self, Event, Outcome},
};
use shop::accounts::{OperatorStatus, email_key, reset_second_factor_of, store};
use std::fmt::Write;

/// Makes the account of `email` an operator, or revokes that; without `email`, lists the operators.
/// Returns the output.
pub(super) async fn run(
    db: &Db,
    config: &Config,
    email: Option<&str>,
    revoke: bool,
) -> anyhow::Result<String> {
    match email {
        Some(email) => set(db, config, email, !revoke).await,
        None => list(db, config).await,
    }
}

/// Turns off the second factor of the account of `email`. Returns the output.
pub(super) async fn reset_second_factor(
    db: &Db,
    config: &Config,
    email: &str,
) -> anyhow::Result<String> {
    let sessions = sessions::kept(db, config)?;
    let reset = reset_second_factor_of(db, &SystemClock, &sessions, email).await?;
    let (user, had_one) = reset.with_context(|| format!("nobody has signed up as {email}"))?;
    let email = user.email;
    Ok(if had_one {
        format!("{email} has no second factor any more, and is signed out everywhere\n")
    } else {
        format!("{email} had no second factor\n")
    })
}

async fn set(db: &Db, config: &Config, email: &str, is_operator: bool) -> anyhow::Result<String> {
    let key = email_key(email);
    let found: Option<User> = db
        .write(move |conn| {
            Box::pin(async move { store::set_operator(conn, &key, is_operator).await })
        })
        .await
        .context("the database failed")?;
    let Some(user) = found else {
        return Err(refusal(db, email).await?);
    };
    let what = if is_operator {
        "made operator"
    } else {
        "no operator any more"
    };
    security::record(Event::OperatorCommand, Outcome::Done, Some(user.id), what);
    let now = if is_operator {
        "an operator"
    } else {
        "no operator"
    };
    let first = if needs_setup(db, config, user.id).await? {
        format!(
            "They must set up a second factor at {}/account/second-factor before they can act as an operator.\n",
            config.public_url
        )
    } else {
        String::new()
    };
    Ok(format!(
        "{} ({}) is {now} now\n{first}",
        user.name, user.email
    ))
}

/// Whether this operator must set up a second factor first.
async fn needs_setup(db: &Db, config: &Config, user: UserId) -> anyhow::Result<bool> {
    let status = config.operators.status_of(db.reads(), user).await;
    Ok(status.context("the database failed")? == OperatorStatus::NeedsSecondFactor)
}

/// The reason why the account could not be made an operator.
async fn refusal(db: &Db, email: &str) -> anyhow::Result<anyhow::Error> {
    let found = store::find_by_email(db.reads(), &email_key(email))
        .await
        .context("the database failed")?;
    Ok(match found {
        Some(_) => anyhow::anyhow!(
            "{email} is not confirmed: whoever signed up with it may not be its owner. Sign in with it, \
             open /account, have the link mailed and follow it, then run this again"
        ),
        None => {
            anyhow::anyhow!("nobody has signed up as {email}: make the account in the shop first")
        }
    })
}

async fn list(db: &Db, config: &Config) -> anyhow::Result<String> {
    let operators = store::list_operators(db.reads())
        .await
        .context("the database failed")?;
    if operators.is_empty() {
        return Ok("there are no operators: `stagedoor operator EMAIL` makes one\n".to_owned());
    }
    let mut output = String::new();
    for user in operators {
        let missing = if needs_setup(db, config, user.id).await? {
            "  (second factor not set up yet)"
        } else {
            ""
        };
        writeln!(output, "{}  {}{missing}", user.email, user.name)?;
    }
    Ok(output)
}
