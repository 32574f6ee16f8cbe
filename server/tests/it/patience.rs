//! The tests' own client does what every client may: what a busy server puts off, it asks again.

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

/// A server that is busy at the first two requests, and how many it has had.
async fn busy_twice(says_when: bool) -> (Client, Arc<AtomicUsize>, JoinSet<()>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move || async move {
        if count.fetch_add(1, Ordering::SeqCst) >= 2 {
            return (StatusCode::CREATED, Json(json!({}))).into_response();
        }
        let body = Json(json!({"errors": [], "code": "unavailable", "requestId": "1"}));
        let mut busy: Response = (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
        if says_when {
            busy.headers_mut().insert("retry-after", 1.into());
        }
        busy
    };
    let (base, listener) = listen().await;
    let mut servers = JoinSet::new();
    let router = Router::new().route("/api/orders", post(answer));
    servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (Client::new(&base), asked, servers)
}

#[tokio::test]
async fn what_a_busy_server_puts_off_is_asked_again() {
    let (client, asked, _servers) = busy_twice(true).await;
    client.post("/api/orders", json!({})).await.expect(201);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn who_looks_at_each_answer_sees_that_the_server_is_busy() {
    let (client, asked, _servers) = busy_twice(true).await;
    let answer = client.impatient().post("/api/orders", json!({})).await;
    answer.refused(503, "unavailable");
    let once = client.send_once("POST", "/api/orders", &[], "").await;
    once.unwrap().refused(503, "unavailable");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_does_not_say_when_to_come_again_is_not_asked_again() {
    let (client, asked, _servers) = busy_twice(false).await;
    let answer = client.post("/api/orders", json!({})).await;
    answer.refused(503, "unavailable");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
