//! The routes for monitoring: `/healthz` (alive), `/readyz` (ready) and `/metrics`.

use crate::gauges;
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
    db::{Db, migration_counts},
    outbox::Nats,
    redis_client::Redis,
    request,
    write_probe::WriteProbe,
};
use serde_json::{Value, json};
use shop::expiration::LastSweep;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// How long the readiness check waits for the database: less than the timeouts of callers.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long reading the gauges may take: together with the rest less than a scraper's timeout.
const BACKLOG_TIMEOUT: Duration = Duration::from_secs(5);

/// The state that the routes report on.
#[derive(Clone)]
pub struct Health {
    pub db: Db,
    pub redis: Option<Redis>,
    pub nats: Option<Nats>,
    pub clock: SharedClock,
    /// Whether this process only runs jobs (`--role worker`).
    pub worker: bool,
    /// When this process last expired overdue orders.
    pub last_sweep: LastSweep,
    pub probe: Arc<WriteProbe>,
    /// Set once the process has been asked to stop.
    pub draining: Arc<AtomicBool>,
    pub data_dir: PathBuf,
    /// Where the gauges are, if they are collected.
    pub metrics: Option<PrometheusHandle>,
}

pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

/// Whether the process is ready, and the details.
///
/// It is ready if the database answers, accepts writes and has this version or a newer one (which is
/// compatible), and the process was not asked to stop. A worker must also have expired orders recently.
/// Without Redis or NATS it is still ready: the sweep expires orders, and events wait in the outbox.
async fn readiness(health: &Health) -> (bool, Value) {
    let draining = health.draining.load(Ordering::SeqCst);
    let asked = timeout(DATABASE_TIMEOUT, migration_counts(health.db.monitoring()));
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
        Some(nats) if nats.is_connected() => "ok",
        Some(_) => "away",
    };
    let jobs = if health.last_sweep.is_recent() {
        "ok"
    } else {
        "late"
    };
    let writes = if health.probe.accepts_writes() {
        "ok"
    } else {
        "refused"
    };
    let is_ready = !draining
        && database == "ok"
        && writes == "ok"
        && migrations == "ok"
        && (jobs == "ok" || !health.worker);
    let body = json!({
        "ready": is_ready, "draining": draining,
        "database": database, "writes": writes, "migrations": migrations, "queue": queue, "jobs": jobs,
        "events": events,
    });
    (is_ready, body)
}

/// Answers with details only to requests from this machine that did not come through a proxy.
async fn ready(State(health): State<Health>, headers: HeaderMap) -> Response {
    let (is_ready, details) = readiness(&health).await;
    // The address is unspecified in a worker, which has no middleware and is reachable only for
    // operators.
    let address = request::address();
    let is_local = (address.is_loopback() || address.is_unspecified())
        && !headers.contains_key("x-forwarded-for");
    let body = if is_local {
        details
    } else {
        json!({"ready": is_ready})
    };
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body)).into_response()
}

/// Headers that proxies add to requests.
const PROXY_HEADERS: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

/// Answers 404 to requests through a proxy, because these come from outside, even if the proxy is not
/// configured to block this path. Scrapers connect to each process directly.
async fn metrics(State(health): State<Health>, headers: HeaderMap) -> Response {
    if PROXY_HEADERS.iter().any(|name| headers.contains_key(*name)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match &health.metrics {
        Some(metrics) => {
            let (is_ready, details) = readiness(&health).await;
            metrics::gauge!("stagedoor_ready").set(if is_ready { 1.0 } else { 0.0 });
            let (redis, nats) = (health.redis.as_ref(), health.nats.as_ref());
            gauges::update_process(&health.db, redis, nats).await;
            gauges::update_disk(&health.data_dir);
            // If the database does not answer, the other metrics are reported without delay.
            if details["database"] == "ok" {
                let read = gauges::update_from_database(&health.db, &health.clock, nats);
                if timeout(BACKLOG_TIMEOUT, read).await.is_err() {
                    tracing::warn!("reading gauges from the database took too long");
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
