//! The ports of accounts.

#[cfg(doc)]
use super::GUEST_CAME_BACK;
use super::{
    BuyAsGuest, ChangeEmail, ChangePassword, DeleteAccount, EnableSecondFactor, EndSessionsOf,
    Forgot, LinkSignIn, PendingSignIn, ProveSecondFactor, RecoveryCodes, ResetLink, ResetPassword,
    ResetToken, SecondFactorSetup, SecondFactorState, SignIn, SignInStep, SignUp, SignedInAt, User,
    VerificationLink, Viewer,
};
use crate::ids::{SessionId, UserId};
use crate::{error::AppResult, order_link::OrderLink, qr::Qr};
use async_trait::async_trait;
use std::collections::HashMap;

/// Accounts and the session of this request. The implementation gets the session from the request;
/// callers do not pass it.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Creates an account and signs in.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use), `password` or `name`; `TooManyRequests`.
    async fn sign_up(&self, request: SignUp) -> AppResult<User>;

    /// Creates an account without a password and signs in. Sending the same form again within ten minutes
    /// returns the same account; no other existing account can be reached. A returning guest is mailed a
    /// link that signs in and continues the purchase; the error is then [`GUEST_CAME_BACK`] at `email`.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use) or `name`; `TooManyRequests`.
    async fn buy_as_guest(&self, request: BuyAsGuest) -> AppResult<User>;

    /// Signs in, under a new session id.
    ///
    /// Errors: `BadCredentials`, the same for an unknown address and a wrong password;
    /// `SecondFactorRequired`, if the code is missing or wrong; `Invalid` at an empty field;
    /// `TooManyRequests`.
    async fn sign_in(&self, request: SignIn) -> AppResult<User>;

    /// Ends the session on the server. Idempotent.
    async fn sign_out(&self) -> AppResult<()>;

    /// Changes the viewer's name.
    ///
    /// Errors: `Invalid` at `name`.
    async fn rename(&self, viewer: &Viewer, name: String) -> AppResult<User>;

    /// Whether this session was signed in within the last 30 minutes, which proves the identity of a user
    /// without a password.
    async fn signed_in_recently(&self) -> AppResult<bool>;

    /// Whether the viewer's account has a password; guests have none.
    async fn has_password(&self, viewer: &Viewer) -> AppResult<bool>;

    /// The names of these users; ids without a user are absent.
    async fn find_names(&self, ids: &[UserId]) -> AppResult<HashMap<UserId, String>>;
}

/// Passwords, sessions, the address, and deleting the account.
#[async_trait]
pub trait AccountCare: Send + Sync {
    /// Sets a new password, or a guest's first, ends all other sessions and gives this one a new id.
    ///
    /// Errors: `Invalid` at `currentPassword` or `newPassword`; `TooManyRequests`.
    async fn change_password(&self, viewer: &Viewer, request: ChangePassword) -> AppResult<()>;

    /// The viewer's sessions: this one first, then the most recently used; at most 100.
    async fn list_sessions(&self, viewer: &Viewer) -> AppResult<Vec<SignedInAt>>;

    /// Ends a session of the viewer. Errors: `NotFound`.
    async fn end_session(&self, viewer: &Viewer, id: SessionId) -> AppResult<()>;

    /// Ends all other sessions of the viewer and gives this one a new id.
    async fn end_other_sessions(&self, viewer: &Viewer) -> AppResult<()>;

    /// Ends all sessions of the account with this address. For operators.
    ///
    /// Errors: `Forbidden`, `SecondFactorSetupRequired`; `Invalid` at `email`, if there is no such account.
    async fn end_sessions_of(&self, viewer: &Viewer, request: EndSessionsOf) -> AppResult<()>;

    /// Whether the viewer is an operator, with or without the second factor that operators may need.
    async fn is_operator(&self, viewer: &Viewer) -> AppResult<bool>;

    /// Mails a link to set a new password, if there is an account with this address. The result does not
    /// reveal whether there is one. Signing in by the link continues at `next`, a path of this site.
    ///
    /// Errors: `Invalid` at `email`, if it is malformed; `TooManyRequests`.
    async fn request_reset(&self, request: Forgot, next: Option<String>) -> AppResult<()>;

    /// Finds the valid reset link with this token, without consuming it.
    async fn find_reset_link(&self, token: &ResetToken) -> AppResult<Option<ResetLink>>;

