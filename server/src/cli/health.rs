//! `stagedoor health`, for health checks of containers: the image has no curl.

use crate::config::reachable;
use anyhow::{Context, bail};
use axum::body::Body;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use std::{net::SocketAddr, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(4);

/// Requests `/readyz` of the shop at `addr`. Errors: it does not answer, or is not ready.
pub(super) async fn run(addr: SocketAddr) -> anyhow::Result<()> {
    let uri = format!("http://{}/readyz", reachable(addr));
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = tokio::time::timeout(TIMEOUT, client.get(uri.parse()?))
        .await
        .with_context(|| format!("{uri} did not answer within {} seconds", TIMEOUT.as_secs()))?
        .with_context(|| format!("{uri} does not answer"))?;
    if !answer.status().is_success() {
        bail!("{uri} answers {}", answer.status());
    }
    Ok(())
}
