//! The letter to a buyer about a changed title, time or place of their event. Does not decide which changes
//! are announced (`events/changes.rs`).

use super::{
    compose::{self, ComposeError, gone},
    page::{Block, Letter, isolate},
    words::{occasion, order_line, row, short},
};
use crate::{
    events::{
        changes::{self, Announced, Difference},
        store,
    },
    mail::{Letterhead, store::MailRow},
    orders::State,
    passes::{Booklet, link},
};
use lettre::message::SinglePart;
use model::{accounts::User, events::Event, ids::OrderId};
use platform::db::Db;

/// Composes the letter. Returns its recipient and the attached files too.
pub(super) async fn compose(
    db: &Db,
    head: &Letterhead,
    mail: &MailRow,
) -> Result<(Letter, User, Vec<SinglePart>), ComposeError> {
    let (order, change) =
        changes::parse_subject(&mail.subject).ok_or_else(|| gone("the subject names no order"))?;
    let was = changes::find(db.reads(), change).await?;
    let was = was.ok_or(ComposeError::NotNeeded("the change was deleted"))?;
    let (order, event, buyer) = compose::find_order(db, order).await?;
    match order.state {
        State::Complete | State::Refunding => {}
        State::Created | State::AwaitingPayment | State::Capturing => {
            return Err(ComposeError::NotYet("the order is not paid yet"));
        }
        _ => {
            return Err(ComposeError::NotNeeded(
                "the order is no longer its buyer's",
            ));
        }
    }
    let now = store::find(db.reads(), event.id).await?;
    let now = now.ok_or_else(|| gone("the event does not exist"))?;
    let differences = was.differences(&Announced::of(&now));
    if differences.is_empty() {
        return Err(ComposeError::NotNeeded("the event was changed back"));
    }
    let booklet = Booklet::find(db, order.id, mail.created_at).await?;
    let booklet = booklet.ok_or(ComposeError::NotNeeded(
        "no ticket of the order is the buyer's",
    ))?;
    let tickets = link::create_url(db, head.public_url(), order.id, mail.created_at).await?;
    let shop = head.public_url();
    let letter = words(shop, &buyer.name, order.id, &event, &differences, &tickets);
    Ok((letter, buyer, compose::attachments(head, mail, &booklet)?))
}

fn words(
    public_url: &str,
    name: &str,
    order: OrderId,
    event: &Event,
    differences: &[Difference],
    tickets: &str,
) -> Letter {
    let mut rows = Vec::new();
    for difference in differences {
        rows.push(row(
            &format!("{} before", difference.label),
            &difference.before,
        ));
        rows.push(row(&format!("{} now", difference.label), &difference.now));
    }
    Letter::new(&format!("Changed: {}", short(event)))
        .with(Block::Heading(format!("Changed: {}", isolate(&event.title))))
        .with_text(format!(
            "Hello {}, the organiser has changed an event that you have tickets for. What has changed:",
            isolate(name)
        ))
        .with(Block::Rows(rows))
        .with_text("The event is now:")
        .with(Block::Event(occasion(event)))
        .with_text(
            "Your tickets stay valid, also those that you have printed or saved. The attached PDF shows \
             the new details, and the calendar file replaces the entry in your calendar.",
        )
        .with(Block::Link {
            label: "Show your tickets",
            url: tickets.to_owned(),
        })
        .with_text(format!(
            "If you can no longer come, answer this mail and name order {}: the seller or this shop can \
             refund the tickets, and the money then goes back to the card that paid.",
            order.code()
        ))
        .with(order_line(public_url, order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::EventId;
    use uuid::Uuid;

    #[test]
    fn a_letter_has_the_details_before_and_after() {
        let event = Event {
            id: EventId(Uuid::from_u128(7)),
            title: "Late Show".to_owned(),
            category: "music".parse().unwrap(),
            description: String::new(),
            venue: "New Hall".to_owned(),
            city: "Leeds".to_owned(),
            country: "GB".to_owned(),
            starts_at: "2031-05-02T19:30:00Z".parse().unwrap(),
            ends_at: None,
            sales_until: None,
            time_zone: "Europe/London".to_owned(),
            currency: "GBP".parse().unwrap(),
            tickets_available: 0,
            price_from_minor: None,
            picture: None,
            version: 2,
        };
        let differences = [
            Difference {
                label: "When",
                before: "Thursday 1 May 2031, 8:30 pm BST".to_owned(),
                now: event.when_in_full(),
            },
            Difference {
                label: "Where",
                before: "Old Hall, Leeds".to_owned(),
                now: "New Hall, Leeds".to_owned(),
            },
        ];
        let order = OrderId(Uuid::from_u128(9));
        let shop = "https://tickets.example";
        let letter = words(
            shop,
            "Ann",
            order,
            &event,
            &differences,
            "https://x.example/o",
        );
        assert_eq!(letter.subject(), "Changed: Late Show, 2 May");
        for said in [letter.text(), letter.html()] {
            for words in [
                "Thursday 1 May 2031, 8:30 pm BST",
                "Friday 2 May 2031, 8:30 pm BST",
                "Old Hall, Leeds",
                "New Hall, Leeds",
                "stay valid",
                "https://x.example/o",
            ] {
                assert!(said.contains(words), "{words}: {said}");
            }
        }
    }
}
