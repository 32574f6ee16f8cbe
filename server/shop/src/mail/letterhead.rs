//! What all mails of a shop have in common: the sender, the shop's origin and its host. Does not compose
//! mails.

use lettre::message::Mailbox;
use std::net::IpAddr;

/// The sender, origin and host of all mails of a shop.
#[derive(Debug, Clone)]
pub struct Letterhead {
    from: Mailbox,
    public_url: String,
    domain: String,
}

impl Letterhead {
    /// `public_url` is the shop's origin, without a trailing slash.
    pub fn new(from: Mailbox, public_url: &str) -> Self {
        Self {
            from,
            public_url: public_url.to_owned(),
            domain: domain(public_url),
        }
    }

    pub(crate) fn from(&self) -> &Mailbox {
        &self.from
    }

    /// The shop's origin, without a trailing slash.
    pub(crate) fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The shop's host, for Message-IDs and the SMTP greeting; `localhost` for an IP address.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

/// Parses a sender such as `Stagedoor <tickets@tickets.example>`. Returns `None` if it cannot be used as
/// one.
pub fn sender(text: &str) -> Option<Mailbox> {
    let mailbox: Mailbox = text.parse().ok()?;
    // lettre parses the sender from the header that it formatted, and cannot parse all that it formats.
    let parsed: Mailbox = mailbox.to_string().parse().ok()?;
    (parsed.email == mailbox.email).then_some(mailbox)
}

/// The sender where none is configured: `Stagedoor <tickets@HOST>`. Returns `None` if the host cannot be
/// part of an address.
pub fn default_sender(public_url: &str) -> Option<Mailbox> {
    sender(&format!("Stagedoor <tickets@{}>", domain(public_url)))
}

/// The host of an origin; `localhost` for an IP address, which few mail programs can parse.
fn domain(public_url: &str) -> String {
    let uri: Option<http::Uri> = public_url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let bare = host.trim_matches(['[', ']']);
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        "localhost".to_owned()
    } else {
        host.to_owned()
    }
}
