//! What an account must be like. Pure.

use super::guessable::{Guessable, guessable};
use crate::text::line_error;
use email_address::{EmailAddress, Options};
use model::{
    accounts::{BuyAsGuest, ChangeEmail, ChangePassword, Password, SignIn, SignUp, User},
    error::{AppError, FieldError},
};
use unicode_normalization::UnicodeNormalization;

const EMAIL_MAX: usize = 254;
const PASSWORD_MIN: usize = 8;
/// Enough for any passphrase, and little enough to hash.
const PASSWORD_MAX: usize = 256;
const NAME_MAX: usize = 80;

/// A sign-up that may be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// As typed, trimmed.
    pub email: String,
    /// What others see.
    pub name: String,
}

/// By which an address is found: in small letters, its domain in the form that mail servers use.
/// `Ann@München.example` and `ann@xn--mnchen-3ya.example` are one address.
pub fn email_key(email: &str) -> String {
    let (local, domain) = parts(email);
    let local: String = local.nfc().flat_map(char::to_lowercase).collect();
    match domain {
        Some(domain) => format!("{local}@{domain}"),
        None => local,
    }
}

/// The address as every mail server takes it: its domain without signs beyond ASCII.
pub fn email_for_mail(email: &str) -> String {
    let (local, domain) = parts(email);
    match domain {
        Some(domain) => format!("{local}@{domain}"),
        None => local.to_owned(),
    }
}

/// What is before the last @, and the domain after it in ASCII. A domain that has no such form is left
/// as it is, in small letters.
fn parts(email: &str) -> (&str, Option<String>) {
    let email = email.trim();
    match email.rsplit_once('@') {
        Some((local, domain)) => {
            let ascii = idna::domain_to_ascii(domain);
            (local, Some(ascii.unwrap_or_else(|_| domain.to_lowercase())))
        }
        None => (email, None),
    }
}

/// Checks a sign-up; all that is wrong is said at once.
pub(crate) fn check(request: &SignUp) -> Result<Checked, AppError> {
    let mut errors = Vec::new();
    let email = request.email.trim();
    errors.extend(email_error(email));
    let given = request.name.as_deref().unwrap_or_default();
    errors.extend(password_error(
        "password",
        &request.password,
        &[email, given],
    ));
    let asked = request
        .name
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let local = email.split('@').next().unwrap_or_default();
    let name = asked.map_or_else(|| local.chars().take(NAME_MAX).collect(), str::to_owned);
    errors.extend(name_error(&name));
    if errors.is_empty() {
        Ok(Checked {
            email: email.to_owned(),
            name,
        })
    } else {
        Err(AppError::Invalid(errors))
    }
}

/// Checks what a guest says of themselves; all that is wrong is said at once.
pub(crate) fn check_guest(request: &BuyAsGuest) -> Result<Checked, AppError> {
    let (email, name) = (request.email.trim(), request.name.trim());
    let wrong = email_error(email).into_iter().chain(given_name_error(name));
    said(wrong.collect())?;
    Ok(Checked {
        email: email.to_owned(),
        name: name.to_owned(),
    })
}

/// Checks a new name.
pub(crate) fn check_name(name: &str) -> Result<String, AppError> {
    let name = name.trim();
    said(given_name_error(name).into_iter().collect())?;
    Ok(name.to_owned())
}

/// Checks that both parts of a sign-in are there, and no longer than any account's.
pub(crate) fn check_sign_in(request: &SignIn) -> Result<(), AppError> {
    let mut errors = Vec::new();
    let email = request.email.trim();
    if email.is_empty() || email.contains(char::is_control) {
        errors.push(FieldError::new("email", "Enter your address."));
    } else if email.len() > EMAIL_MAX {
        let message = format!("Use at most {EMAIL_MAX} characters.");
        errors.push(FieldError::new("email", message));
    }
    errors.extend(given_error("password", &request.password));
    said(errors)
}

