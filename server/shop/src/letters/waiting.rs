//! The letters about the waiting list: to confirm an address, that it is on the list, and that tickets are
//! for sale. Looks up their data and has their texts.
//!
//! The token of a link is generated each time that its letter is composed and is only in the letter. If the
//! tickets have been sold meanwhile, the letter is not sent and the entry waits again.

use super::{
    compose::ComposeError,
    page::{Block, Letter, isolate},
    words::{occasion, row, short},
};
use crate::{
    events::store,
    mail::{Kind, Letterhead, store::MailRow},
    waiting::store::{self as list, EntryRow},
};
use model::{
    Moment,
    events::Event,
    money::Money,
    waiting::{WaitingState, WaitingToken},
};
use platform::db::{Conn, Db};

/// The entry and event of a letter, or why it is not sent.
type Found = Result<(EntryRow, Event), &'static str>;

/// Composes the letter. Returns the recipient's address too.
pub(super) async fn compose(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
    now: Moment,
) -> Result<(Letter, String), ComposeError> {
    let token = list::new_token();
    let (shop, kind) = (head.public_url(), mail.kind);
    let url = format!("{shop}/waiting-list?token={}", token.0);
    let subject = mail.subject.clone();
    let found: Found = db
        .write(move |conn| Box::pin(async move { find(conn, kind, &subject, &token, now).await }))
        .await?;
    let (entry, event) = found.map_err(ComposeError::NotNeeded)?;
    let letter = match kind {
        Kind::WaitingConfirm => confirm_words(url),
        Kind::WaitingJoined => joined_words(shop, &event, &entry.waiting.wanted(), url),
        _ => free_words(shop, &event, url),
    };
    Ok((letter, entry.waiting.email))
}

/// Looks up the entry and event of a mail, and stores the token of its link. Returns an entry to the list
/// if its tickets have been sold.
async fn find(
    conn: &mut Conn,
    kind: Kind,
    subject: &str,
    token: &WaitingToken,
    now: Moment,
) -> Result<Found, sqlx::Error> {
    let Some((entry, queued_at)) = list::set_mail_token(conn, subject, token).await? else {
        return Ok(Err("the address was taken off the list"));
    };
    let current = match kind {
        Kind::WaitingConfirm => entry.waiting.state == WaitingState::Asked,
        Kind::WaitingJoined => entry.waiting.state == WaitingState::Waiting,
        _ => entry.waiting.state == WaitingState::Told && entry.told_at == queued_at,
    };
    if !current {
        return Ok(Err("the entry has changed since"));
    }
    let id = entry.waiting.event_id;
    let event = store::find(&mut *conn, id).await?;
    let Some(event) = event.filter(|event| event.what.is_on_sale(now)) else {
        return Ok(Err("sales for the event have ended"));
    };
    let stock = store::find_stock(&mut *conn, &[id], now).await?;
    let stock = stock.get(&id).copied().unwrap_or_default();
    if kind == Kind::TicketsFree && stock.available < entry.waiting.quantity {
        list::requeue(conn, entry.id).await?;
        return Ok(Err("the tickets have been sold"));
    }
    Ok(Ok((entry, event.event(stock))))
}

/// The address is unconfirmed, so the letter contains no text that others chose: the event's title is only
/// on the page behind the link.
fn confirm_words(url: String) -> Letter {
    Letter::new("Please confirm: tickets for an event")
        .with(Block::Heading("Tell you when there is a ticket?".to_owned()))
        .with_text(
            "Somebody, you we hope, asked Stagedoor to mail this address once when there are tickets \
             for an event that has none. If that was you, follow the link, which shows the event, and \
             confirm with the button there, within two days.",
        )
        .with(Block::Link {
            label: "See the event and confirm the address",
            url: url.clone(),
        })
        .with_text(
            "If it was not you, there is nothing to do: unless it is confirmed, the address is \
             deleted in two days, and we do not write again about this.",
        )
        .with(Block::Footnote {
            label: "To have the address deleted at once",
            url,
        })
}

