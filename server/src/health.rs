//! What operators and their machines ask: alive, ready, and how it goes.

use crate::db::{Db, applied_and_known};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const REDIS_PATIENCE: Duration = Duration::from_secs(1);

/// What the answers are made from.
#[derive(Clone)]
pub struct Health {
    /// The database that must answer.
    pub db: Db,
    /// The queue's Redis, if it has one.
    pub redis_url: Option<String>,
    /// Set once the process has been asked to stop.
    pub draining: Arc<AtomicBool>,
    /// Where the figures are, if they are collected.
    pub metrics: Option<PrometheusHandle>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(health)
}

/// Ready means: the database answers and is of this version, and nobody has asked us to stop. A
/// queue that is away is named but is no reason to send buyers elsewhere: holds end by the
/// clock, and the sweep does what the jobs would.
async fn ready(State(health): State<Health>) -> Response {
    let draining = health.draining.load(Ordering::SeqCst);
    let (database, migrations) = match applied_and_known(&health.db).await {
        Ok((applied, known)) if applied == known => ("ok", "ok"),
        Ok(_) => ("ok", "other version"),
        Err(_) => ("away", "unknown"),
    };
    let queue = match &health.redis_url {
        None => "in process",
        Some(url) if redis_answers(url).await => "ok",
        Some(_) => "away",
    };
    let fine = !draining && database == "ok" && migrations == "ok";
    let status = if fine {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "ready": fine, "draining": draining,
        "database": database, "migrations": migrations, "queue": queue,
    });
    (status, Json(body)).into_response()
}

async fn redis_answers(url: &str) -> bool {
    let ask = async {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING")
            .query_async::<String>(&mut connection)
            .await
    };
    matches!(tokio::time::timeout(REDIS_PATIENCE, ask).await, Ok(Ok(_)))
}

async fn figures(State(health): State<Health>) -> Response {
    match health.metrics {
        Some(metrics) => {
            let kind = [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )];
            (kind, metrics.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