/// Checks the address that somebody forgot their password of.
pub fn check_email(email: &str) -> Result<(), AppError> {
    said(email_error(email.trim()).into_iter().collect())
}

/// Checks another address, and that the password was given, if there is one.
pub(crate) fn check_new_email(request: &ChangeEmail, has_password: bool) -> Result<(), AppError> {
    let email = email_error(request.email.trim());
    let password = given_error("password", &request.password).filter(|_| has_password);
    said(email.into_iter().chain(password).collect())
}

/// Checks a new password of `user`'s; the error is at `field`.
pub(crate) fn check_password(
    field: &str,
    password: &Password,
    user: &User,
) -> Result<(), AppError> {
    let own = [user.email.as_str(), user.name.as_str()];
    said(password_error(field, password, &own).into_iter().collect())
}

/// Checks a change of password of `user`'s, as far as that goes without knowing the one before, or a
/// first password, if `has_one` is false.
pub(crate) fn check_change(
    request: &ChangePassword,
    has_one: bool,
    user: &User,
) -> Result<(), AppError> {
    let own = [user.email.as_str(), user.name.as_str()];
    let current = given_error("currentPassword", &request.current_password).filter(|_| has_one);
    let new = password_error("newPassword", &request.new_password, &own);
    said(current.into_iter().chain(new).collect())
}

/// Checks that a password was given at all, and is no longer than any account's.
pub(crate) fn check_given(field: &str, password: &Password) -> Result<(), AppError> {
    said(given_error(field, password).into_iter().collect())
}

/// Checks that both proofs were given that a change of the second factor takes.
pub(crate) fn check_second_factor(password: &Password, code: &str) -> Result<(), AppError> {
    let mut errors: Vec<_> = given_error("password", password).into_iter().collect();
    if code.trim().is_empty() {
        errors.push(FieldError::new(
            "code",
            "Enter the code that your app shows.",
        ));
    }
    said(errors)
}

/// The password that proves who somebody is, is not the right one.
pub(crate) fn wrong_password(field: &str) -> AppError {
    AppError::invalid(field, "That is not your password.")
}

/// Somebody without a password has been signed in for too long to delete the account by that alone.
pub(crate) fn sign_in_anew(field: &str) -> AppError {
    AppError::invalid(
        field,
        "You signed in a while ago. Have a link mailed, follow it, and delete the account then.",
    )
}

/// The link's time is over, it was used, or it never was one.
pub(crate) fn dead_token() -> AppError {
    AppError::invalid(
        "token",
        "This link has been used, or its 30 minutes are over. Ask for a new one.",
    )
}

/// The link that proves an address does so no more.
pub(crate) fn dead_proof() -> AppError {
    AppError::invalid(
        "token",
        "This link has been used, or its three days are over. Your account's page sends a new one.",
    )
}

fn said(errors: Vec<FieldError>) -> Result<(), AppError> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(AppError::Invalid(errors))
    }
}

fn email_error(email: &str) -> Option<FieldError> {
    (email.len() > EMAIL_MAX || !is_address(email))
        .then(|| FieldError::new("email", "Enter an address like name@example.com."))
}

/// What is wrong with a new password. What it is made of is its owner's business, unless others
/// would try it first; `own` is what they know of the account.
fn password_error(field: &str, password: &Password, own: &[&str]) -> Option<FieldError> {
    let length = password.0.chars().count();
    let message = if length < PASSWORD_MIN {
        format!("Use at least {PASSWORD_MIN} characters.")
    } else if length > PASSWORD_MAX {
        too_long()
    } else {
        match guessable(&password.0, own)? {
            Guessable::Known => "Many people use this password, so it is guessed first. Choose \
                                 another, for example three words that have nothing in common."
                .to_owned(),
            Guessable::Own => "Choose a password that is not your name or address, nor this \
                               shop's."
                .to_owned(),
        }
    };
    Some(FieldError::new(field, message))
}

fn too_long() -> String {
    format!("Use at most {PASSWORD_MAX} characters.")
}

