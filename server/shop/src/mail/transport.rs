//! Sends mails by SMTP, or writes them to a folder.
//!
//! Both take a finished message and return whether it was accepted. Does not retry; the mailer does.

use super::Kind;
use async_trait::async_trait;
use jiff::Timestamp;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{
        self, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use model::ids::MailId;
use percent_encoding::percent_decode_str;
use platform::{
    fault::chain,
    private,
    trust::{Trust, is_this_machine},
};
use std::{
    error::Error as StdError,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;
use uuid::Uuid;

/// The time limit for the mail server's reply to each command.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// A message ready to be sent.
#[derive(Debug)]
pub struct Outgoing {
    pub id: MailId,
    pub kind: Kind,
    /// When the mail was queued.
    pub written_at: Timestamp,
    pub message: Message,
}

/// What caused a failure to send, and whether a retry may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFailure {
    /// The mail server, the connection or the credentials: any mail would have failed.
    Server,
    /// The server works and refused this mail with 4xx; retry.
    Transient,
    /// The server works and refused this mail with 5xx; do not retry.
    Permanent,
}

/// A mail could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("the mail was not accepted")]
pub struct SendError {
    pub failure: SendFailure,
    #[source]
    cause: Box<dyn StdError + Send + Sync>,
}

impl SendError {
    /// A failure of the server or the connection.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(SendFailure::Server, cause)
    }

    pub(crate) fn of(
        failure: SendFailure,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            failure,
            cause: cause.into(),
        }
    }
}

/// Sends mails.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Returns once the mail has been accepted. After an error it may have been accepted or not.
    async fn send(&self, mail: &Outgoing) -> Result<(), SendError>;
}

/// A URL of a mail server that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SmtpUrlError {
    #[error(
        "not an address like smtps://user:password@mail.example or smtp://user:password@mail.example:587"
    )]
    Unreadable,
    /// The query has an unknown parameter or value.
    #[error("the only parameter is tls=required or tls=opportunistic, once")]
    Parameters,
    /// The password might be sent to this host without TLS.
    #[error(
        "the password would be sent to {0} unencrypted if it offers no TLS: remove tls=opportunistic, or add the host to STAGEDOOR_CLEARTEXT_HOSTS if the network to it is private"
    )]
    Cleartext(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] lettre::transport::smtp::Error),
}

/// When TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TlsMode {
    /// From the first byte.
    Wrapped,
    /// By STARTTLS, before anything else is sent.
    Required,
    /// By STARTTLS, if the server offers it.
    Opportunistic,
    Never,
}

impl TlsMode {
    /// The mode that scheme and query ask for. `smtp://` without a query requires STARTTLS, except for a
    /// server on this machine.
    fn from_url(url: &Url, host: &str) -> Result<Self, SmtpUrlError> {
        let mut parameters = url.query_pairs();
        let parameter = match (parameters.next(), parameters.next()) {
            (Some((name, value)), None) if name.eq_ignore_ascii_case("tls") => {
                Some(value.to_ascii_lowercase())
            }
            (None, _) => None,
            _ => return Err(SmtpUrlError::Parameters),
        };
        match (url.scheme(), parameter.as_deref()) {
            ("smtps", None | Some("required")) => Ok(Self::Wrapped),
            ("smtp", Some("required")) => Ok(Self::Required),
            ("smtp", Some("opportunistic")) => Ok(Self::Opportunistic),
            ("smtp", None) if is_this_machine(host) => Ok(Self::Never),
            ("smtp", None) => Ok(Self::Required),
            ("smtp" | "smtps", Some(_)) => Err(SmtpUrlError::Parameters),
            _ => Err(SmtpUrlError::Unreadable),
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Wrapped => SUBMISSIONS_PORT,
            Self::Required | Self::Opportunistic => SUBMISSION_PORT,
            Self::Never => SMTP_PORT,
        }
    }

    fn tls(self, host: &str, trust: &Trust) -> Result<Tls, SmtpUrlError> {
        if self == Self::Never {
            return Ok(Tls::None);
        }
        let mut parameters = TlsParameters::builder(host.to_owned());
        for authority in trust.additional_authorities() {
            parameters =
                parameters.add_root_certificate(Certificate::from_der(authority.to_vec())?);
        }
        let parameters = parameters.build()?;
        Ok(match self {
            Self::Wrapped => Tls::Wrapper(parameters),
            Self::Required => Tls::Required(parameters),
            Self::Opportunistic | Self::Never => Tls::Opportunistic(parameters),
        })
    }
}

