//! Stripe's API on the wire: keys, form bodies, idempotency, faults, and which path is which call.

use crate::{
    Double, Fault, FaultKind,
    state::{FORCED, Params, Reply, State},
};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const NO_ANSWER: Duration = Duration::from_mins(1);
const SLOW: Duration = Duration::from_millis(1500);

pub fn router(double: Double) -> Router {
    Router::new()
        .route("/v1/{*path}", any(call))
        .route("/double/journal", get(journal))
        .route("/double/faults", post(set_faults).delete(clear_faults))
        .with_state(double)
}

async fn journal(Shared(double): Shared<Double>) -> Json<Value> {
    Json(json!({"payments": double.journal()}))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Faults {
    Many { faults: Vec<Fault> },
    One(Fault),
}

async fn set_faults(Shared(double): Shared<Double>, Json(faults): Json<Faults>) -> StatusCode {
    let faults = match faults {
        Faults::Many { faults } => faults,
        Faults::One(fault) => vec![fault],
    };
    for fault in faults {
        double.add_fault(fault);
    }
    StatusCode::NO_CONTENT
}

async fn clear_faults(Shared(double): Shared<Double>) -> StatusCode {
    double.clear_faults();
    StatusCode::NO_CONTENT
}

/// The calls that Stagedoor or its tests may make.
enum Call {
    CreateIntent,
    ListIntents,
    ShowIntent(String),
    ConfirmIntent(String),
    CaptureIntent(String),
    CancelIntent(String),
    CreateRefund,
    ShowRefund(String),
    CreateCard(&'static str),
}

impl Call {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let steps: Vec<&str> = path.split('/').collect();
        let get = method == Method::GET;
        let post = method == Method::POST;
        Some(match steps.as_slice() {
            ["payment_intents"] if post => Self::CreateIntent,
            ["payment_intents"] if get => Self::ListIntents,
            ["payment_intents", id] if get => Self::ShowIntent((*id).to_owned()),
            ["payment_intents", id, "confirm"] if post => Self::ConfirmIntent((*id).to_owned()),
            ["payment_intents", id, "capture"] if post => Self::CaptureIntent((*id).to_owned()),
            ["payment_intents", id, "cancel"] if post => Self::CancelIntent((*id).to_owned()),
            ["refunds"] if post => Self::CreateRefund,
            ["refunds", id] if get => Self::ShowRefund((*id).to_owned()),
            ["payment_methods"] if post => Self::CreateCard("pm_"),
            ["test_helpers", "confirmation_tokens"] if post => Self::CreateCard("ctoken_"),
            _ => return None,
        })
    }

    /// Its name among the faults.
    fn name(&self) -> &'static str {
        match self {
            Self::CreateIntent => "payment_intents.create",
            Self::ListIntents => "payment_intents.list",
            Self::ShowIntent(_) => "payment_intents.retrieve",
            Self::ConfirmIntent(_) => "payment_intents.confirm",
            Self::CaptureIntent(_) => "payment_intents.capture",
            Self::CancelIntent(_) => "payment_intents.cancel",
            Self::CreateRefund => "refunds.create",
            Self::ShowRefund(_) => "refunds.retrieve",
            Self::CreateCard(_) => "payment_methods.create",
        }
    }

    fn run(&self, state: &mut State, params: &Params, now: i64) -> Reply {
        match self {
            Self::CreateIntent => state.create_intent(params, now),
            Self::ListIntents => state.list_intents(params),
            Self::ShowIntent(id) => state.show_intent(id),
            Self::ConfirmIntent(id) => state.confirm_intent(id, params, now),
            Self::CaptureIntent(id) => state.capture_intent(id, params, now),
            Self::CancelIntent(id) => state.cancel_intent(id, params, now),
            Self::CreateRefund => state.create_refund(params, now),
            Self::ShowRefund(id) => state.show_refund(id),
            Self::CreateCard(prefix) => state.create_card(prefix, params, now),
        }
    }
}

async fn call(
    Shared(double): Shared<Double>,
    method: Method,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_secret_key(&headers) {
        let message = "You did not provide a secret API key.";
        return error(401, "invalid_request_error", message);
    }
    let Some(call) = Call::of(&method, &path) else {
        let message = format!("Unrecognized request URL ({method}: /v1/{path}).");
        return error(404, "invalid_request_error", &message);
    };
    let text = String::from_utf8_lossy(&body);
    let source = if method == Method::GET {
        query.as_deref().unwrap_or_default()
    } else {
        &text
    };
    let Ok(mut params) = serde_urlencoded::from_str::<Params>(source) else {
        return error(400, "invalid_request_error", "The body could not be read.");
    };
    let key = headers
        .get("idempotency-key")
        .filter(|_| method == Method::POST)
        .and_then(|key| key.to_str().ok());
    let request = format!("{method} {path} {params:?}");
    if let Some(key) = key {
        match double.state().answered(key, &request) {
            Some(Ok(reply)) => return replay(reply),
            Some(Err(reply)) => return answer(reply),
            None => {}
        }
    }
    let fault = double.state().faults.take(call.name());
    match fault {
        Some(FaultKind::Declined) => drop(params.insert(FORCED.to_owned(), "declined".to_owned())),
        Some(FaultKind::RequiresAction) => drop(params.insert(FORCED.to_owned(), "3ds".to_owned())),
        _ => {}
    }
    if let Some(broken) = before(fault).await {
        return broken;
    }
    let reply = {
        let now = double.now();
        let mut state = double.state();
        let mut reply = call.run(&mut state, &params, now);
        if fault == Some(FaultKind::ErrorAfter) {
            reply = (
                500,
                json!({"error": {"type": "api_error", "message": "Something went wrong."}}),
            );
        }
        if let Some(key) = key {
            state.remember(key, &request, &reply);
        }
        reply
    };
    double.inner.webhooks_wake.notify_one();
    after(fault, reply).await
}

async fn before(fault: Option<FaultKind>) -> Option<Response> {
    match fault? {
        FaultKind::TimeoutBefore => {
            tokio::time::sleep(NO_ANSWER).await;
            Some(reset())
        }
        FaultKind::ErrorBefore => Some(error(500, "api_error", "Something went wrong.")),
        FaultKind::ResetBefore => Some(reset()),
        FaultKind::RateLimited => Some(error(429, "invalid_request_error", "Too many requests.")),
        FaultKind::Slow => {
            tokio::time::sleep(SLOW).await;
            None
        }
        _ => None,
    }
}

async fn after(fault: Option<FaultKind>, reply: Reply) -> Response {
    match fault {
        Some(FaultKind::TimeoutAfter) => {
            tokio::time::sleep(NO_ANSWER).await;
            reset()
        }
        Some(FaultKind::ResetAfter) => reset(),
        _ => answer(reply),
    }
}

/// An answer whose body breaks off: the connection is closed under the caller.
fn reset() -> Response {
    struct Broken;
    impl axum::body::HttpBody for Broken {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
        }
    }
    Body::new(Broken).into_response()
}

fn has_secret_key(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|given| given.to_str().ok())
        .and_then(|given| given.strip_prefix("Bearer "))
        .is_some_and(|key| key.starts_with("sk_") || key.starts_with("rk_"))
}

fn answer((status, body): Reply) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}

fn replay(reply: Reply) -> Response {
    ([("idempotent-replayed", "true")], answer(reply)).into_response()
}

fn error(status: u16, kind: &str, message: &str) -> Response {
    answer((status, json!({"error": {"type": kind, "message": message}})))
}
