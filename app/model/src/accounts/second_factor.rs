//! Wire types of the second factor: an app that shows a new code every 30 seconds, and recovery codes for
//! when it is lost.

use super::{Password, User};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The token of a sign-in with a correct password that still needs a code. Valid for ten minutes.
/// `Debug` is redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingSignIn(pub String);

impl fmt::Debug for PendingSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingSignIn(…)")
    }
}

/// The result of the first step of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInStep {
    Done(User),
    /// A code is required.
    Code(PendingSignIn),
}

/// Whether the viewer's account has a second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SecondFactorState {
    /// Since when; null if it has none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub enabled_at: Option<Timestamp>,
    /// How many recovery codes have not been used.
    pub recovery_codes_left: i64,
    /// Whether it is needed: the viewer is an operator of a shop that asks operators for it.
    pub required: bool,
}

/// What an authenticator app is set up with. Nothing is kept of it until a code of the app is sent back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SecondFactorSetup {
    /// Names it for the hour in which it can be used. Encrypted.
    pub setup: String,
    /// What is typed into the app where it cannot scan: Base32, RFC 6238 with SHA-1, 6 digits, 30 s.
    pub secret: String,
    /// The same as an address, which is what the QR code has.
    pub uri: String,
}

impl fmt::Debug for SecondFactorSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecondFactorSetup(…)")
    }
}

/// What turning the second factor on takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnableSecondFactor {
    /// From the setup.
    #[cfg_attr(feature = "openapi", schema(max_length = 1024))]
    pub setup: String,
    /// The account's password.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, min_length = 1, max_length = 256))]
    pub password: Password,
    /// What the app shows.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub code: String,
}

/// What changing or turning off the second factor takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProveSecondFactor {
    /// The account's password.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, min_length = 1, max_length = 256))]
    pub password: Password,
    /// What the app shows, or a recovery code.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub code: String,
}

/// Codes that each work once in place of the app's. They are shown once. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RecoveryCodes {
    /// Ten of them.
    pub recovery_codes: Vec<String>,
}

impl fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCodes(…)")
    }
}
