//! Wire types of accounts.

use crate::ids::{SessionId, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A person with an account, as they see themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The address they sign in with.
    pub email: String,
    /// What sellers and buyers see of them.
    pub name: String,
    /// Whether the address was verified by a link that was mailed to it.
    #[serde(default)]
    pub email_verified: bool,
    /// Counts changes, from 1.
    pub version: i64,
}

/// The signed-in user of a request. The server derives it from the session, never from request data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    pub user: User,
}

/// A password that has not been hashed yet. Its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = Password))]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What the link in a mail carries to set a new password. Its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(transparent)]
pub struct ResetToken(pub String);

impl fmt::Debug for ResetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetToken(…)")
    }
}

/// What signing up takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignUp {
    /// An address that no other account has.
    #[cfg_attr(feature = "openapi", schema(min_length = 3, max_length = 254))]
    pub email: String,
    /// 8 to 256 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, min_length = 8, max_length = 256))]
    pub password: Password,
    /// What others see, up to 80 characters; the part of the address before the @ if missing.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 80))]
    pub name: Option<String>,
}

/// A guest's name and address.
#[derive(Debug, Clone)]
pub struct BuyAsGuest {
    /// An address that has no account.
    pub email: String,
    /// The name on the tickets.
    pub name: String,
    /// A secret id of the form: sending the form twice creates one account.
    pub form: Option<Uuid>,
    /// The path of this site at which a returning guest continues after following the mailed link.
    pub next: String,
}

/// Message for a new account with an address that has an account.
pub const ADDRESS_IN_USE: &str = "There is an account with this address. Sign in instead.";

/// Message for the address of a returning guest: a link has been mailed to it.
pub const GUEST_CAME_BACK: &str = "You have bought with this address before. To go on, follow the link that we have just mailed to it.";

/// The account that a reset link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetLink {
    pub email: String,
    /// False for guests, who can sign in by the link without setting a password.
    pub has_password: bool,
    /// Whether a code is also required.
    pub second_factor: bool,
}

/// A sign-in by a mailed link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSignIn {
    pub user: User,
    /// The path at which to continue, if the link was requested from a page.
    pub next: Option<String>,
}

/// What signing in takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    /// The address of the account.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 254))]
    pub email: String,
    /// Its password.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, min_length = 1, max_length = 256))]
    pub password: Password,
    /// What its authenticator app shows, or a recovery code, if it has a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 64))]
    pub code: Option<String>,
}

/// What a new password takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePassword {
    /// The current password; empty if the account has none.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, max_length = 256))]
    pub current_password: Password,
    /// 8 to 256 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, min_length = 8, max_length = 256))]
    pub new_password: Password,
}

/// What asking for the link to a new password takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forgot {
    /// The address of the account.
    #[cfg_attr(feature = "openapi", schema(min_length = 3, max_length = 254))]
    pub email: String,
}

/// What setting a forgotten password takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetPassword {
    /// From the link in the mail. It works once, for 30 minutes.
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 256))]
    pub token: ResetToken,
    /// 8 to 256 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, min_length = 8, max_length = 256))]
    pub password: Password,
    /// What the authenticator app shows, or a recovery code, if the account has a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 64))]
    pub code: Option<String>,
}

/// What another address takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeEmail {
    /// Where a link is mailed to; once it is followed, this is the account's address.
    #[cfg_attr(feature = "openapi", schema(min_length = 3, max_length = 254))]
    pub email: String,
    /// The account's password; empty if it has none.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, max_length = 256))]
    pub password: Password,
}

/// What proving an address takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyEmail {
    /// From the link in the mail. It works once, for three days.
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 256))]
    pub token: ResetToken,
}

/// What a verification link will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationLink {
    /// The address to verify.
    pub email: String,
    /// Whether it replaces the account's current address.
    pub is_new: bool,
}

/// What deleting one's account takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteAccount {
    /// Its password; empty if it has none.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, max_length = 256))]
    pub password: Password,
}

/// One place where the viewer is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignedInAt {
    /// Identifies the session; it is not the secret in the cookie.
    pub id: SessionId,
    /// Browser and system, like `Firefox on Windows`.
    pub device: String,
    /// The network that it was last used from, without its last part, like `192.0.2.0/24`; null if that
    /// is not known.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub network: Option<String>,
    /// Since when; null if that is not known.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub begun_at: Option<Timestamp>,
    /// When it was last used, to the hour; null if that is not known.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub seen_at: Option<Timestamp>,
    /// Whether this request uses it.
    pub current: bool,
}

/// What an operator sends to end all sessions of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndSessionsOf {
    /// The address of the account.
    #[cfg_attr(feature = "openapi", schema(min_length = 3, max_length = 254))]
    pub email: String,
}

/// Where the viewer is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignedInList {
    /// First the session of this request, then those that were used last; at most 100.
    pub sessions: Vec<SignedInAt>,
}
