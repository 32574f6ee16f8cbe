//! What a browser can ask of accounts.

use super::{SignIn, SignUp, User, Viewer};
use crate::error::AppResult;
use async_trait::async_trait;

/// Accounts and the session of this request. The session is the request's own: the
/// implementation finds it in the request's parts, callers never name one.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Makes an account and signs it in.
    ///
    /// Errors: `Invalid` at `email` (malformed, in use), `password` or `name`; `TooManyRequests`.
    async fn sign_up(&self, request: SignUp) -> AppResult<User>;

    /// Signs in, under a new session id.
    ///
    /// Errors: `BadCredentials`, one and the same for an unknown address and a wrong password;
    /// `TooManyRequests`.
    async fn sign_in(&self, request: SignIn) -> AppResult<User>;

    /// Ends the session on the server. Signing out twice is fine.
    async fn sign_out(&self) -> AppResult<()>;

    /// Changes what others see of the viewer.
    ///
    /// Errors: `Invalid` at `name`.
    async fn rename(&self, viewer: &Viewer, name: String) -> AppResult<User>;
}