/// Sends mails to a mail server.
pub struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    /// The server at `url`; `domain` is this shop's name in the SMTP greeting.
    ///
    /// `smtps://` is TLS from the first byte. `smtp://` requires STARTTLS, except on this machine;
    /// `?tls=opportunistic` uses TLS only if it is offered, and so is refused together with a password. The
    /// certificate must be issued by an authority in `trust`.
    pub fn new(url: &str, domain: &str, trust: &Trust) -> Result<Self, SmtpUrlError> {
        // Stricter than `Url`: refuses spaces and a missing host.
        let plain: http::Uri = url.parse().map_err(|_| SmtpUrlError::Unreadable)?;
        let host = plain.host().unwrap_or_default().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(SmtpUrlError::Unreadable);
        }
        let url = Url::parse(url).map_err(|_| SmtpUrlError::Unreadable)?;
        let mode = TlsMode::from_url(&url, host)?;
        let may_be_cleartext = matches!(mode, TlsMode::Opportunistic | TlsMode::Never);
        if url.password().is_some() && may_be_cleartext && !trust.allows_cleartext(host) {
            return Err(SmtpUrlError::Cleartext(host.to_owned()));
        }
        let name = match url.path().trim_matches('/') {
            "" => domain,
            name => name,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(url.port().unwrap_or(mode.port()))
            .tls(mode.tls(host, trust)?)
            .timeout(Some(REPLY_TIMEOUT))
            .hello_name(ClientId::Domain(name.to_owned()));
        if let Some(password) = url.password() {
            builder = builder.credentials(Credentials::new(
                decoded(url.username())?,
                decoded(password)?,
            ));
        }
        Ok(Self {
            server: builder.build(),
        })
    }
}

fn decoded(text: &str) -> Result<String, SmtpUrlError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(String::from)
        .map_err(|_| SmtpUrlError::Unreadable)
}

impl Smtp {
    /// Whether an error concerns this mail or would occur with any. A server that refuses our password or
    /// network address (535, or 554 instead of a greeting) replies with 5xx too, so the connection is tested
    /// without a mail: only if that succeeds does the refusal concern the mail.
    async fn classify(&self, error: &smtp::Error) -> SendFailure {
        let Some(code) = error.status() else {
            return SendFailure::Server;
        };
        if is_about_sender(code.into(), &chain(error))
            || !matches!(self.server.test_connection().await, Ok(true))
        {
            SendFailure::Server
        } else if error.is_permanent() {
            SendFailure::Permanent
        } else {
            SendFailure::Transient
        }
    }
}

/// Whether a reply concerns the sender rather than this mail: authentication, TLS, an unknown command, the
/// server's state; or, by the enhanced code (RFC 3463), the sender's address (`5.1.7`, `5.1.8`) or a policy
/// (`x.7.x`, which includes blocklists and relaying).
fn is_about_sender(code: u16, reply: &str) -> bool {
    if matches!(code, 421 | 454 | 500..=504 | 530 | 534 | 535 | 538) {
        return true;
    }
    let enhanced = reply.split([' ', '-']).find_map(enhanced_code);
    matches!(enhanced, Some((_, 7, _) | (_, 1, 7 | 8)))
}

/// Parses an enhanced status code such as `5.1.1`.
fn enhanced_code(word: &str) -> Option<(u16, u16, u16)> {
    let mut parts = word.split('.').map(str::parse::<u16>);
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
        (Ok(class @ (4 | 5)), Ok(subject), Ok(detail), None) => Some((class, subject, detail)),
        _ => None,
    }
}

#[async_trait]
impl Transport for Smtp {
    async fn send(&self, mail: &Outgoing) -> Result<(), SendError> {
        let sent = self
            .server
            .send_raw(mail.message.envelope(), &mail.message.formatted())
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => Err(SendError::of(self.classify(&error).await, error)),
        }
    }
}

/// Writes each mail to a folder as an `.eml` file, for shops without a mail server.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, which is created with the first mail.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl Transport for Folder {
    async fn send(&self, mail: &Outgoing) -> Result<(), SendError> {
        let (folder, name) = (self.path.clone(), file_name(mail));
        let (kind, content) = (mail.kind.name(), mail.message.formatted());
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, &content));
        let path = written
            .await
            .map_err(SendError::new)?
            .map_err(SendError::new)?;
        tracing::info!(kind, "mail: {}", path.display());
        Ok(())
    }
}

