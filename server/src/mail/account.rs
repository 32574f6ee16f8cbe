//! The letters about an account: a link to a new password, and that there is one. What is true of
//! them, and their words.
//!
//! What a link carries is made here, each time that its letter is written, and kept nowhere but in
//! the letter: the database has its hash.

use super::{
    compose::{Letterhead, NoLetter, gone, id},
    page::{Block, Letter},
};
use crate::{
    accounts::{
        resets,
        store::{self, Locked},
    },
    db::Db,
};
use app::{accounts::User, ids::UserId};

/// Between a user and the epoch that their new password began, in the subject of a mail.
const SINCE: char = ':';

/// The subject of the mail about the password that began this epoch of a user's.
pub fn password_changed(user: UserId, epoch: i64) -> String {
    format!("{user}{SINCE}{epoch}")
}

/// The letter that carries the link to a new password, which works from now on.
pub(super) async fn reset_letter(
    db: &Db,
    head: &Letterhead,
    subject: &str,
    now_micros: i64,
) -> Result<(Letter, User), NoLetter> {
    let token = resets::new_token();
    let (request, carried) = (subject.to_owned(), token.clone());
    let found: Option<Locked> = db
        .write(move |conn| {
            Box::pin(async move { resets::reset_arm(conn, &request, &carried, now_micros).await })
        })
        .await?;
    let found = found.ok_or_else(|| gone("the link is not wanted any more"))?;
    let url = format!("{}/reset?token={}", head.public_url(), token.0);
    let (has_password, user) = (found.has_password(), found.user);
    let letter = if has_password {
        reset_words(head.public_url(), &user.name, url)
    } else {
        guest_words(head.public_url(), &user.name, url)
    };
    Ok((letter, user))
}

/// The letter that says that there is a new password.
pub(super) async fn changed_letter(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), NoLetter> {
    let (user, _) = subject
        .split_once(SINCE)
        .ok_or_else(|| gone("it names no account"))?;
    let user = store::user_find(db.reads(), id(user)?).await?;
    let user = user.ok_or_else(|| gone("the account was deleted"))?;
    Ok((changed_words(head.public_url(), &user.name), user))
}

fn reset_words(public_url: &str, name: &str, url: String) -> Letter {
    Letter::new("Set a new password")
        .with(Block::Heading("Set a new password".to_owned()))
        .say(format!(
            "Hello {name}, somebody said on Stagedoor that they forgot the password of this \
             address. If that was you, follow the link. It works once, for 30 minutes."
        ))
        .with(Block::Link {
            label: "Set a new password",
            url,
        })
        .say(
            "If it was not you, there is nothing to do: your password stays as it is, and nobody \
             can change it without this mail. Do not pass the link on.",
        )
        .with(Block::Footnote {
            label: "You get this as a member of",
            url: public_url.to_owned(),
        })
}

fn guest_words(public_url: &str, name: &str, url: String) -> Letter {
    Letter::new("Your link to sign in")
        .with(Block::Heading("Your link to sign in".to_owned()))
        .say(format!(
            "Hello {name}, somebody asked on Stagedoor to sign in with this address, which has \
             bought as a guest. If that was you, follow the link: you can go on without a password, \
             or set one. It works once, for 30 minutes."
        ))
        .with(Block::Link {
            label: "Sign in",
            url,
        })
        .say(
            "If it was not you, there is nothing to do: nobody can sign in without this mail. Do \
             not pass the link on.",
        )
        .with(Block::Footnote {
            label: "You get this as a guest of",
            url: public_url.to_owned(),
        })
}

fn changed_words(public_url: &str, name: &str) -> Letter {
    Letter::new("Your password was changed")
        .with(Block::Heading("Your password was changed".to_owned()))
        .say(format!(
            "Hello {name}, the password of your account is a new one, and you are signed out \
             wherever you were signed in before. If you did that, there is nothing more to do."
        ))
        .say(
            "If it was not you, somebody else has your password or reads your mail. Set a new one \
             at once, and look after the password of your mailbox as well.",
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
    fn a_link_says_how_long_it_works_and_what_to_do_if_one_did_not_ask() {
        let url = "https://tickets.example/reset?token=abc".to_owned();
        for letter in [reset_words, guest_words] {
            let letter = letter("https://tickets.example", "Ann", url.clone());
            for said in [letter.text(), letter.html()] {
                for words in [
                    "Hello Ann",
                    "once, for 30 minutes",
                    "/reset?token=abc",
                    "If it was not you",
                ] {
                    assert!(said.contains(words), "{words}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_new_password_is_told_with_the_way_back() {
        let letter = changed_words("https://tickets.example", "Ann");
        for said in [letter.text(), letter.html()] {
            assert!(said.contains("If it was not you"), "{said}");
            assert!(said.contains("https://tickets.example/forgot"), "{said}");
        }
    }
}