fn joined_words(public_url: &str, event: &Event, wanted: &str, url: String) -> Letter {
    Letter::new(&format!("You are on the waiting list: {}", short(event)))
        .with(Block::Heading("You are on the waiting list".to_owned()))
        .with_text(format!(
            "We mail you once, when {wanted} for sale and those who have waited longer have been told."
        ))
        .with(Block::Event(occasion(event)))
        .with_text(
            "Nothing is kept for you: everybody can buy what is for sale, and whoever is first gets \
             it. The list ends when sales for the event end.",
        )
        .with(Block::Link {
            label: "See the event",
            url: format!("{public_url}/events/{}", event.id),
        })
        .with(Block::Footnote {
            label: "To leave the waiting list",
            url,
        })
}

fn free_words(public_url: &str, event: &Event, url: String) -> Letter {
    let mut rows = occasion(event);
    rows.push(row("For sale now", event.tickets_available.to_string()));
    if let Some(minor) = event.price_from_minor {
        rows.push(row("From", Money::new(minor, event.currency).to_string()));
    }
    Letter::new(&format!("There are tickets for {}", short(event)))
        .with(Block::Heading(format!(
            "There are tickets for {}",
            isolate(&event.title)
        )))
        .with_text("You asked us to tell you. This is how things stand as we write:")
        .with(Block::Event(rows))
        .with(Block::Link {
            label: "See the tickets",
            url: format!("{public_url}/events/{}", event.id),
        })
        .with_text(
            "None of them is kept for you: everybody can buy them, and they may be gone when you \
             look. That is all that you asked for, so you are in line no more.",
        )
        .with(Block::Footnote {
            label: "To be told again, or to have your address deleted",
            url,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::EventId;
    use uuid::Uuid;

    const SHOP: &str = "https://tickets.example";
    const LINK: &str = "https://tickets.example/waiting-list?token=abc";

    fn event() -> Event {
        Event {
            id: EventId(Uuid::from_u128(7)),
            title: "Late Show".to_owned(),
            category: "music".parse().unwrap(),
            description: String::new(),
            venue: "Old Hall".to_owned(),
            city: "Leeds".to_owned(),
            country: "GB".to_owned(),
            starts_at: "2031-05-01T19:30:00Z".parse().unwrap(),
            ends_at: None,
            sales_until: None,
            time_zone: "Europe/London".to_owned(),
            currency: "GBP".parse().unwrap(),
            tickets_available: 2,
            price_from_minor: Some(2500),
            picture: None,
            version: 1,
        }
    }

    #[test]
    fn every_letter_has_the_event_and_a_link_to_leave_the_list() {
        let event = event();
        for letter in [
            joined_words(SHOP, &event, "there are 2 tickets", LINK.to_owned()),
            free_words(SHOP, &event, LINK.to_owned()),
        ] {
            assert!(letter.subject().ends_with("Late Show, 1 May"));
            for said in [letter.text(), letter.html()] {
                for words in ["Late Show", "Old Hall, Leeds", LINK] {
                    assert!(said.contains(words), "{words}: {said}");
                }
            }
        }
    }

    #[test]
    fn an_unconfirmed_address_is_sent_no_text_of_others() {
        let letter = confirm_words(LINK.to_owned());
        for said in [letter.text(), letter.html()] {
            assert!(
                said.contains(LINK) && said.contains("If it was not you"),
                "{said}"
            );
            assert!(!said.contains("Late Show"), "{said}");
        }
    }

    #[test]
    fn no_letter_promises_a_ticket() {
        let event = event();
        let joined = joined_words(SHOP, &event, "there are 2 tickets", LINK.to_owned()).text();
        assert!(
            joined.contains("Nothing is kept for you")
                && joined.contains("there are 2 tickets for sale")
        );
        let free = free_words(SHOP, &event, LINK.to_owned()).text();
        assert!(free.contains("None of them is kept for you"), "{free}");
        assert!(free.contains("For sale now: 2") && free.contains("From: £25.00"));
    }
}
