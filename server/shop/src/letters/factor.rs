//! The letters about changes of an account's second factor. Looks up their data and has their texts.

use super::{
    account::greeting,
    compose::{ComposeError, gone, parse_id},
    page::{Block, Letter},
};
use crate::{
    accounts::store,
    mail::{
        Letterhead,
        subjects::{self, FactorChange},
    },
};
use model::accounts::User;
use platform::db::Db;

pub(super) async fn compose(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), ComposeError> {
    let read = subjects::parse_factor_changed(subject);
    let (user, change) = read.ok_or_else(|| gone("the subject names no change"))?;
    let user = store::find(db.reads(), parse_id(user)?).await?;
    let user = user.ok_or_else(|| gone("the account was deleted"))?;
    Ok((words(head.public_url(), &greeting(&user), change), user))
}

fn words(public_url: &str, hello: &str, change: FactorChange) -> Letter {
    let (title, said) = match change {
        FactorChange::On => (
            "Two-step sign-in is on",
            "from now on you are asked for a code of your authenticator app when you sign in. You are signed \
             out everywhere else. Keep your recovery codes in a place that you can reach without your phone.",
        ),
        FactorChange::Off => (
            "Two-step sign-in is off",
            "two-step sign-in was turned off for your account. You can sign in with your password alone.",
        ),
        FactorChange::Reset => (
            "Two-step sign-in was reset",
            "an operator of the shop has turned off two-step sign-in for your account, and you are signed \
             out everywhere. You can sign in with your password alone, and set up two-step sign-in again on \
             your account page.",
        ),
        FactorChange::Codes => (
            "You have new recovery codes",
            "the recovery codes of your account were replaced. The old codes no longer work.",
        ),
        FactorChange::CodeUsed => (
            "A recovery code was used",
            "one of your account's recovery codes was used in place of your authenticator app. It does \
             not work again. On your account page you can see how many are left and create new ones.",
        ),
    };
    let letter = Letter::new(title)
        .with(Block::Heading(title.to_owned()))
        .with_text(format!("{hello} {said}"));
    let letter = match change {
        FactorChange::Reset => letter.with_text(
            "If you asked the shop for this, there is nothing more to do. If you did not, reply to this mail.",
        ),
        // A new password would not help: signing in now needs the other person's app.
        FactorChange::On => letter.with_text(
            "If you did this, there is nothing more to do. If it was not you, someone else knows your \
             password and has locked you out. Reply to this mail: the shop can turn two-step sign-in off \
             again. Change the password of your mailbox as well.",
        ),
        FactorChange::Off | FactorChange::Codes | FactorChange::CodeUsed => letter
            .with_text(
                "If you did this, there is nothing more to do. If it was not you, someone else knows your \
                 password. Set a new one now, check your account page, and change the password of your \
                 mailbox as well.",
            )
            .with(Block::Link {
                label: "Set a new password",
                url: format!("{public_url}/forgot"),
            }),
    };
    letter.with(Block::Footnote {
        label: "You get this as a member of",
        url: public_url.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mail_says_what_to_do_if_it_was_someone_else() {
        for change in [
            FactorChange::On,
            FactorChange::Off,
            FactorChange::Reset,
            FactorChange::Codes,
            FactorChange::CodeUsed,
        ] {
            let letter = words("https://tickets.example", "Hello Ann,", change);
            for said in [letter.text(), letter.html()] {
                // A new password helps only where it is enough to sign in.
                let by_password = !matches!(change, FactorChange::On | FactorChange::Reset);
                let help = if by_password {
                    "https://tickets.example/forgot"
                } else {
                    "eply to this mail"
                };
                assert!(said.contains(help), "{said}");
                assert_eq!(said.contains("/forgot"), by_password, "{said}");
            }
        }
    }
}
