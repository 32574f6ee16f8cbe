//! A private NATS server with JetStream that can be stopped and restarted, and the messages in its stream.

use crate::expiry::free_port;
use async_nats::jetstream::{
    self,
    consumer::{Consumer, pull},
    stream::Stream,
};
use futures::StreamExt;
use platform::{
    outbox::{Nats, STREAM},
    trust::Trust,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub struct Broker {
    process: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

/// A message of the stream.
#[derive(Debug)]
pub struct Message {
    pub subject: String,
    pub header_id: String,
    pub event: Value,
}

impl Broker {
    /// Reserves a port without starting the server.
    pub fn away() -> Self {
        Self {
            process: None,
            port: free_port(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with this configuration.
    pub async fn start_with(config: &str) -> Self {
        let mut broker = Self::away();
        std::fs::write(broker.config(), config).unwrap();
        broker.go_on().await;
        broker
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("nats.conf")
    }

    /// Starts the server with its existing data.
    pub async fn go_on(&mut self) {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
        let mut command = Command::new(program);
        command
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .arg("-js")
            .arg("-sd")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if Path::new(&self.config()).exists() {
            command.arg("-c").arg(self.config());
        }
        let process = command.spawn();
        self.process = Some(process.expect("nats-server starts: `make setup` installs it"));
        let began = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port))
            .await
            .is_err()
        {
            assert!(
                began.elapsed() < START_TIMEOUT,
                "NATS accepts no connection"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn nats(&self) -> Nats {
        Nats::connect(&self.url(), &Trust::default()).await.unwrap()
    }

    pub async fn jetstream(&self) -> jetstream::Context {
        jetstream(&self.url()).await
    }

    pub async fn stream(&self) -> Stream {
        self.jetstream().await.get_stream(STREAM).await.unwrap()
    }

    /// All messages of the stream in order.
    pub async fn messages(&self) -> Vec<Message> {
        messages(&self.url()).await
    }
}

async fn jetstream(url: &str) -> jetstream::Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}

/// All messages of the stream of the NATS server at `url` in order.
pub async fn messages(url: &str) -> Vec<Message> {
    let mut stream = jetstream(url).await.get_stream(STREAM).await.unwrap();
    let all = stream.info().await.unwrap().state.messages;
    let consumer: Consumer<pull::OrderedConfig> = stream
        .create_consumer(pull::OrderedConfig::default())
        .await
        .unwrap();
    let read = consumer.messages().await.unwrap();
    read.take(usize::try_from(all).unwrap())
        .map(|message| {
            let message = message.unwrap();
            let headers = message.headers.as_ref().unwrap();
            Message {
                subject: message.subject.to_string(),
                header_id: headers.get("Nats-Msg-Id").unwrap().to_string(),
                event: serde_json::from_slice(&message.payload).unwrap(),
            }
        })
        .collect()
        .await
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asserts that the versions of each aggregate are 1, 2, 3 …, without repeats. Returns the ids of all messages.
pub fn in_order(messages: &[Message]) -> BTreeSet<String> {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for message in messages {
        let event = &message.event;
        let aggregate = event["aggregateId"].as_str().unwrap();
        let version = event["version"].as_i64().unwrap();
        let before = last.insert(aggregate, version).unwrap_or(0);
        assert_eq!(version, before + 1, "{aggregate}: {event}");
    }
    messages
        .iter()
        .map(|message| message.header_id.clone())
        .collect()
}
