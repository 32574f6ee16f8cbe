//! Composes a message from a row of `mails`: looks up the current data, has its text written, and addresses
//! it.
//!
//! A letter states only what is still true: a mail about something that no longer exists or has changed is
//! not sent. Has no texts (`words.rs`) and sends nothing (`mailer.rs`).

use super::{
    account, changed, factor,
    page::{Letter, one_line},
    store, waiting,
    words::{self, IncidentFacts, OrderFacts, RefundFacts},
};
use crate::{
    accounts, events, incidents,
    mail::{Kind, Letterhead, Outgoing, store::MailRow, subjects},
    orders,
    orders::State,
    passes::{Booklet, link, render_calendar, render_pdf},
    refunds::store as refunds,
};
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use model::{
    Moment,
    accounts::User,
    events::Event,
    ids::{EventId, IncidentId, OrderId, RefundId, UserId},
};
use platform::{db::Db, fault::Fault};
use std::{str::FromStr, time::SystemTime};

/// Why no message was composed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    /// What the mail is about no longer exists.
    #[error("{0}")]
    Gone(String),
    /// No longer needed, in the normal course of things.
    #[error("{0}")]
    NotNeeded(&'static str),
    /// The content is not settled yet; compose it again later.
    #[error("{0}")]
    NotYet(&'static str),
    #[error("the mail could not be composed")]
    Fault(#[from] Fault),
}

impl From<sqlx::Error> for ComposeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

pub(super) fn gone(why: impl Into<String>) -> ComposeError {
    ComposeError::Gone(why.into())
}

/// Composes a mail from the current data.
pub(crate) async fn compose(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
    now: Moment,
) -> Result<Outgoing, ComposeError> {
    let (letter, to) = match mail.kind {
        Kind::OrderComplete => {
            let (letter, to, attachments) = compose_order_complete(db, head, mail).await?;
            return build_message(head, mail, &letter, Recipient::from(&to), attachments);
        }
        Kind::EventChanged => {
            let (letter, to, attachments) = changed::compose(db, head, mail).await?;
            return build_message(head, mail, &letter, Recipient::from(&to), attachments);
        }
        Kind::OrderExpired => compose_order_expired(db, head, &mail.subject).await?,
        Kind::OrderRefunded | Kind::RefundFailed => compose_refund(db, head, mail).await?,
        Kind::Attention => compose_attention(db, head, &mail.subject).await?,
        Kind::PasswordReset => {
            account::compose_password_reset(db, head, &mail.subject, now).await?
        }
        Kind::PasswordChanged => account::compose_password_changed(db, head, &mail.subject).await?,
        Kind::SecondFactorChanged => factor::compose(db, head, &mail.subject).await?,
        Kind::EmailProof | Kind::EmailChanged => {
            let (letter, email) = account::compose_email_change(db, head, mail, now).await?;
            let to = Recipient {
                name: None,
                email: &email,
            };
            return build_message(head, mail, &letter, to, Vec::new());
        }
        Kind::WaitingConfirm | Kind::WaitingJoined | Kind::TicketsFree => {
            let (letter, email) = waiting::compose(db, head, mail, now).await?;
            let to = Recipient {
                name: None,
                email: &email,
            };
            return build_message(head, mail, &letter, to, Vec::new());
        }
    };
    build_message(head, mail, &letter, Recipient::from(&to), Vec::new())
}

async fn compose_order_complete(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
) -> Result<(Letter, User, Vec<SinglePart>), ComposeError> {
    let (state, mut facts, buyer) = find_order_facts(db, parse_id(&mail.subject)?).await?;
    // While one ticket is being refunded, the others still belong to the buyer.
    if !matches!(state, State::Complete | State::Refunding) {
        return Err(gone(format!("the order is {state} now")));
    }
    if facts.tickets.is_empty() {
        return Err(gone("all tickets of the order have been refunded"));
    }
    let booklet = Booklet::find(db, facts.order, mail.created_at).await?;
    let booklet = booklet.ok_or_else(|| gone("no ticket of the order is the buyer's"))?;
    for pass in &booklet.passes {
        if !facts.sellers.contains(&pass.seller_name) {
            facts.sellers.push(pass.seller_name.clone());
        }
    }
    let tickets = link::create_url(db, head.public_url(), facts.order, mail.created_at).await?;
    let letter = words::order_complete(head.public_url(), &facts, &tickets);
    Ok((letter, buyer, attachments(head, mail, &booklet)?))
}

/// The attached files: the tickets as PDF, and the event for a calendar.
pub(super) fn attachments(
    head: &Letterhead,
    mail: &MailRow,
    booklet: &Booklet,
) -> Result<Vec<SinglePart>, ComposeError> {
    let kind = |name| {
        ContentType::parse(name)
            .map_err(|error| Fault::unexpected("an attachment's content type is invalid", error))
    };
    let code = booklet.order.code();
    let written_at = mail.created_at.timestamp();
    let event = render_calendar(booklet, head.public_url(), written_at);
    Ok(vec![
        Attachment::new(format!("tickets-{code}.pdf"))
            .body(render_pdf(booklet)?, kind("application/pdf")?),
        Attachment::new(format!("event-{code}.ics"))
            .body(event, kind("text/calendar; charset=utf-8; method=PUBLISH")?),
    ])
}

async fn compose_order_expired(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), ComposeError> {
    let order = parse_id(subject)?;
    // Read before the order: a payment that settles afterwards has changed the order's state.
    let charged = store::count_charged(db.reads(), order).await?;
    let (state, facts, buyer) = find_order_facts(db, order).await?;
    if state != State::Expired {
        return Err(gone(format!("the order is {state} now")));
    }
    if charged.taken > 0 {
        return Err(gone("money was taken after all"));
    }
    if charged.open > 0 {
        // A late authorisation may still revive the order, so "not charged" may become untrue.
        return Err(ComposeError::NotYet("the order's payment is not settled"));
    }
    let letter = if buyer.email_verified {
        words::order_expired(head.public_url(), &facts)
    } else {
        words::unknown_order_expired(head.public_url(), order)
    };
    Ok((letter, buyer))
}

async fn compose_refund(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
) -> Result<(Letter, User), ComposeError> {
    let refund: RefundId = parse_id(&mail.subject)?;
    let row = store::find_refund(db.reads(), refund)
        .await?
        .ok_or_else(|| gone("the refund does not exist"))?;
    let failed = mail.kind == Kind::RefundFailed;
    if failed != (row.state == refunds::State::Failed) {
        return Err(gone(format!("the refund is {} now", row.state)));
    }
    if row.state == refunds::State::Intended {
        return Err(ComposeError::NotYet("the refund has not been made"));
    }
    let (order, event, buyer) = find_order(db, row.order).await?;
    let facts = RefundFacts {
        name: buyer.name.clone(),
        order: order.id,
        event,
        tickets: store::list_refund_seats(db.reads(), refund).await?,
        amount: row.amount_minor.of(row.currency),
        by_hand: row.reason == refunds::Reason::Provider,
    };
    let letter = if failed {
        words::refund_failed(head.public_url(), &facts)
    } else {
        words::order_refunded(head.public_url(), &facts)
    };
    Ok((letter, buyer))
}

async fn compose_attention(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), ComposeError> {
    let (first, last, operator) =
        subjects::parse_attention(subject).ok_or_else(|| gone("the subject names no operator"))?;
    let (first, last): (IncidentId, IncidentId) = (parse_id(first)?, parse_id(last)?);
    let mut found: Vec<IncidentFacts> = incidents::list_open(db.reads())
        .await?
        .into_iter()
        .filter(|open| (first..=last).contains(&open.id))
        .map(incident_facts)
        .collect();
    let operator: UserId = parse_id(operator)?;
    let operators = accounts::store::list_operators(db.reads()).await?;
    let to = operators.into_iter().find(|user| user.id == operator);
    let to = to.ok_or(ComposeError::NotNeeded("the user is no longer an operator"))?;
    let letter = match (found.pop(), found.is_empty()) {
        (None, _) => {
            return Err(ComposeError::NotNeeded("all its incidents are settled"));
        }
        (Some(only), true) => words::attention(head.public_url(), &only),
        (Some(last), false) => {
            found.push(last);
            words::attentions(head.public_url(), &found)
        }
    };
    Ok((letter, to))
}

fn incident_facts(found: incidents::Incident) -> IncidentFacts {
    IncidentFacts {
        id: found.id,
        kind: found.kind,
        subject: found.subject,
        order: found.order_id,
        detail: found.detail,
        found_at: found
            .found_at
            .timestamp()
            .strftime("%Y-%m-%d %H:%M:%S UTC")
            .to_string(),
    }
}

async fn find_order_facts(db: &Db, id: OrderId) -> Result<(State, OrderFacts, User), ComposeError> {
    let (order, event, buyer) = find_order(db, id).await?;
    let (refunded, kept): (Vec<_>, Vec<_>) = store::list_order_seats(db.reads(), id)
        .await?
        .into_iter()
        .partition(|(_, refunded)| *refunded);
    let facts = OrderFacts {
        name: buyer.name.clone(),
        order: id,
        event,
        tickets: kept.into_iter().map(|(seat, _)| seat).collect(),
        refunded: refunded.len(),
        total: order.total_minor.of(order.currency),
        sellers: Vec::new(),
    };
    Ok((order.state, facts, buyer))
}

pub(super) async fn find_order(
    db: &Db,
    id: OrderId,
) -> Result<(orders::store::OrderRow, Event, User), ComposeError> {
    let order = orders::store::find(db.reads(), id)
        .await?
        .ok_or_else(|| gone("the order does not exist"))?;
    let buyer = accounts::store::find(db.reads(), order.buyer)
        .await?
        .ok_or_else(|| gone("the buyer does not exist"))?;
    let event = find_event(db, order.event).await?;
    Ok((order, event, buyer))
}

async fn find_event(db: &Db, id: EventId) -> Result<Event, ComposeError> {
    let found = events::store::find(db.reads(), id).await?;
    let row = found.ok_or_else(|| gone("the event does not exist"))?;
    Ok(row.event(events::store::Stock::default()))
}

pub(super) fn parse_id<T: FromStr>(subject: &str) -> Result<T, ComposeError> {
    subject
        .parse()
        .map_err(|_| gone(format!("\"{subject}\" is not an id")))
}

/// The recipient of a message.
#[derive(Debug, Clone, Copy)]
struct Recipient<'a> {
    /// `None` if only the address is known.
    name: Option<&'a str>,
    email: &'a str,
}

impl<'a> From<&'a User> for Recipient<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            // The name was chosen at sign-up, perhaps by a person who does not own the address.
            name: user.email_verified.then_some(user.name.as_str()),
            email: &user.email,
        }
    }
}

