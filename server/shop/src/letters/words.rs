//! The texts of letters about orders, refunds and incidents. Pure functions of data that `compose.rs` looks
//! up.

use super::page::{Block, Letter, isolate};
use crate::incidents::Kind;
use model::{
    events::{Event, day_and_month},
    ids::{IncidentId, OrderId},
    money::Money,
};

/// The most characters of a title in a subject.
const TITLE_IN_SUBJECT: usize = 60;

/// One ticket in a letter.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// Section, row and seat.
    pub label: String,
    /// The price that was paid, or the amount that is refunded.
    pub price: Money,
}

/// The data of a letter about an order.
#[derive(Debug, Clone)]
pub(crate) struct OrderFacts {
    /// The buyer's name.
    pub name: String,
    pub order: OrderId,
    pub event: Event,
    /// Those that are not refunded.
    pub tickets: Vec<Seat>,
    /// The number of refunded tickets.
    pub refunded: usize,
    /// The price of all tickets, including refunded ones.
    pub total: Money,
    /// Each name once.
    pub sellers: Vec<String>,
}

/// The data of a letter about a refund.
#[derive(Debug, Clone)]
pub(crate) struct RefundFacts {
    /// The buyer's name.
    pub name: String,
    pub order: OrderId,
    pub event: Event,
    /// Empty if the money belonged to no ticket.
    pub tickets: Vec<Seat>,
    pub amount: Money,
    /// Whether it was made at Stripe, outside of the shop.
    pub by_hand: bool,
}

/// The data of a letter about an incident.
#[derive(Debug, Clone)]
pub(crate) struct IncidentFacts {
    pub id: IncidentId,
    /// The name of its kind, which this version may not know.
    pub kind: String,
    /// The id of what it is about.
    pub subject: String,
    pub order: Option<OrderId>,
    /// A description for the operator.
    pub detail: String,
    pub found_at: String,
}

/// An order is paid. `tickets` is the URL of its tickets, which are also attached.
pub(crate) fn order_complete(public_url: &str, facts: &OrderFacts, tickets: &str) -> Letter {
    let named = match facts.tickets.len() {
        1 => "ticket".to_owned(),
        count => format!("{count} tickets"),
    };
    let mut rows = seats(&facts.tickets);
    rows.push(row("Paid in all", facts.total.to_string()));
    rows.push(row("Order", facts.order.code()));
    rows.push(row("Sold by", facts.sellers.join(" and ")));
    let mut letter = Letter::new(&format!("Your {named} for {}", short(&facts.event)))
        .with(Block::Heading(format!(
            "Your {named} for {}",
            isolate(&facts.event.title)
        )))
        .with_text(format!(
            "Hello {}, your order is paid and complete.",
            isolate(&facts.name)
        ))
        .with(Block::Event(occasion(&facts.event)))
        .with(Block::Rows(rows));
    if facts.refunded > 0 {
        letter = letter.with_text(match facts.refunded {
            1 => "One ticket of this order has been refunded since.".to_owned(),
            count => format!("{count} tickets of this order have been refunded since."),
        });
    }
    letter
        .with_text(
            "The attached PDF has each ticket with its code: show it at the door, on paper or on a \
             screen. The calendar file puts the event into your calendar.",
        )
        .with(Block::Link {
            label: "Show your tickets",
            url: tickets.to_owned(),
        })
        .with_text(
            "That link needs no signing in, so whoever has it has your tickets: pass it on only to \
             who goes with you.",
        )
        .with_text(format!(
            "Something wrong? Answer this mail and name order {}. Paid tickets are not taken back, \
             but their seller or this shop can refund them; the money then goes back to the card \
             that paid.",
            facts.order.code()
        ))
        .with(order_line(public_url, facts.order))
}

