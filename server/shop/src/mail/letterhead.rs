//! What all mails of a shop have in common: the sender, the shop's origin and its host.

use lettre::message::Mailbox;
use std::net::IpAddr;

/// What all mails of a shop have in common.
#[derive(Debug, Clone)]
pub struct Letterhead {
    from: Mailbox,
    public_url: String,
    domain: String,
}

impl Letterhead {
    /// From `from`, with links to the shop at `public_url`.
    pub fn new(from: Mailbox, public_url: &str) -> Self {
        Self {
            from,
            public_url: public_url.to_owned(),
            domain: domain(public_url),
        }
    }

    /// The sender of all mails.
    pub(crate) fn from(&self) -> &Mailbox {
        &self.from
    }

    /// The shop's own origin, without a trailing slash.
    pub(crate) fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The shop's host, as mail writes it.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

/// A sender as a setting has it: `Stagedoor <tickets@tickets.example>`. None: mails cannot be from
/// there.
pub fn sender(text: &str) -> Option<Mailbox> {
    let mailbox: Mailbox = text.parse().ok()?;
    // lettre reads the sender back from the header that it wrote, and cannot read all that it writes.
    let again: Mailbox = mailbox.to_string().parse().ok()?;
    (again.email == mailbox.email).then_some(mailbox)
}

/// The sender of a shop that names none: `Stagedoor <tickets@HOST>`. None: no address can be made
/// of this host.
pub fn default_sender(public_url: &str) -> Option<Mailbox> {
    sender(&format!("Stagedoor <tickets@{}>", domain(public_url)))
}

/// The host of an origin; `localhost` for an IP address, which few mail programs can read.
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
