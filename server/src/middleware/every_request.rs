//! The outermost layer: runs the steps that all requests and all responses pass, in order. What a
//! step does is in its own file.

use super::{
    CspNonce, MiddlewareState, body_limit, charset, clear_site_data, client_address, device_cookie,
    draining, form_page, origin,
    picture_upload::{self, UploadForm, refuse_upload},
    refusal::refuse,
    request_id, request_log, security_headers, time_limit, unavailable,
};
use axum::{
    extract::{Request, State},
    http::{Method, Uri, header},
    middleware::Next,
    response::Response,
};
use platform::{network::is_trusted, request, telemetry::spans};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use tracing::Instrument;

/// Runs every request through the steps that [`super`] lists up to the session layer, and its
/// response through the steps of responses.
pub(crate) async fn wrap_every_request(
    State(state): State<MiddlewareState>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let peer = client_address::peer(&request);
    let address = client_address::find(peer, request.headers(), &state.trusted_proxies);
    let is_proxy = is_trusted(peer, &state.trusted_proxies);
    let id = request_id::take_over_or_make(request.headers(), is_proxy);
    let nonce = CspNonce::random();
    request.extensions_mut().insert(nonce.clone());
    form_page::add_referer(&mut request, &state.public_url);
    let route = request_log::route(&request);
    let method_name = request_log::method_name(&method);
    let span = spans::request(&id, method_name, &route, request.headers());
    let current = request::Request {
        id: id.clone(),
        address,
        agent: request.headers().get(header::USER_AGENT).cloned(),
        session: None,
        device: device_cookie::read(request.headers(), state.secure),
        ended: Arc::default(),
    };
    let (device, session_ended) = (current.device.clone(), Arc::clone(&current.ended));
    let answering = request::scope(current, answer(&state, &method, &uri, request, next));
    let mut response = answering.instrument(span.clone()).await;
    let status = response.status();
    spans::answered(&span, status.as_u16());
    let headers = response.headers_mut();
    unavailable::add_retry_after(headers, status);
    request_id::set(headers, &id);
    device_cookie::set(headers, &device, state.secure);
    if session_ended.load(Ordering::Relaxed) {
        clear_site_data::set(headers);
    }
    security_headers::set(headers, &state, &nonce, &uri);
    charset::add(headers);
    if state.draining.load(Ordering::Relaxed) {
        draining::close_connection(headers);
    }
    span.in_scope(|| request_log::record(&method, &uri, route, status, began.elapsed()));
    response
}

/// Answers the request, or refuses it: if another site has sent it, if it is too large, or if the
/// answer takes too long.
async fn answer(
    state: &MiddlewareState,
    method: &Method,
    uri: &Uri,
    request: Request,
    next: Next,
) -> Response {
    if let Err(error) = origin::check(method, request.headers(), &state.public_url) {
        return refuse(uri, &error);
    }
    let picture_bytes_max = (!method.is_safe())
        .then(|| picture_upload::body_bytes_max(uri.path()))
        .flatten();
    let form = UploadForm::new(uri.path(), request.headers(), &state.public_url);
    let refuse = |error| refuse_upload(&form, uri, &error);
    let request = match body_limit::limit_body(request, picture_bytes_max) {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    let time_max = time_limit::time_max(picture_bytes_max.is_some());
    time_limit::run(time_max, next.run(request))
        .await
        .and_then(unavailable::reject_empty_failure)
        .unwrap_or_else(refuse)
}