/// The hold ended during payment; nothing was charged.
pub(crate) fn order_expired(public_url: &str, facts: &OrderFacts) -> Letter {
    Letter::new(&format!(
        "Not charged: your time ran out for {}",
        short(&facts.event)
    ))
    .with(Block::Heading("You have not been charged".to_owned()))
    .with_text(format!(
        "Hello {}, the time to pay for your tickets ran out before your payment was through. The \
         order has expired, its tickets are for sale again, and nothing was charged.",
        isolate(&facts.name)
    ))
    .with(Block::Event(occasion(&facts.event)))
    .with(Block::Rows(seats(&facts.tickets)))
    .with_text(format!(
        "If your bank shows a pending authorisation of {}, it is not a charge: it will vanish by \
         itself, in a few days at most banks.",
        facts.total
    ))
    .with(Block::Link {
        label: "See what is for sale now",
        url: format!("{public_url}/events/{}", facts.event.id),
    })
    .with(order_line(public_url, facts.order))
}

/// As [`order_expired`] for an unverified address: contains no text that others chose.
pub(crate) fn unknown_order_expired(public_url: &str, order: OrderId) -> Letter {
    Letter::new("You have not been charged")
        .with(Block::Heading("You have not been charged".to_owned()))
        .with_text(
            "Somebody gave this address for an order. The time to pay for it ran out before a payment \
             was through. The order has expired, and nothing was charged.",
        )
        .with_text(
            "If it was you and your bank shows a pending authorisation, it is not a charge: it will \
             vanish by itself, in a few days at most banks. If it was not you, there is nothing to do.",
        )
        .with(order_line(public_url, order))
}

/// A refund succeeded.
pub(crate) fn order_refunded(public_url: &str, facts: &RefundFacts) -> Letter {
    let letter = Letter::new(&format!(
        "Refund of {} for {}",
        facts.amount,
        short(&facts.event)
    ))
    .with(Block::Heading(format!("We have refunded {}", facts.amount)));
    let letter = if facts.tickets.is_empty() && facts.by_hand {
        letter.with_text(format!(
            "Hello {}, {} of what you paid went back to the card that you paid with. Your tickets stay \
             yours, and let you in as before.",
            isolate(&facts.name),
            facts.amount
        ))
    } else if facts.tickets.is_empty() {
        letter.with_text(format!(
            "Hello {}, your card was charged {} that no tickets of this order stand for. We have \
             sent all of it back.",
            isolate(&facts.name),
            facts.amount
        ))
    } else {
        let (these, are) = match facts.tickets.len() {
            1 => ("This ticket", "is"),
            _ => ("These tickets", "are"),
        };
        letter
            .with_text(format!(
                "Hello {}, {} went back to the card that you paid with. {these} {are} no longer \
                 yours and will not let you in.",
                isolate(&facts.name),
                facts.amount
            ))
            .with(Block::Rows(seats(&facts.tickets)))
    };
    letter
        .with(Block::Event(occasion(&facts.event)))
        .with_text("Banks take 5–10 days to show a refund on the card's statement.")
        .with(Block::Link {
            label: "Show the order",
            url: format!("{public_url}/orders/{}", facts.order),
        })
}

/// A refund failed.
pub(crate) fn refund_failed(public_url: &str, facts: &RefundFacts) -> Letter {
    let mut letter = Letter::new(&format!(
        "Your refund for {} did not get through",
        short(&facts.event)
    ))
    .with(Block::Heading("Your refund did not get through".to_owned()))
    .with_text(format!(
        "Hello {}, the refund of {} did not reach the card that you paid with: most often because the \
         card's account is closed. The money is not lost: we still owe it to you.",
        isolate(&facts.name),
            facts.amount
    ))
    .with_text(
        "A person is looking after it and will be in touch to find another way. There is nothing \
         that you need to do.",
    );
    if !facts.tickets.is_empty() {
        letter = letter.with(Block::Rows(seats(&facts.tickets)));
    }
    letter
        .with(Block::Event(occasion(&facts.event)))
        .with(Block::Link {
            label: "Show the order",
            url: format!("{public_url}/orders/{}", facts.order),
        })
}

