//! From a row of `mails` to a message: looks up what is true now, has it put into words, and
//! addresses it.
//!
//! A letter never says what is no longer so: a mail whose subject has gone, or has become something
//! else, is not sent. It owns no words (`words.rs`) and sends nothing (`mailer.rs`).

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
    passes::{Booklet, calendar, link, pdf},
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

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLetter {
    /// There will never be one.
    #[error("{0}")]
    Gone(String),
    /// It is not needed any more, as happens in the ordinary course.
    #[error("{0}")]
    Moot(&'static str),
    /// What it would say is not certain yet.
    #[error("{0}")]
    NotYet(&'static str),
    /// It could not be looked up.
    #[error("it could not be composed")]
    Fault(#[from] Fault),
}

impl From<sqlx::Error> for NoLetter {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

pub(super) fn gone(why: impl Into<String>) -> NoLetter {
    NoLetter::Gone(why.into())
}

/// Composes the message that a mail is now.
pub(crate) async fn compose(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
    now: Moment,
) -> Result<Outgoing, NoLetter> {
    let (letter, to) = match mail.kind {
        Kind::OrderComplete => {
            let (letter, to, enclosed) = order_complete(db, head, mail).await?;
            return address(head, mail, &letter, Reader::from(&to), enclosed);
        }
        Kind::EventChanged => {
            let (letter, to, enclosed) = changed::letter(db, head, mail).await?;
            return address(head, mail, &letter, Reader::from(&to), enclosed);
        }
        Kind::OrderExpired => order_expired(db, head, &mail.subject).await?,
        Kind::OrderRefunded | Kind::RefundFailed => refund(db, head, mail).await?,
        Kind::Attention => attention(db, head, &mail.subject).await?,
        Kind::PasswordReset => account::reset_letter(db, head, &mail.subject, now).await?,
        Kind::PasswordChanged => account::changed_letter(db, head, &mail.subject).await?,
        Kind::SecondFactorChanged => factor::letter(db, head, &mail.subject).await?,
        Kind::EmailProof | Kind::EmailChanged => {
            let (letter, email) = account::email_letter(db, head, mail, now).await?;
            let to = Reader {
                name: None,
                email: &email,
            };
            return address(head, mail, &letter, to, Vec::new());
        }
        Kind::WaitingConfirm | Kind::WaitingJoined | Kind::TicketsFree => {
            let (letter, email) = waiting::letter(db, head, mail, now).await?;
            let to = Reader {
                name: None,
                email: &email,
            };
            return address(head, mail, &letter, to, Vec::new());
        }
    };
    address(head, mail, &letter, Reader::from(&to), Vec::new())
}

async fn order_complete(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
) -> Result<(Letter, User, Vec<SinglePart>), NoLetter> {
    let (state, mut facts, buyer) = order_facts(db, id(&mail.subject)?).await?;
    // While one ticket is on its way back, the others are the buyer's all the same.
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
    let tickets = link::address(db, head.public_url(), facts.order, mail.created_at).await?;
    let letter = words::order_complete(head.public_url(), &facts, &tickets);
    Ok((letter, buyer, enclosed(head, mail, &booklet)?))
}

/// The tickets for paper, and their event for a calendar.
pub(super) fn enclosed(
    head: &Letterhead,
    mail: &MailRow,
    booklet: &Booklet,
) -> Result<Vec<SinglePart>, NoLetter> {
    let kind = |name| {
        ContentType::parse(name)
            .map_err(|error| Fault::unexpected("an attachment was not made", error))
    };
    let code = booklet.order.code();
    let written_at = mail.created_at.timestamp();
    let event = calendar(booklet, head.public_url(), written_at);
    Ok(vec![
        Attachment::new(format!("tickets-{code}.pdf"))
            .body(pdf(booklet)?, kind("application/pdf")?),
        Attachment::new(format!("event-{code}.ics"))
            .body(event, kind("text/calendar; charset=utf-8; method=PUBLISH")?),
    ])
}

async fn order_expired(
    db: &Db,
    head: &Letterhead,
    subject: &str,
) -> Result<(Letter, User), NoLetter> {
    let order = id(subject)?;
    // Looked at before the order: a payment that comes to rest afterwards has moved the order.
    let charged = store::order_charged(db.reads(), order).await?;
    let (state, facts, buyer) = order_facts(db, order).await?;
    if state != State::Expired {
        return Err(gone(format!("the order is {state} now")));
    }
    if charged.taken > 0 {
        return Err(gone("money was taken after all"));
    }
    if charged.open > 0 {
        // A late authorisation may still make the order whole, so "not charged" may be untrue.
        return Err(NoLetter::NotYet("the order's payment is not settled"));
    }
    let letter = if buyer.email_verified {
        words::order_expired(head.public_url(), &facts)
    } else {
        words::unknown_order_expired(head.public_url(), order)
    };
    Ok((letter, buyer))
}

async fn refund(db: &Db, head: &Letterhead, mail: &MailRow) -> Result<(Letter, User), NoLetter> {
    let refund: RefundId = id(&mail.subject)?;
    let row = store::refund_find(db.reads(), refund)
        .await?
        .ok_or_else(|| gone("the refund is not there"))?;
    let failed = mail.kind == Kind::RefundFailed;
    if failed != (row.state == refunds::State::Failed) {
        return Err(gone(format!("the refund is {} now", row.state)));
    }
    if row.state == refunds::State::Intended {
        return Err(NoLetter::NotYet("the refund has not been made"));
    }
    let (order, event, buyer) = order(db, row.order).await?;
    let facts = RefundFacts {
        name: buyer.name.clone(),
        order: order.id,
        event,
        tickets: store::refund_seats(db.reads(), refund).await?,
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

async fn attention(db: &Db, head: &Letterhead, subject: &str) -> Result<(Letter, User), NoLetter> {
    let (first, last, operator) =
        subjects::read_attention(subject).ok_or_else(|| gone("it names no operator"))?;
    let (first, last): (IncidentId, IncidentId) = (id(first)?, id(last)?);
    let mut found: Vec<IncidentFacts> = incidents::list_open(db.reads())
        .await?
        .into_iter()
        .filter(|open| (first..=last).contains(&open.id))
        .map(incident_facts)
        .collect();
    let operator: UserId = id(operator)?;
    let operators = accounts::store::list_operators(db.reads()).await?;
    let to = operators.into_iter().find(|user| user.id == operator);
    let to = to.ok_or(NoLetter::Moot("they are no operator now"))?;
    let letter = match (found.pop(), found.is_empty()) {
        (None, _) => return Err(NoLetter::Moot("all of it is settled, or not there")),
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

async fn order_facts(db: &Db, id: OrderId) -> Result<(State, OrderFacts, User), NoLetter> {
    let (order, event, buyer) = order(db, id).await?;
    let (back, kept): (Vec<_>, Vec<_>) = store::order_seats(db.reads(), id)
        .await?
        .into_iter()
        .partition(|(_, refunded)| *refunded);
    let facts = OrderFacts {
        name: buyer.name.clone(),
        order: id,
        event,
        tickets: kept.into_iter().map(|(seat, _)| seat).collect(),
        refunded: back.len(),
        total: order.total_minor.of(order.currency),
        sellers: Vec::new(),
    };
    Ok((order.state, facts, buyer))
}

pub(super) async fn order(
    db: &Db,
    id: OrderId,
) -> Result<(orders::store::OrderRow, Event, User), NoLetter> {
    let order = orders::store::find(db.reads(), id)
        .await?
        .ok_or_else(|| gone("the order is not there"))?;
    let buyer = accounts::store::find(db.reads(), order.buyer)
        .await?
        .ok_or_else(|| gone("the buyer is not there"))?;
    let event = event(db, order.event).await?;
    Ok((order, event, buyer))
}

async fn event(db: &Db, id: EventId) -> Result<Event, NoLetter> {
    let found = events::store::find(db.reads(), id).await?;
    let row = found.ok_or_else(|| gone("the event is not there"))?;
    Ok(row.event(events::store::Stock::default()))
}

pub(super) fn id<T: FromStr>(subject: &str) -> Result<T, NoLetter> {
    subject
        .parse()
        .map_err(|_| gone(format!("\"{subject}\" is no id")))
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    /// None: nothing but the address is known.
    name: Option<&'a str>,
    email: &'a str,
}

impl<'a> From<&'a User> for Reader<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            // The name was chosen when the account was made, perhaps not by the reader of this.
            name: user.email_verified.then_some(user.name.as_str()),
            email: &user.email,
        }
    }
}

/// Puts a letter, and what is enclosed, into its envelope.
fn address(
    head: &Letterhead,
    mail: &MailRow,
    letter: &Letter,
    to: Reader<'_>,
    enclosed: Vec<SinglePart>,
) -> Result<Outgoing, NoLetter> {
    let address: Address = accounts::email_for_mail(to.email)
        .parse()
        .map_err(|_| gone("the address cannot be written to"))?;
    // Not taken from the header, where a name stands beside the address.
    let envelope = Envelope::new(Some(head.from().email.clone()), vec![address.clone()])
        .map_err(|error| Fault::unexpected("an envelope was not made", error))?;
    let written_at = mail.created_at.timestamp();
    // Nobody's holiday notice should answer a machine.
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    let body = MultiPart::alternative_plain_html(letter.text(), letter.html());
    let body = if enclosed.is_empty() {
        body
    } else {
        let mixed = MultiPart::mixed().multipart(body);
        enclosed.into_iter().fold(mixed, MultiPart::singlepart)
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
        .map_err(|error| Fault::unexpected("a message was not made", error))?;
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

    fn from(url: &str, name: &str, email: &str, subject: &str) -> Result<Message, NoLetter> {
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
        let letter = Letter::new(subject).say("Hello");
        address(&head, &mail, &letter, Reader::from(&to), Vec::new()).map(|out| out.message)
    }

    fn message(name: &str, email: &str, subject: &str) -> Result<Message, NoLetter> {
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
    fn an_international_domain_is_written_as_every_mail_server_takes_it() {
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
        assert!(matches!(refused, Err(NoLetter::Gone(_))));
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
