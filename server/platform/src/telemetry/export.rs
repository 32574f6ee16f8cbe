//! Sends spans to a collector by OTLP over HTTP, in batches, on its own task.
//!
//! Never blocks the work that is traced. Spans that do not fit into the queue, or that the collector does
//! not accept at the first attempt, are dropped and counted, with at most one warning per minute.
//! OpenTelemetry's own crates would add nine dependencies and need another HTTP client.

use super::TracesConfig;
use super::otlp::{self, FinishedSpan};
use anyhow::bail;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// The most spans in the queue.
const QUEUE_MAX: usize = 4096;
/// The most spans in one request.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a request to the collector may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the process waits for the last spans to be sent when it stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest time between two warnings.
const WARN_PERIOD: Duration = Duration::from_mins(1);

/// A message to the exporting task.
pub(super) enum ExportMessage {
    Ended(Box<FinishedSpan>),
    /// Send all spans queued before, then answer.
    Finish(oneshot::Sender<()>),
}

/// A handle to the exporting task.
pub struct Traces {
    queue: mpsc::Sender<ExportMessage>,
}

impl Traces {
    /// Starts the exporting task of a process with this role. Also returns the queue for ended spans.
    pub(super) fn start(config: TracesConfig, role: &str) -> (Self, mpsc::Sender<ExportMessage>) {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config.trust.client_config())
            .https_or_http()
            .enable_http1()
            .build();
        let mut resource = config.resource;
        for (key, value) in [
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &Uuid::now_v7().to_string()),
            ("stagedoor.role", role),
        ] {
            if !resource.iter().any(|(known, _)| known == key) {
                resource.push((key.to_owned(), value.to_owned()));
            }
        }
        let exporter = Exporter {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: config.url,
            headers: config.headers,
            resource: otlp::resource(&resource),
            last_warning: None,
        };
        tokio::spawn(exporter.run(receiver));
        let traces = Self {
            queue: queue.clone(),
        };
        (traces, queue)
    }

    /// Sends the remaining spans, within a time limit.
    pub async fn finish(self) {
        let (sender, sent) = oneshot::channel();
        let finished = async {
            if self.queue.send(ExportMessage::Finish(sender)).await.is_ok() {
                let _ = sent.await;
            }
        };
        if tokio::time::timeout(FINISH_TIMEOUT, finished)
            .await
            .is_err()
        {
            tracing::warn!("the last traces were not sent: the collector takes too long");
        }
    }
}

struct Exporter {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    resource: Value,
    last_warning: Option<Instant>,
}

impl Exporter {
    async fn run(mut self, mut queue: mpsc::Receiver<ExportMessage>) {
        while let Some(first) = queue.recv().await {
            let (mut batch, mut finish) = (Vec::new(), None);
            let mut next = Some(first);
            let linger = tokio::time::sleep(LINGER);
            tokio::pin!(linger);
            while let Some(message) = next {
                match message {
                    ExportMessage::Ended(span) => batch.push(*span),
                    ExportMessage::Finish(finished) => finish = Some(finished),
                }
                if batch.len() >= BATCH_MAX || finish.is_some() {
                    break;
                }
                next = tokio::select! {
                    () = &mut linger => None,
                    message = queue.recv() => message,
                };
            }
            self.send(&batch).await;
            if let Some(finished) = finish {
                let _ = finished.send(());
            }
        }
    }

    async fn send(&mut self, spans: &[FinishedSpan]) {
        if spans.is_empty() {
            return;
        }
        let sent = tokio::time::timeout(REQUEST_TIMEOUT, self.post(spans)).await;
        let error = match sent {
            Ok(Ok(())) => return otlp::count("sent", spans.len()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it took too long".to_owned(),
        };
        otlp::count("lost", spans.len());
        if self
            .last_warning
            .is_none_or(|last| last.elapsed() >= WARN_PERIOD)
        {
            self.last_warning = Some(Instant::now());
            tracing::warn!(
                error,
                "the trace collector is unavailable; traces are dropped"
            );
        }
    }

    async fn post(&self, spans: &[FinishedSpan]) -> anyhow::Result<()> {
        let message = serde_json::to_vec(&otlp::message(&self.resource, spans))?;
        let mut request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(message))?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let answer = self.client.request(request).await?;
        let status = answer.status();
        // The body is read to its end so that the connection can be reused.
        Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .ok();
        if !status.is_success() {
            bail!("it answers {status}");
        }
        Ok(())
    }
}