/// One incident.
pub(crate) fn attention(public_url: &str, facts: &IncidentFacts) -> Letter {
    let what = describe_kind(&facts.kind);
    let mut rows = vec![
        row("Kind", facts.kind.clone()),
        row("About", &facts.subject),
        row("Found", &facts.found_at),
    ];
    if let Some(order) = facts.order {
        rows.push(row("Order", order.to_string()));
    }
    rows.push(row("Incident", facts.id.to_string()));
    Letter::new(&format!("Attention: {what}"))
        .with(Block::Heading(format!("Attention: {what}")))
        .with_text(facts.detail.clone())
        .with(Block::Rows(rows))
        .with_text(format!(
            "On the server, stagedoor incidents lists what is open, and stagedoor incidents \
             --settle {} ends this one.",
            facts.id
        ))
        .with(Block::Footnote {
            label: "You get this as an operator of",
            url: public_url.to_owned(),
        })
}

/// The most incidents that a mail about several describes one by one.
const DESCRIBED: usize = 10;

/// Several incidents, oldest first: the number of each kind, and descriptions of the first ones.
pub(crate) fn attentions(public_url: &str, all: &[IncidentFacts]) -> Letter {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for facts in all {
        match kinds.iter_mut().find(|(kind, _)| *kind == facts.kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((&facts.kind, 1)),
        }
    }
    let counted = kinds
        .iter()
        .map(|(kind, count)| row(&describe_kind(kind), count.to_string()))
        .collect();
    let described = all.iter().take(DESCRIBED).map(|facts| {
        let about = format!("{}: {}", facts.subject, facts.detail);
        row(&facts.id.to_string(), about)
    });
    let title = format!("Attention: {} things to look at", all.len());
    let mut letter = Letter::new(&title)
        .with(Block::Heading(title.clone()))
        .with(Block::Rows(counted));
    if all.len() > DESCRIBED {
        letter = letter.with_text(format!("The first {DESCRIBED} of them:"));
    }
    letter
        .with(Block::Rows(described.collect()))
        .with_text(
            "On the server, stagedoor incidents lists all that is open, and stagedoor incidents \
             --settle ID ends one of them.",
        )
        .with(Block::Footnote {
            label: "You get this as an operator of",
            url: public_url.to_owned(),
        })
}

/// Describes a kind of incident. A kind of a newer version is described by its name.
fn describe_kind(kind: &str) -> String {
    let Ok(known) = kind.parse::<Kind>() else {
        return kind.replace('_', " ");
    };
    match known {
        Kind::UnexpectedCapture => "money was taken that no order stood for",
        Kind::WrongAmount => "a card was authorised for a wrong amount",
        Kind::CallRefused => "Stripe refused a call as invalid",
        Kind::CaptureSlow => "money has been on its way for too long",
        Kind::RefundFailed => "a refund did not reach its buyer",
        Kind::MailUndelivered => "a mail about a paid order could not be delivered",
        Kind::RefundElsewhere => "a refund was made outside of the shop",
        Kind::StrayIntent => "a payment has a second intent at Stripe",
        Kind::UnknownIntent => "an intent at Stripe names a payment that is not known",
        Kind::MissingAtProvider => "a payment is not known at Stripe",
        Kind::AmountsDiffer => "Stripe's amounts differ from ours",
        Kind::SameAddress => "two accounts have one address, written differently",
        _ => return kind.replace('_', " "),
    }
    .to_owned()
}

pub(super) fn row(what: &str, value: impl Into<String>) -> (String, String) {
    (what.to_owned(), value.into())
}

pub(super) fn occasion(event: &Event) -> Vec<(String, String)> {
    vec![
        row("Event", &event.title),
        row("When", event.when_in_full()),
        row("Where", format!("{}, {}", event.venue, event.city)),
    ]
}

