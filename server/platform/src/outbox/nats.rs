//! The broker's side: a connection to NATS that comes back by itself, the stream that domain events
//! go to, and one event sent and confirmed. What is sent, and in which order, `relay.rs` decides.

use super::relay::Waiting;
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

/// The stream that domain events go to.
pub const STREAM: &str = "STAGEDOOR";
/// What all their subjects begin with.
const SUBJECT: &str = "stagedoor";
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a silent NATS is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long NATS knows what it has had: longer than a relay that was cut short, or a NATS that
/// was away, takes to come back.
const DUPLICATES: Duration = Duration::from_mins(10);

/// A connection to NATS. Cheap to clone.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    jetstream: Context,
}

/// Why an event is not known to be in the stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    /// NATS does not answer, or there is no such stream: the same awaits any other.
    #[error("NATS does not confirm events")]
    Away(#[source] PublishError),
    /// It does not take this one.
    #[error("NATS refuses the event {event}")]
    Refused {
        event: OutboxId,
        #[source]
        error: PublishError,
    },
}

/// Who signs in.
struct Credentials {
    user: String,
    password: Option<String>,
}

/// Whether `url` names one server of NATS or more.
pub fn names_nats(url: &str) -> bool {
    servers(url).is_some()
}

/// The servers without, and the first one's credentials.
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
        // What a log says of a server says nothing of these.
        bare.set_username("").ok()?;
        bare.set_password(None).ok()?;
        servers.push(ServerAddr::from_url(bare).ok()?);
    }
    Some((servers, credentials))
}

impl Nats {
    /// Connects, now or whenever it is there. A password goes by TLS, or not at all, unless it stays
    /// where `trust` allows it in the clear. Errors: `url` names no NATS.
    pub async fn connect(url: &str, trust: &Trust) -> Result<Self, ConnectError> {
        let (servers, credentials) =
            servers(url).ok_or_else(|| ConnectError::new(ConnectErrorKind::ServerParse))?;
        let mut options = ConnectOptions::new()
            .name("stagedoor")
            .retry_on_initial_connect()
            .connection_timeout(PATIENCE)
            .ping_interval(PING_EVERY)
            .tls_client_config(trust.client_config())
            .require_tls(credentials.is_some() && !all_in_cleartext(&servers, trust))
            .event_callback(log());
        options = match credentials {
            None => options,
            Some(Credentials {
                user,
                password: Some(password),
            }) => options.user_and_password(user, password),
            Some(Credentials { user, .. }) => options.token(user),
        };
        let client = options.connect(servers).await?;
        let jetstream = ContextBuilder::new().timeout(PATIENCE);
        Ok(Self {
            jetstream: jetstream.build(client.clone()),
            client,
        })
    }

    /// Whether it is connected now.
    pub fn is_there(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What it is asked through, for readers.
    pub fn jetstream(&self) -> &Context {
        &self.jetstream
    }

    /// Makes the stream if there is none; one that is there stays as it is. This one keeps
    /// everything: once it is full it takes no more, rather than forget what was first.
    pub(super) async fn ensure_stream(&self) -> Result<(), CreateStreamError> {
        let config = Config {
            name: STREAM.to_owned(),
            description: Some("What happened at Stagedoor".to_owned()),
            subjects: vec![format!("{SUBJECT}.>")],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            duplicate_window: DUPLICATES,
            ..Config::default()
        };
        let made = self.jetstream.get_or_create_stream(config).await;
        made.map(|_| ())
    }

    /// Sends one event. The stream has it once this returns.
    pub(super) async fn send(&self, event: &Waiting) -> Result<(), Unsent> {
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
                | PublishErrorKind::StreamNotFound => Unsent::Away(error),
                _ => Unsent::Refused {
                    event: event.id,
                    error,
                },
            }),
        }
    }
}

/// Whether each server may be told a password without TLS.
fn all_in_cleartext(servers: &[ServerAddr], trust: &Trust) -> bool {
    servers
        .iter()
        .all(|server| trust.allows_cleartext(server.host()))
}

/// Says that NATS came and went, and why it does not come, once for each reason.
fn log() -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    let last = Arc::new(Mutex::new(String::new()));
    move |event| {
        let said = event.to_string();
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != said {
            match event {
                Event::Connected => tracing::info!("NATS is there"),
                Event::Draining | Event::Closed => {}
                _ => tracing::warn!("NATS: {said}; domain events wait in the database"),
            }
            *last = said;
        }
        std::future::ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_what_is_none() {
        for url in [
            "nats://nats:4222",
            "tls://nats.example",
            "nats://token@10.0.0.1",
            "nats://a:4222, nats://b:4222",
            "nats://[::1]:4222",
        ] {
            assert!(names_nats(url), "{url}");
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
            assert!(!names_nats(url), "{url}");
        }
    }

    #[test]
    fn credentials_are_read_and_leave_the_address() {
        let (servers, credentials) = servers("nats://ann:p%40ss@a:1,tls://b").unwrap();
        let shown: Vec<&str> = servers.iter().map(ServerAddr::as_url_str).collect();
        assert_eq!(shown, ["nats://a:1", "tls://b"]);
        let credentials = credentials.unwrap();
        assert_eq!(credentials.user, "ann");
        assert_eq!(credentials.password.as_deref(), Some("p@ss"));
    }
}
