//! What a browser can ask of accounts.

#[cfg(doc)]
use super::GUEST_CAME_BACK;
use super::{
    BuyAsGuest, CameIn, ChangeEmail, ChangePassword, DeleteAccount, EmailProof, EnableSecondFactor,
    EndSessionsOf, Forgot, LinkToAccount, PendingSignIn, ProveSecondFactor, RecoveryCodes,
    ResetPassword, ResetToken, SecondFactorSetup, SecondFactorState, SignIn, SignInStep, SignUp,
    SignedInAt, User, Viewer,
};
use crate::ids::{SessionId, UserId};
use crate::{error::AppResult, order_link::OrderLink, qr::Qr};
use async_trait::async_trait;
use std::collections::HashMap;

/// Accounts and the session of this request. The session is the request's own: the
/// implementation finds it in the request's parts, callers never name one.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Makes an account and signs it in.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use), `password` or `name`; `TooManyRequests`.
    async fn sign_up(&self, request: SignUp) -> AppResult<User>;

    /// Makes an account without a password and signs it in. The same form sent again within ten
    /// minutes is the same guest; any other account is out of reach. A returning guest is mailed a link
    /// that signs in and continues the purchase; the form shows [`GUEST_CAME_BACK`] at `email`.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use) or `name`; `TooManyRequests`.
    async fn buy_as_guest(&self, request: BuyAsGuest) -> AppResult<User>;

    /// Signs in, under a new session id.
    ///
    /// Errors: `BadCredentials`, one and the same for an unknown address and a wrong password;
    /// `SecondFactorRequired`, where the code is missing or wrong; `Invalid` at what is empty;
    /// `TooManyRequests`.
    async fn sign_in(&self, request: SignIn) -> AppResult<User>;

    /// Ends the session on the server. Signing out twice is fine.
    async fn sign_out(&self) -> AppResult<()>;

    /// Changes what others see of the viewer.
    ///
    /// Errors: `Invalid` at `name`.
    async fn rename(&self, viewer: &Viewer, name: String) -> AppResult<User>;

    /// Whether this session was signed in within the last half hour, which proves who somebody is who
    /// has no password.
    async fn signed_in_lately(&self) -> AppResult<bool>;

    /// Whether a password opens the viewer's account; guests have none.
    async fn has_password(&self, viewer: &Viewer) -> AppResult<bool>;

    /// What others see of these users; those that don't exist are missing.
    async fn names(&self, ids: &[UserId]) -> AppResult<HashMap<UserId, String>>;
}

/// What people do about their accounts now and then: who else is in, a new password, the end.
#[async_trait]
pub trait AccountCare: Send + Sync {
    /// Sets a new password, or the first, ends all other sessions and gives this one a new id.
    ///
    /// Errors: `Invalid` at `currentPassword` or `newPassword`; `TooManyRequests`.
    async fn change_password(&self, viewer: &Viewer, request: ChangePassword) -> AppResult<()>;

    /// Where the viewer is signed in: this session first, then those used last; at most 100.
    async fn sessions(&self, viewer: &Viewer) -> AppResult<Vec<SignedInAt>>;

    /// Ends one session of the viewer's. Errors: `NotFound`.
    async fn end_session(&self, viewer: &Viewer, id: SessionId) -> AppResult<()>;

    /// Ends all sessions of the viewer's but this one, which gets a new id.
    async fn end_other_sessions(&self, viewer: &Viewer) -> AppResult<()>;

    /// Ends all sessions of the account with this address, on the word of the viewer, an operator.
    ///
    /// Errors: `Forbidden`, `SecondFactorSetupRequired`; `Invalid` at `email`, if there is no such account.
    async fn end_sessions_of(&self, viewer: &Viewer, request: EndSessionsOf) -> AppResult<()>;

    /// Whether the viewer is an operator, with or without the second factor that operators may need.
    async fn is_operator(&self, viewer: &Viewer) -> AppResult<bool>;

    /// Has the link to a new password mailed, if there is an account with this address; whether
    /// there is, is not told. Whoever follows it goes on at `next`, a path of this site.
    ///
    /// Errors: `Invalid` at `email`, if it is no address; `TooManyRequests`.
    async fn forgot(&self, request: Forgot, next: Option<String>) -> AppResult<()>;

    /// What the link of this token leads to, if it still works. Uses nothing up.
    async fn link(&self, token: &ResetToken) -> AppResult<Option<LinkToAccount>>;