/// Builds the message of a letter and its attachments.
fn build_message(
    head: &Letterhead,
    mail: &MailRow,
    letter: &Letter,
    to: Recipient<'_>,
    attachments: Vec<SinglePart>,
) -> Result<Outgoing, ComposeError> {
    let address: Address = accounts::email_for_mail(to.email)
        .parse()
        .map_err(|_| gone("the address is invalid"))?;
    // Not derived from the header, which has a name beside the address.
    let envelope = Envelope::new(Some(head.from().email.clone()), vec![address.clone()])
        .map_err(|error| Fault::unexpected("a mail's envelope was not built", error))?;
    let written_at = mail.created_at.timestamp();
    // Suppresses automatic replies (RFC 3834).
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    let body = MultiPart::alternative_plain_html(letter.text(), letter.html());
    let body = if attachments.is_empty() {
        body
    } else {
        let mixed = MultiPart::mixed().multipart(body);
        attachments.into_iter().fold(mixed, MultiPart::singlepart)
    };
    let message = Message::builder()
        .envelope(envelope)
        .from(head.from().clone())
        .to(Mailbox::new(to.name.map(one_line), address))
        .subject(letter.subject())
        .date(SystemTime::from(written_at))
        .message_id(Some(format!("<{}@{}>", mail.id, head.domain())))
        .raw_header(automatic)
        .multipart(body)
        .map_err(|error| Fault::unexpected("a mail's message was not built", error))?;
    Ok(Outgoing {
        id: mail.id,
        kind: mail.kind,
        written_at,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::default_sender;
    use model::ids::MailId;
    use uuid::Uuid;

    fn from(url: &str, name: &str, email: &str, subject: &str) -> Result<Message, ComposeError> {
        let head = Letterhead::new(default_sender(url).unwrap(), url);
        let mail = MailRow {
            id: MailId(Uuid::nil()),
            kind: Kind::OrderComplete,
            subject: String::new(),
            tries: 1,
            created_at: Moment::from_seconds(1_935_000_000),
        };
        let to = User {
            id: UserId(Uuid::nil()),
            email: email.to_owned(),
            name: name.to_owned(),
            email_verified: true,
            version: 1,
        };
        let letter = Letter::new(subject).with_text("Hello");
        build_message(&head, &mail, &letter, Recipient::from(&to), Vec::new())
            .map(|out| out.message)
    }

    fn message(name: &str, email: &str, subject: &str) -> Result<Message, ComposeError> {
        from("https://tickets.example", name, email, subject)
    }

    fn formatted(message: &Message) -> String {
        String::from_utf8(message.formatted()).unwrap()
    }

    /// The header's lines, unfolded.
    fn header(message: &str) -> Vec<String> {
        let (header, _) = message.split_once("\r\n\r\n").unwrap();
        let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
        unfolded.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_message_has_the_headers_of_its_row() {
        let message = formatted(&message("Ann", "ann@example.com", "Your ticket").unwrap());
        let header = header(&message);
        for line in [
            "From: Stagedoor <tickets@tickets.example>",
            "To: Ann <ann@example.com>",
            "Subject: Your ticket",
            "Message-ID: <00000000-0000-0000-0000-000000000000@tickets.example>",
            "Date: Sat, 26 Apr 2031 20:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(header.contains(&line.to_owned()), "{line}: {header:?}");
        }
        assert!(message.contains("text/plain") && message.contains("text/html"));
    }

    #[test]
    fn an_international_domain_is_written_in_ascii() {
        let message = message("Ann", "ann@münchen.example", "Your ticket").unwrap();
        let to: Vec<String> = message
            .envelope()
            .to()
            .iter()
            .map(Address::to_string)
            .collect();
        assert_eq!(to, ["ann@xn--mnchen-3ya.example"]);
        assert!(formatted(&message).contains("<ann@xn--mnchen-3ya.example>"));
    }

    #[test]
    fn no_name_or_title_makes_a_header() {
        for evil in [
            "x\r\nBcc: all@example.com",
            "x\nBcc: all@example.com",
            "x\rBcc: all@example.com",
            "\r\n\r\nBcc: all@example.com",
            "x\u{2028}Bcc: all@example.com",
            "x\u{85}Bcc: all@example.com",
            "é\r\nBcc: all@example.com",
            "\"<all@example.com>, x",
        ] {
            let message = message(evil, "ann@example.com", evil).unwrap();
            let to: Vec<String> = message
                .envelope()
                .to()
                .iter()
                .map(Address::to_string)
                .collect();
            assert_eq!(to, ["ann@example.com"], "{evil:?}");
            let message = formatted(&message);
            let header = header(&message);
            let names: Vec<&str> = header
                .iter()
                .map(|line| line.split(':').next().unwrap())
                .collect();
            assert!(!names.contains(&"Bcc"), "{evil:?}: {header:?}");
            assert_eq!(names.iter().filter(|name| **name == "To").count(), 1);
            let bare = message.replace("\r\n", "");
            assert!(!bare.contains(['\r', '\n']), "{evil:?}: {message}");
        }
        let refused = message("Ann", "ann@example.com\r\nBcc: all@example.com", "x");
        assert!(matches!(refused, Err(ComposeError::Gone(_))));
    }

    #[test]
    fn the_sender_is_at_the_shops_own_host() {
        for (url, address) in [
            ("https://tickets.example", "tickets@tickets.example"),
            ("http://127.0.0.1:3000", "tickets@localhost"),
            ("http://localhost:3000", "tickets@localhost"),
            ("http://[::1]:3000", "tickets@localhost"),
        ] {
            let sender = default_sender(url).unwrap();
            assert_eq!(sender.email.to_string(), address);
            let message = from(url, "Ann", "ann@example.com", "x").unwrap();
            assert_eq!(message.envelope().from(), Some(&sender.email));
        }
    }
}
