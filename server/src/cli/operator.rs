//! `stagedoor operator`: who may refund any order, and is told what goes wrong. Whoever may run it
//! has the database already, so it asks nobody.

use crate::{
    accounts::{email_key, store},
    db::Db,
    security::{self, Event, Outcome},
};
use anyhow::Context;
use app::accounts::User;
use std::fmt::Write;

/// Makes the account of `email` an operator's, or with `revoke` no longer; without one, lists the
/// operators. Returns what to print.
pub async fn run(db: &Db, email: Option<&str>, revoke: bool) -> anyhow::Result<String> {
    match email {
        Some(email) => set(db, email, !revoke).await,
        None => list(db).await,
    }
}

async fn set(db: &Db, email: &str, is_operator: bool) -> anyhow::Result<String> {
    let key = email_key(email);
    let found: Option<User> = db
        .write(move |conn| {
            Box::pin(async move { store::operator_set(conn, &key, is_operator).await })
        })
        .await
        .context("the database failed")?;
    let Some(user) = found else {
        return Err(why_not(db, email).await?);
    };
    let what = if is_operator {
        "made operator"
    } else {
        "no operator any more"
    };
    security::note(Event::OperatorCommand, Outcome::Done, Some(user.id), what);
    let now = if is_operator {
        "an operator"
    } else {
        "no operator"
    };
    Ok(format!("{} ({}) is {now} now\n", user.name, user.email))
}

/// Why an account could not be made an operator's.
async fn why_not(db: &Db, email: &str) -> anyhow::Result<anyhow::Error> {
    let found = store::user_find_by_email(db.reads(), &email_key(email))
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

async fn list(db: &Db) -> anyhow::Result<String> {
    let operators = store::operators(db.reads())
        .await
        .context("the database failed")?;
    if operators.is_empty() {
        return Ok("there are no operators: `stagedoor operator EMAIL` makes one\n".to_owned());
    }
    let mut words = String::new();
    for user in operators {
        writeln!(words, "{}  {}", user.email, user.name)?;
    }
    Ok(words)
}