    /// Sets the password that was forgotten, ends all sessions, and signs in. A token works once.
    ///
    /// Errors: `Invalid` at `token` (used, or its time is over) or `password`; `SecondFactorRequired`,
    /// and the link still works; `TooManyRequests`.
    async fn reset(&self, request: ResetPassword) -> AppResult<CameIn>;

    /// Signs a guest in by the token of a mailed link, which works once; all other sessions end.
    ///
    /// Errors: `Invalid` at `token` (used, over, or there is a password); `TooManyRequests`.
    async fn enter(&self, token: ResetToken) -> AppResult<CameIn>;

    /// Mails the link that proves the viewer's address once more; at most one an hour.
    ///
    /// Errors: `TooManyRequests`.
    async fn send_proof(&self, viewer: &Viewer) -> AppResult<()>;

    /// Mails a link to another address, which becomes the viewer's once the link is followed.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use) or `password`; `TooManyRequests`.
    async fn change_email(&self, viewer: &Viewer, request: ChangeEmail) -> AppResult<()>;

    /// What a link that proves an address leads to, if it still works. Uses nothing up.
    async fn proof(&self, token: &ResetToken) -> AppResult<Option<EmailProof>>;

    /// Takes an address as proved by the link that was mailed there, which works once. Signs nobody
    /// in. The address before, if there was another, is told.
    ///
    /// Errors: `Invalid` at `token` (used, its time is over, or the address is another account's by
    /// now); `TooManyRequests`.
    async fn verify_email(&self, token: ResetToken) -> AppResult<User>;

    /// Takes the viewer's address as proved if the link, which is in the mail about a paid order, is to
    /// an order of theirs; otherwise nothing happens.
    async fn verify_by_link(&self, viewer: &Viewer, link: &OrderLink) -> AppResult<()>;

    /// Deletes the viewer's account: their listings are withdrawn, name, address and password are
    /// gone, all sessions end. What others hold on to stays: orders, payments, books.
    ///
    /// Errors: `Invalid` at `password`, also where there is none and the session is older than half an
    /// hour; `AccountOrderOpen`, `AccountRefundOpen`, `AccountSaleOpen`,
    /// `AccountTicketsSold`, `AccountMoneyOwed`, and nothing is changed; `TooManyRequests`.
    async fn delete(&self, viewer: &Viewer, request: DeleteAccount) -> AppResult<()>;
}

/// The second factor, and signing in with it.
#[async_trait]
pub trait SecondFactor: Send + Sync {
    /// Checks the password, and signs in unless the account asks for a code besides.
    ///
    /// Errors: as [`Accounts::sign_in`], without `SecondFactorRequired`.
    async fn begin_sign_in(&self, request: SignIn) -> AppResult<SignInStep>;

    /// Whose sign-in this is, while it may go on: their address.
    async fn pending(&self, pending: &PendingSignIn) -> AppResult<Option<String>>;

    /// Signs in by the code that a right password has made possible.
    ///
    /// Errors: `SignInRequired`, if it was too long ago or the password was changed since;
    /// `SecondFactorRequired`; `TooManyRequests`.
    async fn finish_sign_in(&self, pending: PendingSignIn, code: String) -> AppResult<User>;

    /// Whether the viewer has one.
    async fn state(&self, viewer: &Viewer) -> AppResult<SecondFactorState>;

    /// What an app is set up with: the setup of this name again, if it still can be used, or a new one.
    /// Nothing is written.
    async fn begin_setup(
        &self,
        viewer: &Viewer,
        before: Option<String>,
    ) -> AppResult<(SecondFactorSetup, Qr)>;

    /// Turns it on, ends all other sessions, and returns the recovery codes.
    ///
    /// Errors: `Invalid` at `password`, `code` or `setup`; `SecondFactorOn`; `TooManyRequests`.
    async fn enable(
        &self,
        viewer: &Viewer,
        request: EnableSecondFactor,
    ) -> AppResult<RecoveryCodes>;

    /// Replaces the recovery codes, used or not.
    ///
    /// Errors: `Invalid` at `password` or `code`; `SecondFactorOff`; `TooManyRequests`.
    async fn renew_codes(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> AppResult<RecoveryCodes>;

    /// Turns it off.
    ///
    /// Errors: as [`Self::renew_codes`].
    async fn disable(&self, viewer: &Viewer, request: ProveSecondFactor) -> AppResult<()>;
}
