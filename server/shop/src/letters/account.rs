//! The letters about an account: password reset and password changed, address verification and address
//! changed. Looks up their data and has their texts.
//!
//! The token of a link is generated each time that its letter is composed and is only in the letter: the
//! database has its hash.

use super::{
    compose::{ComposeError, gone, parse_id},
    page::{Block, Letter, isolate},
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

/// Composes the letter with the link that resets a password, and activates the link.
pub(super) async fn compose_password_reset(
    db: &Db,
    head: &Letterhead,
    subject: &str,
    now: Moment,
) -> Result<(Letter, User), ComposeError> {
    let token = resets::new_token();
    let (request, carried): (ProofId, _) = (parse_id(subject)?, token.clone());
    let found: Option<Account> = db
        .write(move |conn| {
            Box::pin(async move { resets::set_token(conn, request, &carried, now).await })
        })
        .await?;
    let found = found.ok_or_else(|| gone("the link is no longer valid"))?;
    let url = format!("{}/reset?token={}", head.public_url(), token.0);
    let (has_password, user) = (found.has_password(), found.user);
    let letter = if has_password {
        reset_words(head.public_url(), &greeting(&user), url)
    } else {
        guest_words(head.public_url(), &greeting(&user), url)
    };
    Ok((letter, user))
}

/// Composes the notice that a password was changed.
pub(super) async fn compose_password_changed(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), ComposeError> {
    let user = subjects::parse_password_changed(subject)
        .ok_or_else(|| gone("the subject names no account"))?;
    let user = store::find(db.reads(), parse_id(user)?).await?;
    let user = user.ok_or_else(|| gone("the account was deleted"))?;
    Ok((changed_words(head.public_url(), &greeting(&user)), user))
}

/// Composes the letter that verifies an address, and activates its link; or the notice to the previous
/// address. Returns the recipient's address too.
pub(super) async fn compose_email_change(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
    now: Moment,
) -> Result<(Letter, String), ComposeError> {
    let link: ProofId = parse_id(&mail.subject)?;
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
    let proof = armed.ok_or_else(|| gone("the link is no longer valid"))?;
    let user = store::find(db.reads(), proof.user).await?;
    let user = user.ok_or_else(|| gone("the account was deleted"))?;
    let url = format!("{}/verify?token={}", head.public_url(), token.0);
    let is_own = email_key(&proof.email) == email_key(&user.email);
    if is_own && user.email_verified {
        return Err(ComposeError::NotNeeded("the address is already verified"));
    }
    Ok((proof_words(head.public_url(), url, !is_own), proof.email))
}

/// Omits the name if the address is unverified: another person may have signed up with it.
pub(super) fn greeting(user: &User) -> String {
    if user.email_verified {
        format!("Hello {},", isolate(&user.name))
    } else {
        "Hello,".to_owned()
    }
}

fn reset_words(public_url: &str, hello: &str, url: String) -> Letter {
    Letter::new("Set a new password")
        .with(Block::Heading("Set a new password".to_owned()))
        .with_text(format!(
            "{hello} somebody said on Stagedoor that they forgot the password of this \
             address. If that was you, follow the link. It works once, for 30 minutes."
        ))
        .with(Block::Link {
            label: "Set a new password",
            url,
        })
        .with_text(
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
        .with_text(format!(
            "{hello} somebody asked on Stagedoor to sign in with this address, which has \
             bought as a guest. If that was you, follow the link: you can go on without a password, \
             or set one. It works once, for 30 minutes."
        ))
        .with(Block::Link {
            label: "Sign in",
            url,
        })
        .with_text(
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
        .with_text(format!(
            "{hello} the password of your account is a new one, and you are signed out \
             wherever you were signed in before. If you did that, there is nothing more to do."
        ))
        .with_text(
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
        .with_text(asked)
        .with(Block::Link {
            label: "Confirm the address",
            url,
        })
        .with_text(
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
        .with_text(
            "An account on Stagedoor had this address. It now has another one, which its owner has \
             confirmed, and mails about it no longer come here. If you did that, or never had an \
             account there, there is nothing to do.",
        )
        .with_text(
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
    fn a_verification_says_what_to_do_if_someone_else_asked() {
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
    fn a_reset_link_says_how_long_it_works_and_what_to_do_if_someone_else_asked() {
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
    fn a_notice_of_a_changed_password_has_a_link_to_reset_it() {
        let letter = changed_words("https://tickets.example", "Hello Ann,");
        for said in [letter.text(), letter.html()] {
            assert!(said.contains("If it was not you"), "{said}");
            assert!(said.contains("https://tickets.example/forgot"), "{said}");
        }
    }
}
