//! Accounts, as the browser sees them.

use crate::ids::UserId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A person with an account, as they see themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The address they sign in with.
    pub email: String,
    /// What sellers and buyers see of them.
    pub name: String,
    /// Counts changes, from 1.
    pub version: i64,
}

/// Who is asking. Made from the session by the server, never from a request's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The signed-in user.
    pub user: User,
}

/// A password on its way to be hashed. Its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema), schema(value_type = String, format = Password))]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What signing up takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignUp {
    /// An address nobody else has signed up with.
    pub email: String,
    /// At least 8 characters.
    pub password: Password,
    /// What others see; the part of the address before the @ if missing.
    #[serde(default)]
    pub name: Option<String>,
}

/// What signing in takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    /// The address of the account.
    pub email: String,
    /// Its password.
    pub password: Password,
}
