//! Validation of addresses, names and passwords. Pure.

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
/// Longer than any passphrase, short enough to hash.
const PASSWORD_MAX: usize = 256;
const NAME_MAX: usize = 80;

/// The validated data of a new account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    /// As typed, trimmed.
    pub email: String,
    pub name: String,
}

/// The key by which an address is found: in lower case, its domain in ASCII (punycode).
/// `Ann@München.example` and `ann@xn--mnchen-3ya.example` have the same key.
pub fn email_key(email: &str) -> String {
    let (local, domain) = split_address(email);
    let local: String = local.nfc().flat_map(char::to_lowercase).collect();
    match domain {
        Some(domain) => format!("{local}@{domain}"),
        None => local,
    }
}

/// The address as every mail server accepts it: its domain in ASCII.
pub fn email_for_mail(email: &str) -> String {
    let (local, domain) = split_address(email);
    match domain {
        Some(domain) => format!("{local}@{domain}"),
        None => local.to_owned(),
    }
}

/// The part before the last @, and the domain after it in ASCII, or in lower case if it has no ASCII
/// form.
fn split_address(email: &str) -> (&str, Option<String>) {
    let email = email.trim();
    match email.rsplit_once('@') {
        Some((local, domain)) => {
            let ascii = idna::domain_to_ascii(domain);
            (local, Some(ascii.unwrap_or_else(|_| domain.to_lowercase())))
        }
        None => (email, None),
    }
}

/// Reports every wrong field.
pub(crate) fn check_sign_up(request: &SignUp) -> Result<Profile, AppError> {
    let mut errors = Vec::new();
    let email = request.email.trim();
    errors.extend(email_error(email));
    let typed_name = request.name.as_deref().unwrap_or_default();
    errors.extend(password_error(
        "password",
        &request.password,
        &[email, typed_name],
    ));
    let wanted = request
        .name
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let local = email.split('@').next().unwrap_or_default();
    let name = wanted.map_or_else(|| local.chars().take(NAME_MAX).collect(), str::to_owned);
    errors.extend(name_error(&name));
    if errors.is_empty() {
        Ok(Profile {
            email: email.to_owned(),
            name,
        })
    } else {
        Err(AppError::Invalid(errors))
    }
}

/// Reports every wrong field.
pub(crate) fn check_guest(request: &BuyAsGuest) -> Result<Profile, AppError> {
    let (email, name) = (request.email.trim(), request.name.trim());
    let wrong = email_error(email)
        .into_iter()
        .chain(required_name_error(name));
    reject_if_any(wrong.collect())?;
    Ok(Profile {
        email: email.to_owned(),
        name: name.to_owned(),
    })
}

/// Returns the name, trimmed.
pub(crate) fn check_name(name: &str) -> Result<String, AppError> {
    let name = name.trim();
    reject_if_any(required_name_error(name).into_iter().collect())?;
    Ok(name.to_owned())
}

/// Checks that address and password are not empty, and no longer than allowed for accounts.
pub(crate) fn check_sign_in(request: &SignIn) -> Result<(), AppError> {
    let mut errors = Vec::new();
    let email = request.email.trim();
    if email.is_empty() || email.contains(char::is_control) {
        errors.push(FieldError::new("email", "Enter your address."));
    } else if email.len() > EMAIL_MAX {
        let message = format!("Use at most {EMAIL_MAX} characters.");
        errors.push(FieldError::new("email", message));
    }
    errors.extend(current_password_error("password", &request.password));
    reject_if_any(errors)
}

/// The error is at `email`.
pub fn check_email(email: &str) -> Result<(), AppError> {
    reject_if_any(email_error(email.trim()).into_iter().collect())
}

/// Checks a new address, and that the current password is not empty, if the account has one.
pub(crate) fn check_new_email(request: &ChangeEmail, has_password: bool) -> Result<(), AppError> {
    let email = email_error(request.email.trim());
    let password = current_password_error("password", &request.password).filter(|_| has_password);
    reject_if_any(email.into_iter().chain(password).collect())
}

