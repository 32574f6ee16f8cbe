//! The letters about an account's second factor: what has changed, and what to do if it was not its
//! owner.

use super::{
    account::greeting,
    compose::{Letterhead, NoLetter, gone, id},
    page::{Block, Letter},
};
use crate::{accounts::store, db::Db};
use app::{accounts::User, ids::UserId};
use strum::{EnumString, IntoStaticStr};

/// What has changed about a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FactorChange {
    /// It is on.
    On,
    /// Its owner has turned it off.
    Off,
    /// An operator's command has turned it off.
    Reset,
    /// There are new recovery codes.
    Codes,
    /// A recovery code was used.
    CodeUsed,
}

/// The subject of the mail about this change at this moment, in microseconds.
pub fn factor_changed(user: UserId, change: FactorChange, at: i64) -> String {
    let change: &str = change.into();
    format!("{user}:{change}:{at}")
}

pub(super) async fn letter(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), NoLetter> {
    let mut parts = subject.split(':');
    let user = parts.next().unwrap_or_default();
    let change = parts.next().and_then(|change| change.parse().ok());
    let change = change.ok_or_else(|| gone("it names no change"))?;
    let user = store::user_find(db.reads(), id(user)?).await?;
    let user = user.ok_or_else(|| gone("the account was deleted"))?;
    Ok((words(head.public_url(), &greeting(&user), change), user))
}

fn words(public_url: &str, hello: &str, change: FactorChange) -> Letter {
    let (title, said) = match change {
        FactorChange::On => (
            "Two-step sign-in is on",
            "from now on a code of your authenticator app is asked for when you sign in. You are signed \
             out wherever else you were signed in. Keep your recovery codes where you find them without \
             your phone.",
        ),
        FactorChange::Off => (
            "Two-step sign-in is off",
            "your account's second factor was turned off. Your password alone signs you in again.",
        ),
        FactorChange::Reset => (
            "Two-step sign-in was reset",
            "an operator of the shop has turned off your account's second factor, and you are signed out \
             everywhere. Your password alone signs you in again; you can set up a new second factor on \
             your account's page.",
        ),
        FactorChange::Codes => (
            "You have new recovery codes",
            "the recovery codes of your account were replaced. Those of before work no longer.",
        ),
        FactorChange::CodeUsed => (
            "A recovery code was used",
            "one of your account's recovery codes was used in place of your authenticator app. It does \
             not work again; your account's page says how many are left, and makes new ones.",
        ),
    };
    Letter::new(title)
        .with(Block::Heading(title.to_owned()))
        .say(format!(
            "{hello} {said} If you did that, there is nothing more to do."
        ))
        .say(
            "If it was not you, somebody else has your password. Set a new one at once, look at your \
             account's page, and look after the password of your mailbox as well.",
        )
        .with(Block::Link {
            label: "Set a new password",
            url: format!("{public_url}/forgot"),
        })
        .with(Block::Footnote {
            label: "You get this as a member of",
            url: public_url.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_with_what_to_do_if_it_was_not_them() {
        for change in [
            FactorChange::On,
            FactorChange::Off,
            FactorChange::Reset,
            FactorChange::Codes,
            FactorChange::CodeUsed,
        ] {
            let letter = words("https://tickets.example", "Hello Ann,", change);
            for said in [letter.text(), letter.html()] {
                assert!(said.contains("If it was not you"), "{said}");
                assert!(said.contains("https://tickets.example/forgot"), "{said}");
            }
            let subject = factor_changed(UserId(uuid::Uuid::nil()), change, 7);
            let named = subject.split(':').nth(1).unwrap();
            assert_eq!(named.parse(), Ok(change));
        }
    }
}
