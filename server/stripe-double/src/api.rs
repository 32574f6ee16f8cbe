//! Stripe's API over HTTP: secret keys, form bodies, idempotency, faults, routing.
//!
//! A call that has been read is executed even if the client disconnects. It is answered after its changes,
//! and the answer for its key, have been written.

use crate::{
    Double, Fault, FaultKind,
    model::DisputeStatus,
    reply::{Answer, Reply},
    state::{FORCED, KeyState, Params, State},
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

/// Stripe's maximum length of an idempotency key.
const KEY_MAX: usize = 255;

pub(crate) fn router(double: Double) -> Router {
    Router::new()
        .route("/v1/{*path}", any(call))
        .route("/double/journal", get(journal))
        .route("/double/faults", post(set_faults).delete(clear_faults))
        .route("/double/disputes", post(open_dispute))
        .route("/double/disputes/{id}", post(decide_dispute))
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

async fn set_faults(Shared(double): Shared<Double>, Json(faults): Json<Faults>) -> Response {
    let faults = match faults {
        Faults::Many { faults } => faults,
        Faults::One(fault) => vec![fault],
    };
    if let Some(fault) = faults.iter().find(|fault| !fault.can_happen()) {
        let message = format!("{:?} never happens to {}.", fault.kind, fault.call);
        return answer(error(400, "invalid_request_error", &message));
    }
    for fault in faults {
        double.add_fault(fault);
    }
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenDispute {
    payment_intent: String,
    #[serde(default = "fraudulent")]
    reason: String,
}

fn fraudulent() -> String {
    "fraudulent".to_owned()
}

async fn open_dispute(Shared(double): Shared<Double>, Json(asked): Json<OpenDispute>) -> Response {
    match double.open_dispute(&asked.payment_intent, &asked.reason) {
        Some(id) => Json(json!({"id": id})).into_response(),
        None => answer(error(
            400,
            "invalid_request_error",
            "There is no money of it to dispute, or it is disputed already.",
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecideDispute {
    status: DisputeStatus,
}

async fn decide_dispute(
    Shared(double): Shared<Double>,
    Path(id): Path<String>,
    Json(asked): Json<DecideDispute>,
) -> Response {
    if double.decide_dispute(&id, asked.status) {
        return StatusCode::NO_CONTENT.into_response();
    }
    answer(error(
        404,
        "invalid_request_error",
        "There is no such dispute.",
    ))
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
    ListRefunds,
    ShowRefund(String),
    ListDisputes,
    ShowDispute(String),
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
            ["refunds"] if get => Self::ListRefunds,
            ["refunds", id] if get => Self::ShowRefund((*id).to_owned()),
            ["disputes"] if get => Self::ListDisputes,
            ["disputes", id] if get => Self::ShowDispute((*id).to_owned()),
            ["payment_methods"] if post => Self::CreateCard("pm_"),
            ["test_helpers", "confirmation_tokens"] if post => Self::CreateCard("ctoken_"),
            _ => return None,
        })
    }

    /// Its name in `Fault`.
    fn name(&self) -> &'static str {
        match self {
            Self::CreateIntent => "payment_intents.create",
            Self::ListIntents => "payment_intents.list",
            Self::ShowIntent(_) => "payment_intents.retrieve",
            Self::ConfirmIntent(_) => "payment_intents.confirm",
            Self::CaptureIntent(_) => "payment_intents.capture",
            Self::CancelIntent(_) => "payment_intents.cancel",
            Self::CreateRefund => "refunds.create",
            Self::ListRefunds => "refunds.list",
            Self::ShowRefund(_) => "refunds.retrieve",
            Self::ListDisputes => "disputes.list",
            Self::ShowDispute(_) => "disputes.retrieve",
            Self::CreateCard(_) => "payment_methods.create",
        }
    }

    fn run(&self, state: &mut State, params: &Params, now: i64) -> Answer {
        match self {
            Self::CreateIntent => state.create_intent(params, now),
            Self::ListIntents => state.list_intents(params),
            Self::ShowIntent(id) => state.show_intent(id),
            Self::ConfirmIntent(id) => state.confirm_intent(id, params, now),
            Self::CaptureIntent(id) => state.capture_intent(id, params, now),
            Self::CancelIntent(id) => state.cancel_intent(id, params, now),
            Self::CreateRefund => state.create_refund(params, now),
            Self::ListRefunds => state.list_refunds(params),
            Self::ShowRefund(id) => state.show_refund(id),
            Self::ListDisputes => state.list_disputes(params),
            Self::ShowDispute(id) => state.show_dispute(id),
            Self::CreateCard(prefix) => state.create_card(prefix, params, now),
        }
    }
}

/// A parsed request.
struct Request {
    call: Call,
    params: Params,
    /// Its idempotency key.
    key: Option<String>,
    /// Path and parameters; another call under the same key must equal them.
    print: String,
}

impl Request {
    fn read(
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Reply> {
        let invalid = |status, message: &str| error(status, "invalid_request_error", message);
        if !has_secret_key(headers) {
            return Err(invalid(401, "You did not provide a secret API key."));
        }
        let Some(call) = Call::of(method, path) else {
            let message = format!("Unrecognized request URL ({method}: /v1/{path}).");
            return Err(invalid(404, &message));
        };
        let text = String::from_utf8_lossy(body);
        let source = if method == Method::GET { query } else { &text };
        let Ok(params) = serde_urlencoded::from_str::<Params>(source) else {
            return Err(invalid(400, "The body could not be read."));
        };
        let key = headers
            .get("idempotency-key")
            .filter(|_| method == Method::POST)
            .and_then(|key| key.to_str().ok());
        if key.is_some_and(|key| key.is_empty() || key.len() > KEY_MAX) {
            return Err(invalid(400, "An idempotency key has 1 to 255 characters."));
        }
        let print = format!("{method} {path} {params:?}");
        Ok(Self {
            call,
            params,
            key: key.map(str::to_owned),
            print,
        })
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
    let query = query.unwrap_or_default();
    let request = match Request::read(&method, &path, &query, &headers, &body) {
        Ok(request) => request,
        Err(reply) => return answer(reply),
    };
    // In a task of its own, so that it continues if the client disconnects.
    let serving = tokio::spawn(serve(double, request));
    serving
        .await
        .unwrap_or_else(|_| answer(something_went_wrong()))
}

/// Releases a key when its call ends in any way.
struct InFlight {
    double: Double,
    key: String,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.double.state().release_key(&self.key);
    }
}

async fn serve(double: Double, mut request: Request) -> Response {
    let name = request.call.name();
    let begun = double.step(|state, _| {
        *state.calls.entry(name).or_default() += 1;
        state.begin(name, request.key.as_deref(), &request.print)
    });
    let Some(begun) = begun else {
        return answer(something_went_wrong());
    };
    let fault = begun.fault;
    let key = request.key.clone().filter(|_| begun.has_key);
    let in_flight = key.map(|key| InFlight {
        double: double.clone(),
        key,
    });
    if let Some(broken) = before(fault).await {
        return broken;
    }
    let response = match begun.key_state {
        KeyState::New => answer(make(&double, &mut request, fault)),
        KeyState::Known(reply) => replay(reply),
        KeyState::Refused(reply) => answer(reply),
    };
    drop(in_flight);
    after(fault, response).await
}

/// Executes a call as one step, with the answer for its key.
fn make(double: &Double, request: &mut Request, fault: Option<FaultKind>) -> Reply {
    let forced = match fault {
        Some(FaultKind::Declined) => Some("declined"),
        Some(FaultKind::RequiresAction) => Some("3ds"),
        _ => None,
    };
    if let Some(forced) = forced {
        let params = &mut request.params;
        params.insert(FORCED.to_owned(), forced.to_owned());
    }
    let reply = double.step(|state, now| {
        let mut answer = match fault {
            Some(FaultKind::ErrorInstead) => Ok(something_went_wrong()),
            _ => request.call.run(state, &request.params, now),
        };
        if fault == Some(FaultKind::ErrorAfter) {
            answer = Ok(something_went_wrong());
        }
        if let Some(key) = &request.key {
            state.remember(key, &request.print, &answer);
        }
        answer.unwrap_or_else(|refused| refused)
    });
    reply.unwrap_or_else(something_went_wrong)
}

async fn before(fault: Option<FaultKind>) -> Option<Response> {
    match fault? {
        FaultKind::TimeoutBefore => {
            tokio::time::sleep(NO_ANSWER).await;
            Some(reset())
        }
        FaultKind::ErrorBefore => Some(answer(something_went_wrong())),
        FaultKind::ResetBefore => Some(reset()),
        FaultKind::RateLimited => Some(answer(error(
            429,
            "invalid_request_error",
            "Too many requests.",
        ))),
        FaultKind::Invalid => Some(answer(error(
            400,
            "invalid_request_error",
            "This call is refused for what it says.",
        ))),
        FaultKind::Slow => {
            tokio::time::sleep(SLOW).await;
            None
        }
        _ => None,
    }
}

async fn after(fault: Option<FaultKind>, response: Response) -> Response {
    match fault {
        Some(FaultKind::TimeoutAfter) => {
            tokio::time::sleep(NO_ANSWER).await;
            reset()
        }
        Some(FaultKind::ResetAfter) => reset(),
        _ => response,
    }
}

/// An answer with a truncated body; closes the connection.
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

fn error(status: u16, kind: &str, message: &str) -> Reply {
    (status, json!({"error": {"type": kind, "message": message}}))
}

fn something_went_wrong() -> Reply {
    error(500, "api_error", "Something went wrong.")
}
