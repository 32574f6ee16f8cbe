//! The routes for browsers: the Stripe.js stand-in and the bank's page of 3-D Secure.

use crate::{Double, model::Status, state::Params};
use axum::{
    Form, Json, Router,
    extract::{Path, Query, State as Shared},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{MethodFilter, get, post},
};
use serde::Deserialize;
use serde_json::json;

/// The paths for browsers with their methods. A proxy to a double in another process forwards only these.
pub const BROWSER_ROUTES: [(&str, MethodFilter); 6] = [
    ("/stripe.js", MethodFilter::GET),
    ("/bank.css", MethodFilter::GET),
    ("/confirmation_tokens", MethodFilter::POST),
    ("/intents/{id}", MethodFilter::GET),
    ("/bank/{id}", MethodFilter::GET),
    ("/bank/{id}", MethodFilter::POST),
];

pub(crate) fn router(double: Double) -> Router {
    let handlers = [
        get(script),
        get(style),
        post(create_token),
        get(show_intent),
        get(bank_page),
        post(bank_answer),
    ];
    BROWSER_ROUTES
        .iter()
        .zip(handlers)
        .fold(Router::new(), |router, ((path, _), handler)| {
            router.route(path, handler)
        })
        .with_state(double)
}

async fn script() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("../assets/stripe.js")).into_response()
}

async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("../assets/bank.css")).into_response()
}

async fn create_token(Shared(double): Shared<Double>, Form(params): Form<Params>) -> Response {
    let made = double.step(|state, now| state.create_card("ctoken_", &params, now));
    let Some(Ok((status, body)) | Err((status, body))) = made else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}

#[derive(Deserialize)]
struct Secret {
    client_secret: String,
}

/// Returns an intent to a browser that has its client secret.
async fn show_intent(
    Shared(double): Shared<Double>,
    Path(id): Path<String>,
    Query(secret): Query<Secret>,
) -> Response {
    let state = double.state();
    let Some(intent) = state.by_secret(&id, &secret.client_secret) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let error = intent
        .refused
        .as_ref()
        .map(|refused| refused.message.clone());
    Json(json!({
        "id": intent.id, "status": intent.status, "amount": intent.amount,
        "currency": intent.currency, "error": error,
    }))
    .into_response()
}

async fn bank_page(
    Shared(double): Shared<Double>,
    Path(id): Path<String>,
    Query(secret): Query<Secret>,
) -> Response {
    let state = double.state();
    let Some(intent) = state.by_secret(&id, &secret.client_secret) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if intent.status != Status::RequiresAction {
        let return_url = state.return_url(&id);
        return return_url.map_or_else(
            || Html("<p>This payment has been answered.</p>").into_response(),
            |return_url| Redirect::to(&return_url).into_response(),
        );
    }
    let amount = amount(&intent.currency, intent.amount);
    let page = include_str!("../assets/bank.html")
        .replace("{amount}", &amount)
        .replace("{secret}", &intent.client_secret());
    Html(page).into_response()
}

/// Formats as `GBP 119.00`, with the decimals that Stripe uses for the currency.
fn amount(currency: &str, minor: i64) -> String {
    let digits = match currency {
        "bif" | "clp" | "djf" | "gnf" | "jpy" | "kmf" | "krw" | "mga" | "pyg" | "rwf" | "vnd"
        | "vuv" | "xaf" | "xof" | "xpf" => 0,
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => 3,
        _ => 2,
    };
    let (currency, unit) = (currency.to_uppercase(), 10_i64.pow(digits));
    match digits as usize {
        0 => format!("{currency} {minor}"),
        width => format!("{currency} {}.{:0width$}", minor / unit, minor % unit),
    }
}

#[derive(Deserialize)]
struct BankAnswer {
    client_secret: String,
    answer: String,
}

async fn bank_answer(
    Shared(double): Shared<Double>,
    Path(id): Path<String>,
    Form(given): Form<BankAnswer>,
) -> Response {
    if double
        .state()
        .by_secret(&id, &given.client_secret)
        .is_none()
    {
        return StatusCode::NOT_FOUND.into_response();
    }
    double.answer_at_bank(&id, given.answer == "approve");
    match double.state().return_url(&id) {
        Some(return_url) => Redirect::to(&return_url).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}
