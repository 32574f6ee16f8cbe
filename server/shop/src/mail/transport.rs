//! How a mail leaves: by SMTP, or into a folder.
//!
//! Both take a finished message and say whether it is out. Trying again is the mailer's business.

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

/// How long the mail server may take for each command.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A message, addressed and ready.
#[derive(Debug)]
pub struct Outgoing {
    /// The id of its row.
    pub id: MailId,
    /// What it tells of.
    pub kind: Kind,
    /// When its row was written.
    pub written_at: Timestamp,
    /// All of it.
    pub message: Message,
}

/// What kept a mail from getting out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The mail server, the way to it, or what we sign in with: any mail would have failed.
    Server,
    /// This mail, for now: the server is well and refused it with 4xx.
    Mail,
    /// This mail, however often it is tried: the server is well and refused it with 5xx.
    MailForGood,
}

/// A mail did not get out.
#[derive(Debug, thiserror::Error)]
#[error("the mail was not taken")]
pub struct SendError {
    /// What kept it from getting out.
    pub blame: Blame,
    #[source]
    cause: Box<dyn StdError + Send + Sync>,
}

impl SendError {
    /// The server or the way to it is at fault, with its cause.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(Blame::Server, cause)
    }

    /// With what is at fault and its cause.
    pub(crate) fn of(blame: Blame, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            blame,
            cause: cause.into(),
        }
    }
}

/// Takes mails to where they are read.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Returns once the mail has been accepted. Errors: it may or may not have been.
    async fn send(&self, mail: &Outgoing) -> Result<(), SendError>;
}

/// Mails cannot leave by this address.
#[derive(Debug, thiserror::Error)]
pub enum NoSmtpAddress {
    /// It is not that of a mail server.
    #[error(
        "this is no address like smtps://user:password@mail.example or smtp://user:password@mail.example:587"
    )]
    Unreadable,
    /// What stands behind the question mark is not known.
    #[error("behind the question mark only tls=required or tls=opportunistic may stand, once")]
    Parameters,
    /// A password would be sent without TLS.
    #[error(
        "the password would cross the network to {0} in the clear if it offers no TLS: leave tls=opportunistic out, or name the host in STAGEDOOR_CLEARTEXT_HOSTS if nobody else is on the way to it"
    )]
    Clear(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] lettre::transport::smtp::Error),
}

/// How far TLS is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// From the first byte.
    Wrapped,
    /// By STARTTLS, or nothing is said.
    Required,
    /// By STARTTLS, if it is offered.
    Opportunistic,
    /// Not at all.
    Never,
}

impl Asked {
    /// As the scheme and what stands behind the question mark say. Without a word `smtp://` is
    /// raised to TLS, but for what stays on this machine.
    fn of(url: &Url, host: &str) -> Result<Self, NoSmtpAddress> {
        let mut parameters = url.query_pairs();
        let parameter = match (parameters.next(), parameters.next()) {
            (Some((name, value)), None) if name.eq_ignore_ascii_case("tls") => {
                Some(value.to_ascii_lowercase())
            }
            (None, _) => None,
            _ => return Err(NoSmtpAddress::Parameters),
        };
        match (url.scheme(), parameter.as_deref()) {
            ("smtps", None | Some("required")) => Ok(Self::Wrapped),
            ("smtp", Some("required")) => Ok(Self::Required),
            ("smtp", Some("opportunistic")) => Ok(Self::Opportunistic),
            ("smtp", None) if is_this_machine(host) => Ok(Self::Never),
            ("smtp", None) => Ok(Self::Required),
            ("smtp" | "smtps", Some(_)) => Err(NoSmtpAddress::Parameters),
            _ => Err(NoSmtpAddress::Unreadable),
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Wrapped => SUBMISSIONS_PORT,
            Self::Required | Self::Opportunistic => SUBMISSION_PORT,
            Self::Never => SMTP_PORT,
        }
    }

