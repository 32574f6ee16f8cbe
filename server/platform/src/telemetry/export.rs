//! Sends traces to a collector: by OTLP over HTTP, some at a time, on a task of its own.
//!
//! Nobody waits for it. What does not fit into the queue, or is not taken at the first try, is lost
//! and counted: a collector that is away costs a warning a minute. OpenTelemetry's own crates would
//! be nine more, and send from a thread on which the HTTP client that is here already does not run.

use super::TracesConfig;
use super::otlp::{self, Recorded};
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

/// How many spans may wait.
const QUEUE_MAX: usize = 4096;
/// How many are sent at once.
const BATCH_MAX: usize = 512;
/// How long the first of them waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long the collector may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the collector.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// How often it is said that the collector is away.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// What the sending task is told.
pub(super) enum Told {
    /// A span has ended.
    Ended(Box<Recorded>),
    /// Say so once everything of before is sent.
    Finish(oneshot::Sender<()>),
}

/// Traces that are being sent.
pub struct Traces {
    told: mpsc::Sender<Told>,
}

impl Traces {
    /// Starts sending what a process of this role does. Returns whom to tell of spans, too.
    pub(super) fn start(config: TracesConfig, role: &str) -> (Self, mpsc::Sender<Told>) {
        let (told, queue) = mpsc::channel(QUEUE_MAX);
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
        let sending = Sending {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: config.url,
            headers: config.headers,
            resource: otlp::resource(&resource),
            warned: None,
        };
        tokio::spawn(sending.run(queue));
        (Self { told: told.clone() }, told)
    }

    /// Sends what is left, if the collector takes it soon enough.
    pub async fn finish(self) {
        let (sender, sent) = oneshot::channel();
        let finished = async {
            if self.told.send(Told::Finish(sender)).await.is_ok() {
                let _ = sent.await;
            }
        };
        if tokio::time::timeout(FINISH_WITHIN, finished).await.is_err() {
            tracing::warn!("the last traces were not sent: the collector takes too long");
        }
    }
}

struct Sending {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    resource: Value,
    warned: Option<Instant>,
}

impl Sending {
    async fn run(mut self, mut queue: mpsc::Receiver<Told>) {
        while let Some(first) = queue.recv().await {
            let (mut batch, mut finish) = (Vec::new(), None);
            let mut next = Some(first);
            let linger = tokio::time::sleep(LINGER);
            tokio::pin!(linger);
            while let Some(told) = next {
                match told {
                    Told::Ended(span) => batch.push(*span),
                    Told::Finish(finished) => finish = Some(finished),
                }
                if batch.len() >= BATCH_MAX || finish.is_some() {
                    break;
                }
                next = tokio::select! {
                    () = &mut linger => None,
                    told = queue.recv() => told,
                };
            }
            self.send(&batch).await;
            if let Some(finished) = finish {
                let _ = finished.send(());
            }
        }
    }

    async fn send(&mut self, spans: &[Recorded]) {
        if spans.is_empty() {
            return;
        }
        let sent = tokio::time::timeout(ANSWER_WITHIN, self.post(spans)).await;
        let error = match sent {
            Ok(Ok(())) => return otlp::count("sent", spans.len()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it took too long".to_owned(),
        };
        otlp::count("lost", spans.len());
        if self.warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(error, "the collector of traces takes none; they are lost");
        }
    }

    async fn post(&self, spans: &[Recorded]) -> anyhow::Result<()> {
        let message = serde_json::to_vec(&otlp::message(&self.resource, spans))?;
        let mut request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(message))?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let answer = self.client.request(request).await?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
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