/// Depends on the mail only, so that a repeated mail replaces its file.
fn file_name(mail: &Outgoing) -> String {
    let time = mail.written_at.strftime("%Y%m%dT%H%M%SZ");
    format!("{time}-{}-{}.eml", mail.kind.name(), mail.id)
}

/// Writes to a temporary name first, so that no file in the folder is incomplete.
fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<PathBuf> {
    private::make_folder(folder)?;
    private::tighten(folder)?;
    let unfinished = folder.join(format!(".{}.unfinished", Uuid::new_v4().simple()));
    let path = folder.join(name);
    let done = write_and_sync(&unfinished, content).and_then(|()| fs::rename(&unfinished, &path));
    if done.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&unfinished);
    }
    done.map(|()| path)
}

fn write_and_sync(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_refused() {
        for bad in [
            "",
            "mail.example",
            "http://mail.example",
            "smtp://",
            "smtps://user:pass word@mail.example",
            "smtp://mail.example?tls=perhaps",
            "smtp://mail.example?TLS=none",
            "smtp://mail.example?starttls=true",
            "smtp://mail.example?tls=opportunistic&TLS=required",
            "smtps://mail.example?tls=opportunistic",
            "smtp://user:pass@mail.example?tls=opportunistic",
            "smtp://user:pass@mail.example?Tls=Opportunistic",
        ] {
            assert!(
                Smtp::new(bad, "tickets.example", &Trust::default()).is_err(),
                "{bad}"
            );
        }
        for good in [
            "smtp://127.0.0.1:1025",
            "smtp://user:pa%40ss@mail.example:587",
            "smtps://user:pass@mail.example",
            "smtp://mail.example?tls=opportunistic",
            "smtps://mail.example/shop.example",
        ] {
            assert!(
                Smtp::new(good, "tickets.example", &Trust::default()).is_ok(),
                "{good}"
            );
        }
    }

    #[test]
    fn replies_about_the_sender_differ_from_replies_about_the_mail() {
        for (code, reply) in [
            (421, "4.3.2 shutting down"),
            (454, "4.7.0 TLS is not there"),
            (530, "5.7.0 authentication required"),
            (535, "5.7.8 bad credentials"),
            (550, "permanent error (550): 5.7.1 relaying denied"),
            (550, "5.7.26 unauthenticated sender"),
            (553, "5.1.8 the sender's domain is not there"),
            (554, "5.7.1 blocked, see https://list.example"),
        ] {
            assert!(is_about_sender(code, reply), "{code} {reply}");
        }
        for (code, reply) in [
            (450, "4.2.0 greylisted, come again in 5 minutes"),
            (550, "no such user"),
            (550, "5.1.1 no such user 1.2.3.4"),
            (
                550,
                "permanent error (550): 5.1.1 <a@b.example>: no such user",
            ),
            (552, "5.2.2 mailbox full"),
            (553, "mailbox name not allowed"),
            (554, "5.4.14 too many hops"),
            (556, "5.1.10 the domain takes no mail"),
        ] {
            assert!(!is_about_sender(code, reply), "{code} {reply}");
        }
    }

    #[test]
    fn only_a_server_on_this_machine_is_used_without_tls() {
        for (url, tls) in [
            ("smtp://user:pass@mail.example:587", "Required"),
            ("smtps://mail.example", "Wrapper"),
            ("smtp://mail.example?tls=opportunistic", "Opportunistic"),
            ("smtp://localhost", "None"),
            ("smtp://127.0.0.1:1025", "None"),
            ("smtp://127.0.0.1:1025?tls=required", "Required"),
            (
                "smtp://user:pass@mail.example:2587?TLS=required",
                "Required",
            ),
            (
                "smtp://user:pass@mail.example:2587?Tls=REQUIRED",
                "Required",
            ),
            ("smtp://user:pass@[::1]:1025", "None"),
            (
                "smtp://user:pass@localhost?tls=opportunistic",
                "Opportunistic",
            ),
        ] {
            let smtp = Smtp::new(url, "tickets.example", &Trust::default()).unwrap();
            let shown = format!("{:?}", smtp.server);
            assert!(shown.contains(&format!("tls: {tls}")), "{url}: {shown}");
        }
    }
}