    fn tls(self, host: &str, trust: &Trust) -> Result<Tls, NoSmtpAddress> {
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

/// A mail server.
pub struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    /// The server at `url`, to which this shop calls itself `domain`.
    ///
    /// `smtps://` is TLS from the first byte. `smtp://` begins in the clear and must be raised to
    /// TLS before anything is said, except to this machine; `?tls=opportunistic` takes TLS only if
    /// it is offered, and so is refused together with a password. The certificate must be from an
    /// authority of `trust`.
    pub fn new(url: &str, domain: &str, trust: &Trust) -> Result<Self, NoSmtpAddress> {
        // Stricter than what follows: no spaces, no missing host.
        let plain: http::Uri = url.parse().map_err(|_| NoSmtpAddress::Unreadable)?;
        let host = plain.host().unwrap_or_default().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(NoSmtpAddress::Unreadable);
        }
        let url = Url::parse(url).map_err(|_| NoSmtpAddress::Unreadable)?;
        let asked = Asked::of(&url, host)?;
        let may_be_clear = matches!(asked, Asked::Opportunistic | Asked::Never);
        if url.password().is_some() && may_be_clear && !trust.allows_cleartext(host) {
            return Err(NoSmtpAddress::Clear(host.to_owned()));
        }
        let name = match url.path().trim_matches('/') {
            "" => domain,
            name => name,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(url.port().unwrap_or(asked.port()))
            .tls(asked.tls(host, trust)?)
            .timeout(Some(ANSWER_WITHIN))
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

fn decoded(text: &str) -> Result<String, NoSmtpAddress> {
    percent_decode_str(text)
        .decode_utf8()
        .map(String::from)
        .map_err(|_| NoSmtpAddress::Unreadable)
}

impl Smtp {
    /// Whether a refusal is of this mail or would be of any. A server that refuses our password or
    /// our address (535, or 554 in place of a greeting) answers 5xx as well, so it is asked again
    /// without a mail: only if it takes us then, the refusal was of the mail.
    async fn blame(&self, error: &smtp::Error) -> Blame {
        let Some(code) = error.status() else {
            return Blame::Server;
        };
        if is_about_us(code.into(), &chain(error))
            || !matches!(self.server.test_connection().await, Ok(true))
        {
            Blame::Server
        } else if error.is_permanent() {
            Blame::MailForGood
        } else {
            Blame::Mail
        }
    }
}

/// Whether a reply is about who sends rather than about this mail: signing in, TLS, a command that
/// the server does not know, its own state; or, by the enhanced code (RFC 3463), the sender's address
/// (`5.1.7`, `5.1.8`) or a policy (`x.7.x`, which is where blocklists and relaying are).
fn is_about_us(code: u16, reply: &str) -> bool {
    if matches!(code, 421 | 454 | 500..=504 | 530 | 534 | 535 | 538) {
        return true;
    }
    let enhanced = reply.split([' ', '-']).find_map(enhanced_code);
    matches!(enhanced, Some((_, 7, _) | (_, 1, 7 | 8)))
}

/// `5.1.1` as its three numbers.
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
            Err(error) => Err(SendError::of(self.blame(&error).await, error)),
        }
    }
}

/// A folder, for shops without a mail server: each mail is a file that any mail program opens.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, which is made with the first mail.
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

/// The same for the same mail, so that a repeat takes its place.
fn file_name(mail: &Outgoing) -> String {
    let time = mail.written_at.strftime("%Y%m%dT%H%M%SZ");
    format!("{time}-{}-{}.eml", mail.kind.name(), mail.id)
}

/// Writes under another name first, so that a file in the folder is always whole.
fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<PathBuf> {
    private::make_folder(folder)?;
    private::tighten(folder)?;
    let unfinished = folder.join(format!(".{}.unfinished", Uuid::new_v4().simple()));
    let path = folder.join(name);
    let done = write_through(&unfinished, content).and_then(|()| fs::rename(&unfinished, &path));
    if done.is_err() {
        // The first error is the one to tell of.
        let _ = fs::remove_file(&unfinished);
    }
    done.map(|()| path)
}

fn write_through(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused() {
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
    fn what_is_about_us_is_told_from_what_is_about_the_mail() {
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
            assert!(is_about_us(code, reply), "{code} {reply}");
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
            assert!(!is_about_us(code, reply), "{code} {reply}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
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
