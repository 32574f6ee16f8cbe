//! `/api/user`.

use crate::rest::{ApiError, Created, JsonBody, NoContent, PathId, Problem, SignedIn, Versioned};
use axum::{Extension, Json, extract::State};
use model::{
    accounts::{
        ChangeEmail, ChangePassword, DeleteAccount, EnableSecondFactor, EndSessionsOf, Forgot,
        ProveSecondFactor, RecoveryCodes, ResetPassword, SecondFactorSetup, SecondFactorState,
        SignIn, SignUp, SignedInList, User, VerifyEmail, Viewer,
    },
    ids::SessionId,
};
use serde::Serialize;
use shop::Api;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of accounts.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(sign_in))
        .routes(routes!(sign_out))
        .routes(routes!(current_user))
        .routes(routes!(delete_account))
        .routes(routes!(change_password))
        .routes(routes!(list_sessions, end_other_sessions))
        .routes(routes!(end_session))
        .routes(routes!(end_sessions_of))
        .routes(routes!(
            get_second_factor,
            enable_second_factor,
            disable_second_factor
        ))
        .routes(routes!(begin_second_factor_setup))
        .routes(routes!(renew_recovery_codes))
        .routes(routes!(request_reset))
        .routes(routes!(reset_password))
        .routes(routes!(change_email))
        .routes(routes!(send_verification_link))
        .routes(routes!(verify_email))
}

/// Makes an account and signs it in.
#[utoipa::path(post, path = "/api/user/signup", tag = "Accounts", request_body = SignUp,
    responses((status = 201, body = User)))]
async fn sign_up(
    State(api): State<Api>,
    JsonBody(request): JsonBody<SignUp>,
) -> Result<Created<Versioned<User>>, ApiError> {
    Ok(Created(Versioned(api.accounts.sign_up(request).await?)))
}

/// Signs in, under a new session.
#[utoipa::path(post, path = "/api/user/signin", tag = "Accounts", request_body = SignIn,
    responses((status = 200, body = User),
        (status = 401, description = "No account has this address and password: code \
            `bad_credentials`. Or the password is right and the account has a second factor, whose \
            `code` is missing, wrong or used: code `second_factor_required`.")))]
async fn sign_in(
    State(api): State<Api>,
    JsonBody(request): JsonBody<SignIn>,
) -> Result<Json<User>, ApiError> {
    Ok(Json(api.accounts.sign_in(request).await?))
}

/// Ends the session on the server.
#[utoipa::path(post, path = "/api/user/signout", tag = "Accounts", responses((status = 204)))]
async fn sign_out(State(api): State<Api>) -> Result<NoContent, ApiError> {
    api.accounts.sign_out().await?;
    Ok(NoContent)
}

/// The signed-in user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CurrentUser {
    /// Null without a session.
    current_user: Option<User>,
}

/// Returns the signed-in user.
#[utoipa::path(get, path = "/api/user/currentuser", tag = "Accounts",
    security((), ("session" = [])),
    responses((status = 200, body = CurrentUser)))]
async fn current_user(viewer: Option<Extension<Viewer>>) -> Json<CurrentUser> {
    Json(CurrentUser {
        current_user: viewer.map(|Extension(viewer)| viewer.user),
    })
}

/// Sets a new password and ends all other sessions. Who bought as a guest and has none yet sends an
/// empty one as the current.
#[utoipa::path(put, path = "/api/user/password", tag = "Accounts", request_body = ChangePassword,
    security(("session" = [])),
    responses((status = 204)))]
async fn change_password(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<ChangePassword>,
) -> Result<NoContent, ApiError> {
    api.account_care.change_password(&viewer, request).await?;
    Ok(NoContent)
}

/// Where one is signed in.
#[utoipa::path(get, path = "/api/user/sessions", tag = "Accounts", operation_id = "sessions",
    security(("session" = [])),
    responses((status = 200, body = SignedInList)))]
async fn list_sessions(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<SignedInList>, ApiError> {
    let sessions = api.account_care.list_sessions(&viewer).await?;
    Ok(Json(SignedInList { sessions }))
}

/// Signs out everywhere else.
#[utoipa::path(delete, path = "/api/user/sessions", tag = "Accounts",
    security(("session" = [])),
    responses((status = 204)))]
async fn end_other_sessions(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<NoContent, ApiError> {
    api.account_care.end_other_sessions(&viewer).await?;
    Ok(NoContent)
}

/// Signs out in one place.
#[utoipa::path(delete, path = "/api/user/sessions/{id}", tag = "Accounts",
    params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 204)))]
async fn end_session(
    State(api): State<Api>,
    PathId(id): PathId<SessionId>,
    SignedIn(viewer): SignedIn,
) -> Result<NoContent, ApiError> {
    api.account_care.end_session(&viewer, id).await?;
    Ok(NoContent)
}

/// Ends all sessions of an account. For operators.
#[utoipa::path(post, path = "/api/user/sessions/end", tag = "Accounts", request_body = EndSessionsOf,
    security(("session" = [])),
    responses((status = 204), (status = 403, body = Problem, description = "Who asks is no operator, or \
        has to set up a second factor first: code `second_factor_setup_required`.")))]
async fn end_sessions_of(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<EndSessionsOf>,
) -> Result<NoContent, ApiError> {
    api.account_care.end_sessions_of(&viewer, request).await?;
    Ok(NoContent)
}

