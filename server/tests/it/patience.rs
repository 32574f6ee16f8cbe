//! The client of the tests repeats requests that a busy server refuses with `Retry-After`.

use crate::support::{Client, listen};
use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::task::JoinSet;

/// Starts a server that refuses its first two requests as busy. Returns a client, the number of requests received
/// and the task of the server.
async fn start_busy_server(with_retry_after: bool) -> (Client, Arc<AtomicUsize>, JoinSet<()>) {
    let received = Arc::new(AtomicUsize::new(0));
    let count = received.clone();
    let answer = move || async move {
        if count.fetch_add(1, Ordering::SeqCst) >= 2 {
            return (StatusCode::CREATED, Json(json!({}))).into_response();
        }
        let body = Json(json!({"errors": [], "code": "unavailable", "requestId": "1"}));
        let mut busy: Response = (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
        if with_retry_after {
            busy.headers_mut().insert("retry-after", 1.into());
        }
        busy
    };
    let (base, listener) = listen().await;
    let mut servers = JoinSet::new();
    let router = Router::new().route("/api/orders", post(answer));
    servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (Client::new(&base), received, servers)
}

#[tokio::test]
async fn a_request_refused_with_retry_after_is_repeated() {
    let (client, received, _servers) = start_busy_server(true).await;
    client.post("/api/orders", json!({})).await.expect(201);
    assert_eq!(received.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_impatient_client_returns_the_first_answer() {
    let (client, received, _servers) = start_busy_server(true).await;
    let answer = client.impatient().post("/api/orders", json!({})).await;
    answer.refused(503, "unavailable");
    let once = client.send_once("POST", "/api/orders", &[], "").await;
    once.unwrap().refused(503, "unavailable");
    assert_eq!(received.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_request_refused_without_retry_after_is_not_repeated() {
    let (client, received, _servers) = start_busy_server(false).await;
    let answer = client.post("/api/orders", json!({})).await;
    answer.refused(503, "unavailable");
    assert_eq!(received.load(Ordering::SeqCst), 1);
}
