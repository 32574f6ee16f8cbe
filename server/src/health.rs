//! What operators and their machines ask: alive, ready, and how it goes.

use crate::figures;
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use platform::{
    clock::SharedClock,
    db::{Db, applied_and_known},
    outbox::Nats,
    redis_client::Redis,
    request,
    write_probe::WriteProbe,
};
use serde_json::{Value, json};
use shop::expiration::Swept;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// How long the database may take to say that it is there: sooner than who asks gives up.
const DATABASE_WITHIN: Duration = Duration::from_secs(2);

/// How long it may take to say how much waits: with the rest, sooner than a scraper gives up.
const FIGURES_WITHIN: Duration = Duration::from_secs(5);

/// What the answers are made from.
#[derive(Clone)]
pub struct Health {
    /// The database that must answer.
    pub db: Db,
    /// What the processes share besides it, if they do.
    pub redis: Option<Redis>,
    /// Where domain events go, if they do.
    pub nats: Option<Nats>,
    /// What time it is.
    pub clock: SharedClock,
    /// Whether this process is for jobs alone.
    pub worker: bool,
    /// When this process last swept the database.
    pub swept: Swept,
    /// Whether the database takes writes.
    pub probe: Arc<WriteProbe>,
    /// Set once the process has been asked to stop.
    pub draining: Arc<AtomicBool>,
    /// Where this process keeps its data.
    pub data_dir: PathBuf,
    /// Where the figures are, if they are collected.
    pub metrics: Option<PrometheusHandle>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_figures))
        .with_state(health)
}

/// Ready means: the database answers, takes writes and is of this version or a newer one, which every version can
/// be run beside, and nobody has asked us to stop; a process that is for jobs alone must also have
/// done some lately. A queue or a broker that is away is named but is no reason to send buyers
/// elsewhere: holds end by the clock, the sweep does what the jobs would, and events wait.
async fn stand(health: &Health) -> (bool, Value) {
    let draining = health.draining.load(Ordering::SeqCst);
    let asked = timeout(DATABASE_WITHIN, applied_and_known(&health.db));
    let (database, migrations) = match asked.await {
        Ok(Ok((applied, known))) if applied >= known => ("ok", "ok"),
        Ok(Ok(_)) => ("ok", "other version"),
        Ok(Err(_)) | Err(_) => ("away", "unknown"),
    };
    let queue = match &health.redis {
        None => "in process",
        Some(redis) if redis.answers().await => "ok",
        Some(_) => "away",
    };
    let events = match &health.nats {
        None => "not sent",
        Some(nats) if nats.is_there() => "ok",
        Some(_) => "away",
    };
    let jobs = if health.swept.lately() { "ok" } else { "late" };
    let writes = if health.probe.is_taken() {
        "ok"
    } else {
        "refused"
    };
    let fine = !draining
        && database == "ok"
        && writes == "ok"
        && migrations == "ok"
        && (jobs == "ok" || !health.worker);
    let body = json!({
        "ready": fine, "draining": draining,
        "database": database, "writes": writes, "migrations": migrations, "queue": queue, "jobs": jobs,
        "events": events,
    });
    (fine, body)
}

/// What is amiss is for this machine and its operators to know, not for whoever comes through a proxy.
async fn ready(State(health): State<Health>, headers: HeaderMap) -> Response {
    let (fine, stands) = stand(&health).await;
    // A process for jobs alone has no middleware, and does not know where requests come from: only
    // operators can reach it.
    let address = request::address();
    let is_near = (address.is_loopback() || address.is_unspecified())
        && !headers.contains_key("x-forwarded-for");
    let body = if is_near {
        stands
    } else {
        json!({"ready": fine})
    };
    let status = if fine {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body)).into_response()
}

/// What a proxy adds to a request that it passes on.
const PASSED_ON: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

/// For those inside, who ask each process itself: what a proxy passes on comes from outside, even
/// where nobody has told the proxy to keep this path to itself.
async fn show_figures(State(health): State<Health>, headers: HeaderMap) -> Response {
    if PASSED_ON.iter().any(|name| headers.contains_key(*name)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match &health.metrics {
        Some(metrics) => {
            let (fine, stands) = stand(&health).await;
            metrics::gauge!("stagedoor_ready").set(if fine { 1.0 } else { 0.0 });
            let (redis, nats) = (health.redis.as_ref(), health.nats.as_ref());
            figures::gather_own(&health.db, redis, nats).await;
            figures::gather_disk(&health.data_dir);
            // A scraper does not wait for a database that is away, and wants to hear of the rest.
            if stands["database"] == "ok" {
                let read = figures::read(&health.db, &health.clock, nats);
                if timeout(FIGURES_WITHIN, read).await.is_err() {
                    tracing::warn!("the database did not say in time how much waits");
                }
            }
            let kind = [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )];
            (kind, metrics.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
