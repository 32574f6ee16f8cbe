//! The letters about an account: a link to a new password, and that there is one; a link that proves
//! an address, and that there is another. What is true of them, and their words.
//!
//! What a link carries is made here, each time that its letter is written, and kept nowhere but in
//! the letter: the database has its hash.

use super::{
    compose::{NoLetter, gone, id},
    page::{Block, Letter, isolated},
};
use crate::{
    accounts::{
        email_key,
        proofs::{self, Proof},
        resets,
        store::{self, Account},
    },
    mail::{Kind, Letterhead, store::MailRow, subjects},
};
use model::{Moment, accounts::User, ids::ProofId};
use platform::db::Db;

/// The letter that carries the link to a new password, which works from now on.
pub(super) async fn reset_letter(
    db: &Db,
    head: &Letterhead,
    subject: &str,
    now: Moment,
) -> Result<(Letter, User), NoLetter> {
    let token = resets::new_token();
    let (request, carried): (ProofId, _) = (id(subject)?, token.clone());
    let found: Option<Account> = db
        .write(move |conn| {
            Box::pin(async move { resets::set_token(conn, request, &carried, now).await })
        })
        .await?;
    let found = found.ok_or_else(|| gone("the link is not wanted any more"))?;
    let url = format!("{}/reset?token={}", head.public_url(), token.0);
    let (has_password, user) = (found.has_password(), found.user);
    let letter = if has_password {
        reset_words(head.public_url(), &greeting(&user), url)
    } else {
        guest_words(head.public_url(), &greeting(&user), url)
    };
    Ok((letter, user))
}

/// The letter that says that there is a new password.
pub(super) async fn changed_letter(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), NoLetter> {
    let user =
        subjects::read_password_changed(subject).ok_or_else(|| gone("it names no account"))?;
    let user = store::find(db.reads(), id(user)?).await?;
    let user = user.ok_or_else(|| gone("the account was deleted"))?;
    Ok((changed_words(head.public_url(), &greeting(&user)), user))
}

/// The letter that proves an address, whose link works from now on, or the one that tells the address
/// before; and whom it is to.
pub(super) async fn email_letter(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
    now: Moment,
) -> Result<(Letter, String), NoLetter> {
    let link: ProofId = id(&mail.subject)?;
    if mail.kind == Kind::EmailChanged {
        let proof = proofs::find(db.reads(), link).await?;
        let before = proof.and_then(|proof| proof.replaced);
        let before = before.ok_or_else(|| gone("no address was replaced"))?;
        return Ok((replaced_words(head.public_url()), before));
    }
    let token = resets::new_token();
    let carried = token.clone();
    let armed: Option<Proof> = db
        .write(move |conn| {
            Box::pin(async move { proofs::set_token(conn, link, &carried, now).await })
        })
        .await?;
    let proof = armed.ok_or_else(|| gone("the link is not wanted any more"))?;
    let user = store::find(db.reads(), proof.user).await?;
    let user = user.ok_or_else(|| gone("the account was deleted"))?;
    let url = format!("{}/verify?token={}", head.public_url(), token.0);
    let is_own = email_key(&proof.email) == email_key(&user.email);
    if is_own && user.email_verified {
        return Err(NoLetter::Moot("the address has been proved"));
    }
    Ok((proof_words(head.public_url(), url, !is_own), proof.email))
}

/// Whoever made the account chose its name: an address that nobody has proved is not written to with
/// it.
pub(super) fn greeting(user: &User) -> String {
    if user.email_verified {
        format!("Hello {},", isolated(&user.name))
    } else {
        "Hello,".to_owned()
    }
}

fn reset_words(public_url: &str, hello: &str, url: String) -> Letter {
    Letter::new("Set a new password")
        .with(Block::Heading("Set a new password".to_owned()))
        .say(format!(
            "{hello} somebody said on Stagedoor that they forgot the password of this \
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

fn guest_words(public_url: &str, hello: &str, url: String) -> Letter {
    Letter::new("Your link to sign in")
        .with(Block::Heading("Your link to sign in".to_owned()))
        .say(format!(
            "{hello} somebody asked on Stagedoor to sign in with this address, which has \
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

fn changed_words(public_url: &str, hello: &str) -> Letter {
    Letter::new("Your password was changed")
        .with(Block::Heading("Your password was changed".to_owned()))
        .say(format!(
            "{hello} the password of your account is a new one, and you are signed out \
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

fn proof_words(public_url: &str, url: String, is_new: bool) -> Letter {
    let asked = if is_new {
        "Somebody asked on Stagedoor to use this address for their account, in place of the one it \
         has. If that was you, follow the link and confirm with the button there. It works once, for \
         three days."
    } else {
        "Somebody has made an account on Stagedoor with this address. If that was you, follow the \
         link and confirm with the button there. It works once, for three days."
    };
    Letter::new("Confirm your address")
        .with(Block::Heading("Confirm your address".to_owned()))
        .say(asked)
        .with(Block::Link {
            label: "Confirm the address",
            url,
        })
        .say(
            "If it was not you, do not confirm it: whoever asked cannot act for this address without \
             this mail. There is nothing else to do.",
        )
        .with(Block::Footnote {
            label: "This was sent by",
            url: public_url.to_owned(),
        })
}

fn replaced_words(public_url: &str) -> Letter {
    Letter::new("Your account has another address")
        .with(Block::Heading(
            "Your account has another address".to_owned(),
        ))
        .say(
            "An account on Stagedoor had this address. It now has another one, which its owner has \
             confirmed, and mails about it no longer come here. If you did that, or never had an \
             account there, there is nothing to do.",
        )
        .say(
            "If it was your account and you did not do that, somebody else can use it. Answer this \
             mail, and the shop will look after it.",
        )
        .with(Block::Footnote {
            label: "This was sent by",
            url: public_url.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_to_an_address_to_be_proved_says_what_to_do_if_it_was_not_them() {
        let url = "https://tickets.example/verify?token=abc".to_owned();
        for is_new in [false, true] {
            let letter = proof_words("https://tickets.example", url.clone(), is_new);
            for said in [letter.text(), letter.html()] {
                for words in ["/verify?token=abc", "If it was not you", "three days"] {
                    assert!(said.contains(words), "{words}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_link_says_how_long_it_works_and_what_to_do_if_one_did_not_ask() {
        let url = "https://tickets.example/reset?token=abc".to_owned();
        for letter in [reset_words, guest_words] {
            let letter = letter("https://tickets.example", "Hello Ann,", url.clone());
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
        let letter = changed_words("https://tickets.example", "Hello Ann,");
        for said in [letter.text(), letter.html()] {
            assert!(said.contains("If it was not you"), "{said}");
            assert!(said.contains("https://tickets.example/forgot"), "{said}");
        }
    }
}
