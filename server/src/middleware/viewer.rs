//! The layer inside the session layer: loads the signed-in user, prolongs the session, and runs the
//! steps that need to know the user.

use super::{
    MiddlewareState,
    picture_upload::{self, UploadForm, refuse_upload},
    refusal::refuse,
    request_log, write_limit,
};
use crate::session_cookie;
use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use platform::{
    request,
    security::{self, Event, Outcome},
    session,
};
use tower_sessions::Session;

/// Gives the route the signed-in user as an extension and the services the session, prolongs the
/// session, and refuses users who write or upload too much.
pub(crate) async fn identify_viewer(
    State(state): State<MiddlewareState>,
    mut request: Request,
    next: Next,
) -> Response {
    let session = request.extensions().get::<Session>().cloned();
    let viewer = match &session {
        Some(session) => session::viewer(session).await,
        None => Ok(None),
    };
    let viewer = match viewer {
        Ok(viewer) => viewer,
        Err(error) => return refuse(request.uri(), &error),
    };
    let user = viewer.as_ref().map(|viewer| viewer.user.id);
    if let Err(error) = write_limit::count(&state.limits, request.method(), user).await {
        return refuse(request.uri(), &error);
    }
    let _upload = match picture_upload::enter(&state.uploads, &request, user) {
        Ok(upload) => upload,
        Err(error) => {
            let path = request.uri().path();
            let form = UploadForm::new(path, request.headers(), &state.public_url);
            return refuse_upload(&form, request.uri(), &error);
        }
    };
    let mut prolonged = None;
    if let (Some(session), Some(viewer)) = (&session, viewer) {
        prolonged = session::prolong(session, &*state.sessions, &state.clock).await;
        request.extensions_mut().insert(viewer);
    }
    let route = request_log::route(&request);
    let mut response = match request::with_session(session.clone()) {
        Some(current) => request::scope(current, next.run(request)).await,
        None => next.run(request).await,
    };
    if response.status() == StatusCode::FORBIDDEN {
        security::record(Event::Forbidden, Outcome::Refused, user, &route);
    }
    if let (Some(session), Some(id)) = (session, prolonged)
        && let Some(cookie) = session_cookie::renewed_cookie(&session, id, state.secure)
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
