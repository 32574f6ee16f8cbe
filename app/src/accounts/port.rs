//! What a browser can ask of accounts.

use super::{
    BuyAsGuest, CameIn, ChangeEmail, ChangePassword, DeleteAccount, EmailProof, Forgot,
    LinkToAccount, ResetPassword, ResetToken, SignIn, SignUp, SignedInAt, User, Viewer,
};
use crate::{
    error::AppResult,
    ids::{SessionId, UserId},
    passes::OrderLink,
};
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
    /// minutes is the same guest; any other account is out of reach.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use) or `name`; `TooManyRequests`.
    async fn buy_as_guest(&self, request: BuyAsGuest) -> AppResult<User>;

    /// Signs in, under a new session id.
    ///
    /// Errors: `BadCredentials`, one and the same for an unknown address and a wrong password;
    /// `Invalid` at what is empty; `TooManyRequests`.
    async fn sign_in(&self, request: SignIn) -> AppResult<User>;

    /// Signs a guest in by the token of a mailed link, which works once; all other sessions end.
    ///
    /// Errors: `Invalid` at `token` (used, over, or there is a password); `TooManyRequests`.
    async fn enter(&self, token: ResetToken) -> AppResult<CameIn>;

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

    /// Has the link to a new password mailed, if there is an account with this address; whether
    /// there is, is not told. Whoever follows it goes on at `next`, a path of this site.
    ///
    /// Errors: `Invalid` at `email`, if it is no address; `TooManyRequests`.
    async fn forgot(&self, request: Forgot, next: Option<String>) -> AppResult<()>;

    /// What the link of this token leads to, if it still works. Uses nothing up.
    async fn link(&self, token: &ResetToken) -> AppResult<Option<LinkToAccount>>;

    /// Sets the password that was forgotten, ends all sessions, and signs in. A token works once.
    ///
    /// Errors: `Invalid` at `token` (used, or its time is over) or `password`; `TooManyRequests`.
    async fn reset(&self, request: ResetPassword) -> AppResult<CameIn>;

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