    /// Sets a new password, ends all sessions, and signs in. Consumes the token.
    ///
    /// Errors: `Invalid` at `token` (used or expired) or `password`; `SecondFactorRequired`, which does
    /// not consume the token; `TooManyRequests`.
    async fn reset_password(&self, request: ResetPassword) -> AppResult<LinkSignIn>;

    /// Signs a guest in by the token of a mailed link, and ends all other sessions. Consumes the token.
    ///
    /// Errors: `Invalid` at `token` (used, expired, or the account has a password); `TooManyRequests`.
    async fn sign_in_by_link(&self, token: ResetToken) -> AppResult<LinkSignIn>;

    /// Mails a verification link to the viewer's address again; at most one per hour.
    ///
    /// Errors: `TooManyRequests`.
    async fn send_verification_link(&self, viewer: &Viewer) -> AppResult<()>;

    /// Mails a verification link to a new address, which replaces the viewer's when the link is followed.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use) or `password`; `TooManyRequests`.
    async fn change_email(&self, viewer: &Viewer, request: ChangeEmail) -> AppResult<()>;

    /// Finds the valid verification link with this token, without consuming it.
    async fn find_verification_link(
        &self,
        token: &ResetToken,
    ) -> AppResult<Option<VerificationLink>>;

    /// Verifies an address by the token that was mailed to it, without signing in. Consumes the token. If
    /// the address replaces another one, that one is notified.
    ///
    /// Errors: `Invalid` at `token` (used, expired, or the address belongs to another account by now);
    /// `TooManyRequests`.
    async fn verify_email(&self, token: ResetToken) -> AppResult<User>;

    /// Verifies the viewer's address if the link, from the mail about a paid order, leads to an order of
    /// theirs; otherwise does nothing.
    async fn verify_by_order_link(&self, viewer: &Viewer, link: &OrderLink) -> AppResult<()>;

    /// Deletes the viewer's account: withdraws their listings, removes name, address and password, and
    /// ends all sessions. Orders, payments and the ledger stay.
    ///
    /// Errors: `Invalid` at `password`, also if the account has none and the session is older than 30
    /// minutes; `AccountOrderOpen`, `AccountRefundOpen`, `AccountSaleOpen`, `AccountTicketsSold`,
    /// `AccountMoneyOwed`; `TooManyRequests`.
    async fn delete_account(&self, viewer: &Viewer, request: DeleteAccount) -> AppResult<()>;
}

/// The second factor, and signing in with it.
#[async_trait]
pub trait SecondFactor: Send + Sync {
    /// Checks the password, and signs in unless the account also requires a code.
    ///
    /// Errors: as [`Accounts::sign_in`], without `SecondFactorRequired`.
    async fn begin_sign_in(&self, request: SignIn) -> AppResult<SignInStep>;

    /// The address of a pending sign-in. None: it has expired.
    async fn find_pending_sign_in(&self, pending: &PendingSignIn) -> AppResult<Option<String>>;

    /// Completes a pending sign-in with a code.
    ///
    /// Errors: `SignInRequired`, if it has expired or the password was changed since;
    /// `SecondFactorRequired`; `TooManyRequests`.
    async fn finish_sign_in(&self, pending: PendingSignIn, code: String) -> AppResult<User>;

    /// The state of the viewer's second factor.
    async fn get_second_factor(&self, viewer: &Viewer) -> AppResult<SecondFactorState>;

    /// Returns what an authenticator app is set up with: the `existing` setup if it is still valid, or a new
    /// one. Nothing is stored.
    async fn begin_second_factor_setup(
        &self,
        viewer: &Viewer,
        existing: Option<String>,
    ) -> AppResult<(SecondFactorSetup, Qr)>;

    /// Turns the second factor on, ends all other sessions, and returns the recovery codes.
    ///
    /// Errors: `Invalid` at `password`, `code` or `setup`; `SecondFactorOn`; `TooManyRequests`.
    async fn enable_second_factor(
        &self,
        viewer: &Viewer,
        request: EnableSecondFactor,
    ) -> AppResult<RecoveryCodes>;

    /// Replaces all recovery codes.
    ///
    /// Errors: `Invalid` at `password` or `code`; `SecondFactorOff`; `TooManyRequests`.
    async fn renew_recovery_codes(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> AppResult<RecoveryCodes>;

    /// Turns the second factor off.
    ///
    /// Errors: as [`Self::renew_recovery_codes`].
    async fn disable_second_factor(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> AppResult<()>;
}