/// Whether one has a second factor.
#[utoipa::path(get, path = "/api/user/second-factor", tag = "Accounts", operation_id = "second_factor",
    security(("session" = [])),
    responses((status = 200, body = SecondFactorState)))]
async fn get_second_factor(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<SecondFactorState>, ApiError> {
    Ok(Json(api.second_factor.get_second_factor(&viewer).await?))
}

/// What an authenticator app is set up with. It counts once a code of the app is sent back, within the
/// hour.
#[utoipa::path(get, path = "/api/user/second-factor/setup", tag = "Accounts", operation_id = "set_up_second_factor",
    security(("session" = [])),
    responses((status = 200, body = SecondFactorSetup)))]
async fn begin_second_factor_setup(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<SecondFactorSetup>, ApiError> {
    let (setup, _) = api
        .second_factor
        .begin_second_factor_setup(&viewer, None)
        .await?;
    Ok(Json(setup))
}

/// Turns the second factor on, signs out everywhere else, and answers with the recovery codes, which are
/// shown this once. An account without a password sets one first.
#[utoipa::path(put, path = "/api/user/second-factor", tag = "Accounts",
    request_body = EnableSecondFactor, security(("session" = [])),
    responses((status = 200, body = RecoveryCodes), (status = 409, body = Problem)))]
async fn enable_second_factor(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<EnableSecondFactor>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    Ok(Json(
        api.second_factor
            .enable_second_factor(&viewer, request)
            .await?,
    ))
}

/// Turns the second factor off.
#[utoipa::path(delete, path = "/api/user/second-factor", tag = "Accounts",
    request_body = ProveSecondFactor, security(("session" = [])),
    responses((status = 204), (status = 409, body = Problem)))]
async fn disable_second_factor(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<ProveSecondFactor>,
) -> Result<NoContent, ApiError> {
    api.second_factor
        .disable_second_factor(&viewer, request)
        .await?;
    Ok(NoContent)
}

/// Replaces the recovery codes, used or not, and answers with the new ones, which are shown this once.
#[utoipa::path(put, path = "/api/user/second-factor/recovery-codes", tag = "Accounts",
    request_body = ProveSecondFactor, security(("session" = [])),
    responses((status = 200, body = RecoveryCodes), (status = 409, body = Problem)))]
async fn renew_recovery_codes(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<ProveSecondFactor>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    Ok(Json(
        api.second_factor
            .renew_recovery_codes(&viewer, request)
            .await?,
    ))
}

/// Mails the link to a new password, if there is an account with this address. The answer is the
/// same if there is none.
#[utoipa::path(post, path = "/api/user/forgot", tag = "Accounts", operation_id = "forgot", request_body = Forgot,
    responses((status = 204)))]
async fn request_reset(
    State(api): State<Api>,
    JsonBody(request): JsonBody<Forgot>,
) -> Result<NoContent, ApiError> {
    api.account_care.request_reset(request, None).await?;
    Ok(NoContent)
}

/// Sets a forgotten password by the token of the mailed link, ends all sessions, and signs in.
#[utoipa::path(post, path = "/api/user/reset", tag = "Accounts", operation_id = "reset", request_body = ResetPassword,
    responses((status = 200, body = User),
        (status = 401, description = "The account has a second factor, whose `code` is missing, \
            wrong or used: code `second_factor_required`. The link still works.")))]
async fn reset_password(
    State(api): State<Api>,
    JsonBody(request): JsonBody<ResetPassword>,
) -> Result<Json<User>, ApiError> {
    Ok(Json(api.account_care.reset_password(request).await?.user))
}

/// Mails a link to another address, which becomes the account's once the link is followed. Who bought
/// as a guest sends no password.
#[utoipa::path(put, path = "/api/user/email", tag = "Accounts", request_body = ChangeEmail,
    security(("session" = [])), responses((status = 204)))]
async fn change_email(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<ChangeEmail>,
) -> Result<NoContent, ApiError> {
    api.account_care.change_email(&viewer, request).await?;
    Ok(NoContent)
}

/// Mails the link that proves one's address once more, at most once an hour.
#[utoipa::path(post, path = "/api/user/verification", tag = "Accounts", operation_id = "send_proof",
    security(("session" = [])), responses((status = 204)))]
async fn send_verification_link(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<NoContent, ApiError> {
    api.account_care.send_verification_link(&viewer).await?;
    Ok(NoContent)
}

/// Verifies an address by the token of the link that was mailed to it. Does not sign in.
#[utoipa::path(post, path = "/api/user/verify", tag = "Accounts", request_body = VerifyEmail,
    responses((status = 200, body = User)))]
async fn verify_email(
    State(api): State<Api>,
    JsonBody(request): JsonBody<VerifyEmail>,
) -> Result<Json<User>, ApiError> {
    Ok(Json(api.account_care.verify_email(request.token).await?))
}

/// Deletes one's account; guests send an empty password, within half an hour of signing in. Orders, payments and books stay, without name and address.
#[utoipa::path(delete, path = "/api/user", tag = "Accounts", request_body = DeleteAccount,
    security(("session" = [])),
    responses((status = 204), (status = 409, body = Problem)))]
async fn delete_account(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<DeleteAccount>,
) -> Result<NoContent, ApiError> {
    api.account_care.delete_account(&viewer, request).await?;
    Ok(NoContent)
}