/// What is wrong with a password that should be an account's.
fn given_error(field: &str, password: &Password) -> Option<FieldError> {
    if password.0.is_empty() {
        return Some(FieldError::new(field, "Enter your password."));
    }
    let long = password.0.chars().count() > PASSWORD_MAX;
    long.then(|| FieldError::new(field, too_long()))
}

fn given_name_error(name: &str) -> Option<FieldError> {
    if name.is_empty() {
        return Some(FieldError::new("name", "This can't be empty."));
    }
    name_error(name)
}

fn name_error(name: &str) -> Option<FieldError> {
    if name.chars().count() > NAME_MAX {
        Some(FieldError::new(
            "name",
            format!("Use at most {NAME_MAX} characters."),
        ))
    } else {
        line_error(name).map(|wrong| FieldError::new("name", wrong))
    }
}

fn is_address(email: &str) -> bool {
    let options = Options::default()
        .with_required_tld()
        .without_display_text()
        .without_domain_literal();
    EmailAddress::parse_with_options(email, options).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_up(email: &str, password: &str, name: Option<&str>) -> Result<Checked, AppError> {
        check(&SignUp {
            email: email.to_owned(),
            password: Password(password.to_owned()),
            name: name.map(str::to_owned),
        })
    }

    #[test]
    fn the_name_is_the_addresss_first_part_if_none_is_given() {
        let checked = sign_up(" ann@example.com ", "correct horse", Some("  ")).unwrap();
        assert_eq!(
            (checked.email.as_str(), checked.name.as_str()),
            ("ann@example.com", "ann")
        );
    }

    #[test]
    fn a_domain_is_the_same_however_it_is_written() {
        let key = "ann@xn--mnchen-3ya.example";
        for email in [
            "ann@münchen.example",
            " Ann@MÜNCHEN.Example ",
            "ann@mu\u{308}nchen.example",
            "ann@xn--mnchen-3ya.example",
            "ANN@XN--MNCHEN-3YA.EXAMPLE",
        ] {
            assert_eq!(email_key(email), key, "{email}");
        }
        assert_eq!(
            email_for_mail("Ann@münchen.example"),
            "Ann@xn--mnchen-3ya.example"
        );
        assert_eq!(email_for_mail("Ann@Example.com"), "Ann@example.com");
        assert_eq!(email_key("Ann"), "ann");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for email in [
            "",
            "nonsense",
            "a@",
            "@b.example",
            "a b@example.com",
            "a@b@example.com",
        ] {
            assert!(sign_up(email, "correct horse", None).is_err(), "{email}");
        }
    }

    #[test]
    fn a_password_counts_characters_not_bytes() {
        assert!(sign_up("a@example.com", "пароль77", None).is_ok());
        assert!(sign_up("a@example.com", "пароль7", None).is_err());
        let long: String = ('a'..='z').cycle().step_by(3).take(257).collect();
        assert!(sign_up("a@example.com", &long[..256], None).is_ok());
        assert!(sign_up("a@example.com", &long, None).is_err());
    }

    #[test]
    fn a_password_that_is_guessed_first_is_refused_at_its_field() {
        for (password, name) in [
            ("Password1", None),
            ("ann.archer1", None),
            ("AnnArcher", Some("Ann Archer")),
        ] {
            let refused = sign_up("ann.archer@example.com", password, name).unwrap_err();
            assert_eq!(refused.fields()[0].field, "password", "{password}");
        }
    }

    #[test]
    fn no_sign_in_is_longer_than_an_account_can_be() {
        let sign_in = |email: &str, password: &str| {
            check_sign_in(&SignIn {
                email: email.to_owned(),
                password: Password(password.to_owned()),
                code: None,
            })
        };
        assert!(sign_in("a@example.com", "x").is_ok());
        assert!(sign_in(&"a".repeat(250_000), "x").is_err());
        assert!(sign_in("a@example.com", &"x".repeat(257)).is_err());
    }
}
