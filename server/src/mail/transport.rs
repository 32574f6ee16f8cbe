//! How a mail leaves: by SMTP, or into a folder.
//!
//! Both take a finished message and say whether it is out. Trying again is the mailer's business.

use super::compose::Outgoing;
use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor, transport::smtp::extension::ClientId,
};
use std::{
    error::Error as StdError,
    fs::{self, File},
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// How long the mail server may take for each command.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A mail did not get out.
#[derive(Debug, thiserror::Error)]
#[error("the mail was not taken")]
pub struct SendError(#[source] Box<dyn StdError + Send + Sync>);

impl SendError {
    /// With its cause.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Takes mails to where they are read.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Returns once the mail is in somebody else's hands. Errors: it may or may not be.
    async fn send(&self, mail: &Outgoing) -> Result<(), SendError>;
}

/// Not the address of a mail server.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is no address like smtps://user:password@mail.example or smtp://user:password@mail.example:587"
)]
pub struct NoSmtpAddress;

/// A mail server.
pub struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    /// The server at `url`, which is told that `domain` calls.
    ///
    /// `smtps://` is TLS from the first byte. `smtp://` begins in the clear and must be raised to
    /// TLS before anything is said, except to this machine; `?tls=opportunistic` takes TLS only if
    /// it is offered.
    pub fn new(url: &str, domain: &str) -> Result<Self, NoSmtpAddress> {
        let uri: http::Uri = url.parse().map_err(|_| NoSmtpAddress)?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or(NoSmtpAddress)?;
        let named = |uri: &http::Uri| uri.path().trim_matches('/').is_empty();
        // lettre's own meaning of smtp:// is a password in the clear.
        let must_rise = uri.scheme_str() == Some("smtp") && uri.query().is_none();
        let url = if must_rise && !is_this_machine(host) {
            format!("{url}?tls=required")
        } else {
            url.to_owned()
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url)
            .map_err(|_| NoSmtpAddress)?
            .timeout(Some(ANSWER_WITHIN));
        if named(&uri) {
            builder = builder.hello_name(ClientId::Domain(domain.to_owned()));
        }
        Ok(Self {
            server: builder.build(),
        })
    }
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[async_trait]
impl Transport for Smtp {
    async fn send(&self, mail: &Outgoing) -> Result<(), SendError> {
        self.server
            .send_raw(mail.message.envelope(), &mail.message.formatted())
            .await
            .map(drop)
            .map_err(SendError::new)
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

/// Whoever lists the folder sees the whole file or none.
fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
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
    let mut file = File::create_new(path)?;
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
        ] {
            assert!(Smtp::new(bad, "tickets.example").is_err(), "{bad}");
        }
        for good in [
            "smtp://127.0.0.1:1025",
            "smtp://user:pa%40ss@mail.example:587",
            "smtps://user:pass@mail.example",
            "smtp://mail.example?tls=opportunistic",
            "smtps://mail.example/shop.example",
        ] {
            assert!(Smtp::new(good, "tickets.example").is_ok(), "{good}");
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
        ] {
            let smtp = Smtp::new(url, "tickets.example").unwrap();
            let shown = format!("{:?}", smtp.server);
            assert!(shown.contains(&format!("tls: {tls}")), "{url}: {shown}");
        }
    }
}