fn seats(tickets: &[Seat]) -> Vec<(String, String)> {
    tickets
        .iter()
        .map(|seat| (seat.label.clone(), seat.price.to_string()))
        .collect()
}

pub(super) fn order_line(public_url: &str, order: OrderId) -> Block {
    Block::Footnote {
        label: "Your order",
        url: format!("{public_url}/orders/{order}"),
    }
}

/// An event in a subject: `Candlelight Strings, 12 Dec`.
pub(super) fn short(event: &Event) -> String {
    let (day, month) = day_and_month(event.starts_at, &event.time_zone);
    let mut title: String = event.title.chars().take(TITLE_IN_SUBJECT).collect();
    if title.len() < event.title.len() {
        title.truncate(title.trim_end().len());
        title.push('…');
    }
    format!("{}, {day} {month}", isolate(&title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::EventId;
    use uuid::Uuid;

    const SHOP: &str = "https://tickets.example";

    fn event(title: &str) -> Event {
        Event {
            id: EventId(Uuid::from_u128(7)),
            title: title.to_owned(),
            category: model::events::Category::Theatre,
            description: String::new(),
            venue: "Old Hall".to_owned(),
            city: "Leeds".to_owned(),
            country: "GB".to_owned(),
            starts_at: "2031-12-12T19:30:00Z".parse().unwrap(),
            ends_at: None,
            sales_until: None,
            time_zone: "Europe/London".to_owned(),
            currency: "GBP".parse().unwrap(),
            tickets_available: 0,
            price_from_minor: None,
            picture: None,
            version: 1,
        }
    }

    fn money(minor: i64) -> Money {
        Money::new(minor, "GBP".parse().unwrap())
    }

    fn seat(label: &str, minor: i64) -> Seat {
        Seat {
            label: label.to_owned(),
            price: money(minor),
        }
    }

    fn order(title: &str) -> OrderFacts {
        OrderFacts {
            name: "Ann".to_owned(),
            order: OrderId(Uuid::from_u128(9)),
            event: event(title),
            tickets: vec![seat("Stalls, Row C, Seat 12", 2500), seat("Standing", 1000)],
            refunded: 0,
            total: money(3500),
            sellers: vec!["Sally".to_owned(), "Bob".to_owned()],
        }
    }

    fn refund(tickets: Vec<Seat>) -> RefundFacts {
        RefundFacts {
            by_hand: false,
            name: "Ann".to_owned(),
            order: OrderId(Uuid::from_u128(9)),
            event: event("Candlelight Strings"),
            tickets,
            amount: money(2500),
        }
    }

    /// Asserts that both alternatives contain all of `words`.
    #[track_caller]
    fn assert_says(letter: &Letter, words: &[&str]) {
        for word in words {
            assert!(letter.text().contains(word), "{word}: {}", letter.text());
            assert!(letter.html().contains(word), "{word}: {}", letter.html());
        }
    }

    #[test]
    fn a_paid_order_comes_with_its_tickets() {
        let tickets = format!("{SHOP}/order?link=SDL1.x.y");
        let letter = order_complete(SHOP, &order("Candlelight Strings"), &tickets);
        assert_eq!(
            letter.subject(),
            "Your 2 tickets for Candlelight Strings, 12 Dec"
        );
        assert_says(
            &letter,
            &[
                "Ann",
                "Candlelight Strings",
                "Old Hall, Leeds",
                "Friday 12 December 2031, 7:30 pm GMT",
                "Stalls, Row C, Seat 12",
                "£25.00",
                "Standing",
                "£10.00",
                "£35.00",
                "0000-0009",
                "Sally and Bob",
                "The attached PDF",
                "Answer this mail",
                "https://tickets.example/order?link=SDL1.x.y",
                "whoever has it has your tickets",
                "https://tickets.example/orders/00000000-0000-0000-0000-000000000009",
            ],
        );
        let one = OrderFacts {
            tickets: vec![seat("Standing", 1000)],
            refunded: 1,
            ..order("Candlelight Strings")
        };
        let letter = order_complete(SHOP, &one, &tickets);
        assert_eq!(
            letter.subject(),
            "Your ticket for Candlelight Strings, 12 Dec"
        );
        assert_says(
            &letter,
            &["One ticket of this order has been refunded since"],
        );
    }

    #[test]
    fn an_expired_order_says_that_nothing_was_charged() {
        let letter = order_expired(SHOP, &order("Candlelight Strings"));
        assert_eq!(
            letter.subject(),
            "Not charged: your time ran out for Candlelight Strings, 12 Dec"
        );
        assert_says(
            &letter,
            &[
                "nothing was charged",
                "pending authorisation of £35.00",
                "will vanish by itself",
                "Stalls, Row C, Seat 12",
                "https://tickets.example/events/00000000-0000-0000-0000-000000000007",
            ],
        );
    }

    #[test]
    fn a_refund_names_amount_tickets_and_how_long_banks_take() {
        let letter = order_refunded(SHOP, &refund(vec![seat("Standing", 2500)]));
        assert_eq!(
            letter.subject(),
            "Refund of £25.00 for Candlelight Strings, 12 Dec"
        );
        assert_says(
            &letter,
            &[
                "£25.00",
                "Standing",
                "5–10 days",
                "This ticket is no longer yours",
            ],
        );
        let letter = order_refunded(SHOP, &refund(Vec::new()));
        assert_says(
            &letter,
            &["that no tickets of this order stand for", "£25.00"],
        );
        assert!(!letter.text().contains("no longer yours"));
    }

    #[test]
    fn a_failed_refund_says_that_the_money_is_not_lost() {
        let letter = refund_failed(SHOP, &refund(vec![seat("Standing", 2500)]));
        assert_eq!(
            letter.subject(),
            "Your refund for Candlelight Strings, 12 Dec did not get through"
        );
        assert_says(
            &letter,
            &[
                "£25.00",
                "The money is not lost",
                "nothing that you need to do",
            ],
        );
    }

    #[test]
    fn an_incident_says_what_it_is_about_and_how_to_settle_it() {
        let facts = IncidentFacts {
            id: IncidentId(Uuid::from_u128(1)),
            kind: Kind::CaptureSlow.to_string(),
            subject: "p-1".to_owned(),
            order: Some(OrderId(Uuid::from_u128(9))),
            detail: "Stripe has not answered <since> noon".to_owned(),
            found_at: "2031-12-12T12:00:00Z".to_owned(),
        };
        let letter = attention(SHOP, &facts);
        assert_eq!(
            letter.subject(),
            "Attention: money has been on its way for too long"
        );
        assert_says(
            &letter,
            &[
                "p-1",
                "stagedoor incidents",
                "--settle 00000000-0000-0000-0000-000000000001",
                "2031-12-12",
            ],
        );
        assert!(letter.html().contains("&lt;since&gt;"));
        let without_words = attention(
            SHOP,
            &IncidentFacts {
                kind: "moon_fell".to_owned(),
                ..facts
            },
        );
        assert_eq!(without_words.subject(), "Attention: moon fell");
    }

    #[test]
    fn a_title_cannot_leave_the_subject_or_fill_it() {
        let letter = order_complete(
            SHOP,
            &order("Evil\r\nBcc: all@example.com\r\n\r\n<b>"),
            SHOP,
        );
        assert_eq!(
            letter.subject(),
            "Your 2 tickets for Evil Bcc: all@example.com <b>, 12 Dec"
        );
        assert!(!letter.html().contains("<b>"), "{}", letter.html());
        let letter = order_complete(SHOP, &order(&"ä".repeat(120)), SHOP);
        assert_eq!(
            letter.subject(),
            format!("Your 2 tickets for {}…, 12 Dec", "ä".repeat(60))
        );
    }
}