/// Checks a new password of `user`; the error is at `field`.
pub(crate) fn check_password(
    field: &str,
    password: &Password,
    user: &User,
) -> Result<(), AppError> {
    let own = [user.email.as_str(), user.name.as_str()];
    reject_if_any(password_error(field, password, &own).into_iter().collect())
}

/// Checks a change of the password of `user`, or a first password if `has_one` is false. The current
/// password is not compared here.
pub(crate) fn check_password_change(
    request: &ChangePassword,
    has_one: bool,
    user: &User,
) -> Result<(), AppError> {
    let own = [user.email.as_str(), user.name.as_str()];
    let current =
        current_password_error("currentPassword", &request.current_password).filter(|_| has_one);
    let new = password_error("newPassword", &request.new_password, &own);
    reject_if_any(current.into_iter().chain(new).collect())
}

/// Checks that a current password is not empty and not too long; the error is at `field`.
pub(crate) fn check_current_password(field: &str, password: &Password) -> Result<(), AppError> {
    reject_if_any(
        current_password_error(field, password)
            .into_iter()
            .collect(),
    )
}

/// Checks that neither password nor code is empty.
pub(crate) fn check_second_factor(password: &Password, code: &str) -> Result<(), AppError> {
    let mut errors: Vec<_> = current_password_error("password", password)
        .into_iter()
        .collect();
    if code.trim().is_empty() {
        errors.push(FieldError::new(
            "code",
            "Enter the code that your app shows.",
        ));
    }
    reject_if_any(errors)
}

/// The current password is wrong.
pub(crate) fn wrong_password(field: &str) -> AppError {
    AppError::invalid(field, "That is not your password.")
}

/// A user without a password signed in too long ago to delete the account.
pub(crate) fn sign_in_again(field: &str) -> AppError {
    AppError::invalid(
        field,
        "You signed in a while ago. Have a link mailed, follow it, and delete the account then.",
    )
}

/// A reset link is expired, used or unknown.
pub(crate) fn invalid_reset_link() -> AppError {
    AppError::invalid(
        "token",
        "This link has been used, or its 30 minutes are over. Ask for a new one.",
    )
}

/// A verification link is expired, used or unknown.
pub(crate) fn invalid_verification_link() -> AppError {
    AppError::invalid(
        "token",
        "This link has been used, or its three days are over. Your account's page sends a new one.",
    )
}

fn reject_if_any(errors: Vec<FieldError>) -> Result<(), AppError> {
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

/// The error of a new password. It may consist of anything, unless attackers would try it first; `own` is
/// the account's address and name.
fn password_error(field: &str, password: &Password, own: &[&str]) -> Option<FieldError> {
    let length = password.0.chars().count();
    let message = if length < PASSWORD_MIN {
        format!("Use at least {PASSWORD_MIN} characters.")
    } else if length > PASSWORD_MAX {
        too_long()
    } else {
        match guessable(&password.0, own)? {
            Guessable::Common => "Many people use this password, so it is guessed first. Choose \
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

fn current_password_error(field: &str, password: &Password) -> Option<FieldError> {
    if password.0.is_empty() {
        return Some(FieldError::new(field, "Enter your password."));
    }
    let long = password.0.chars().count() > PASSWORD_MAX;
    long.then(|| FieldError::new(field, too_long()))
}

fn required_name_error(name: &str) -> Option<FieldError> {
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

    fn sign_up(email: &str, password: &str, name: Option<&str>) -> Result<Profile, AppError> {
        check_sign_up(&SignUp {
            email: email.to_owned(),
            password: Password(password.to_owned()),
            name: name.map(str::to_owned),
        })
    }

    #[test]
    fn the_name_defaults_to_the_local_part_of_the_address() {
        let checked = sign_up(" ann@example.com ", "correct horse", Some("  ")).unwrap();
        assert_eq!(
            (checked.email.as_str(), checked.name.as_str()),
            ("ann@example.com", "ann")
        );
    }

    #[test]
    fn all_spellings_of_a_domain_have_the_same_key() {
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
    fn invalid_addresses_are_refused() {
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
    fn a_guessable_password_is_refused_at_its_field() {
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
    fn a_sign_in_has_the_same_maximum_lengths_as_an_account() {
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
