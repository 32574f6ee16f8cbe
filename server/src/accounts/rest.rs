//! `/api/user`.

use crate::rest::{Api, ApiError, Created, JsonBody, NoContent, Problem};
use app::accounts::{SignIn, SignUp, User, Viewer};
use axum::{Extension, Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of accounts.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(sign_in))
        .routes(routes!(sign_out))
        .routes(routes!(current_user))
}

/// Makes an account and signs it in.
#[utoipa::path(post, path = "/api/user/signup", tag = "Accounts", request_body = SignUp,
    responses((status = 201, body = User), (status = 400, body = Problem), (status = 429, body = Problem)))]
async fn sign_up(
    State(api): State<Api>,
    JsonBody(request): JsonBody<SignUp>,
) -> Result<Created<User>, ApiError> {
    Ok(Created(api.accounts.sign_up(request).await?))
}

/// Signs in, under a new session.
#[utoipa::path(post, path = "/api/user/signin", tag = "Accounts", request_body = SignIn,
    responses((status = 200, body = User), (status = 401, body = Problem), (status = 429, body = Problem)))]
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

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CurrentUser {
    /// Null if nobody is.
    current_user: Option<User>,
}

/// Says who is signed in.
#[utoipa::path(get, path = "/api/user/currentuser", tag = "Accounts",
    responses((status = 200, body = CurrentUser)))]
async fn current_user(viewer: Option<Extension<Viewer>>) -> Json<CurrentUser> {
    Json(CurrentUser {
        current_user: viewer.map(|Extension(viewer)| viewer.user),
    })
}
