//! The connection to NATS, which reconnects by itself; the stream for domain events; and sending one
//! event with confirmation. `relay.rs` decides what is sent in which order.

use super::relay::PendingEvent;
use crate::trust::Trust;
use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, HeaderMap, ServerAddr,
    connection::State,
    header::NATS_MESSAGE_ID,
    jetstream::{
        Context,
        context::{ContextBuilder, CreateStreamError, PublishError, PublishErrorKind},
        stream::{Config, DiscardPolicy, StorageType},
    },
};
use model::ids::OutboxId;
use percent_encoding::percent_decode_str;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The name of the stream for domain events.
pub const STREAM: &str = "STAGEDOOR";
/// The first part of all subjects.
const SUBJECT: &str = "stagedoor";
/// How long to wait for a connection or an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
const PING_PERIOD: Duration = Duration::from_secs(5);
/// How long NATS detects duplicates: longer than an interrupted relay or NATS itself takes to restart.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(10);

/// A connection to NATS. Cheap to clone.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    jetstream: Context,
}

/// Why an event is not confirmed to be in the stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// NATS does not answer, or the stream does not exist: other events would fail too.
    #[error("NATS does not confirm events")]
    Unavailable(#[source] PublishError),
    /// NATS refuses this event.
    #[error("NATS refuses the event {event}")]
    Refused {
        event: OutboxId,
        #[source]
        error: PublishError,
    },
}

struct Credentials {
    user: String,
    password: Option<String>,
}

/// Whether `url` is a list of one or more addresses of NATS servers.
pub fn is_nats_url(url: &str) -> bool {
    servers(url).is_some()
}

/// The servers without their credentials, and the first credentials among them.
fn servers(url: &str) -> Option<(Vec<ServerAddr>, Option<Credentials>)> {
    let mut servers = Vec::new();
    let mut credentials = None;
    for address in url.split(',').map(str::trim) {
        if !address.starts_with("nats://") && !address.starts_with("tls://") {
            return None;
        }
        let server: ServerAddr = address.parse().ok()?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let theirs = server.username().map(|user| Credentials {
            user: decoded(user),
            password: server.password().map(decoded),
        });
        credentials = credentials.or(theirs);
        let mut bare = server.into_inner();
        let whole = bare.has_host() && matches!(bare.path(), "" | "/") && bare.query().is_none();
        if !whole {
            return None;
        }
        // Keeps credentials out of log lines about a server.
        bare.set_username("").ok()?;
        bare.set_password(None).ok()?;
        servers.push(ServerAddr::from_url(bare).ok()?);
    }
    Some((servers, credentials))
}

impl Nats {
    /// Connects in the background, as soon as NATS is available. Sends credentials only over TLS, unless
    /// `trust` allows cleartext to all servers. Errors: `url` is not valid.
    pub async fn connect(url: &str, trust: &Trust) -> Result<Self, ConnectError> {
        let (servers, credentials) =
            servers(url).ok_or_else(|| ConnectError::new(ConnectErrorKind::ServerParse))?;
        let mut options = ConnectOptions::new()
            .name("stagedoor")
            .retry_on_initial_connect()
            .connection_timeout(TIMEOUT)
            .ping_interval(PING_PERIOD)
            .tls_client_config(trust.client_config())
            .require_tls(credentials.is_some() && !all_allow_cleartext(&servers, trust))
            .event_callback(log_events());
        options = match credentials {
            None => options,
            Some(Credentials {
                user,
                password: Some(password),
            }) => options.user_and_password(user, password),
            Some(Credentials { user, .. }) => options.token(user),
        };
        let client = options.connect(servers).await?;
        let jetstream = ContextBuilder::new().timeout(TIMEOUT);
        Ok(Self {
            jetstream: jetstream.build(client.clone()),
            client,
        })
    }

    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The JetStream context, for readers of the stream.
    pub fn jetstream(&self) -> &Context {
        &self.jetstream
    }

    /// Creates the stream if it does not exist; an existing one is not changed. A full stream refuses new
    /// events instead of deleting old ones.
    pub(super) async fn ensure_stream(&self) -> Result<(), CreateStreamError> {
        let config = Config {
            name: STREAM.to_owned(),
            description: Some("What happened at Stagedoor".to_owned()),
            subjects: vec![format!("{SUBJECT}.>")],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            duplicate_window: DUPLICATE_WINDOW,
            ..Config::default()
        };
        let stream = self.jetstream.get_or_create_stream(config).await;
        stream.map(|_| ())
    }

    /// Sends one event. Once this returns `Ok`, the stream has stored it.
    pub(super) async fn send(&self, event: &PendingEvent) -> Result<(), SendError> {
        let subject = format!("{SUBJECT}.{}.{}", event.aggregate, event.aggregate_id);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, event.id.to_string());
        let sent = async {
            let message = event.message().into();
            self.jetstream
                .publish_with_headers(subject, headers, message)
                .await?
                .await
        };
        match sent.await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                PublishErrorKind::TimedOut
                | PublishErrorKind::BrokenPipe
                | PublishErrorKind::StreamNotFound => SendError::Unavailable(error),
                _ => SendError::Refused {
                    event: event.id,
                    error,
                },
            }),
        }
    }
}

/// Whether credentials may be sent to each server without TLS.
fn all_allow_cleartext(servers: &[ServerAddr], trust: &Trust) -> bool {
    servers
        .iter()
        .all(|server| trust.allows_cleartext(server.host()))
}

/// Logs connections, disconnections and errors; the same one only once in a row.
fn log_events() -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    let last = Arc::new(Mutex::new(String::new()));
    move |event| {
        let text = event.to_string();
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != text {
            match event {
                Event::Connected => tracing::info!("connected to NATS"),
                Event::Draining | Event::Closed => {}
                _ => tracing::warn!("NATS: {text}; domain events wait in the database"),
            }
            *last = text;
        }
        std::future::ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nats_addresses_are_accepted() {
        for url in [
            "nats://nats:4222",
            "tls://nats.example",
            "nats://token@10.0.0.1",
            "nats://a:4222, nats://b:4222",
            "nats://[::1]:4222",
        ] {
            assert!(is_nats_url(url), "{url}");
        }
        for url in [
            "",
            "nats",
            "nats:4222",
            "nats://",
            "nats://a:port",
            "http://nats:4222",
            "ws://nats:4222",
            "nats://a:4222,",
            "nats://a:4222/stream",
            "nats://a:4222?tls=1",
        ] {
            assert!(!is_nats_url(url), "{url}");
        }
    }

    #[test]
    fn credentials_are_removed_from_the_addresses() {
        let (servers, credentials) = servers("nats://ann:p%40ss@a:1,tls://b").unwrap();
        let shown: Vec<&str> = servers.iter().map(ServerAddr::as_url_str).collect();
        assert_eq!(shown, ["nats://a:1", "tls://b"]);
        let credentials = credentials.unwrap();
        assert_eq!(credentials.user, "ann");
        assert_eq!(credentials.password.as_deref(), Some("p@ss"));
    }
}
