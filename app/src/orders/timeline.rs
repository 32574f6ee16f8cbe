//! The timeline of an order, at the bottom of its page.

use super::pages::count;
use leptos::prelude::*;
use model::{
    events::{Event, when},
    money::Money,
    orders::{Happening, Order, TimelineEntry},
};

/// All entries, oldest first, in the time zone of the event.
pub fn timeline(order: &Order, event: &Event, moments: &[TimelineEntry]) -> impl IntoView + use<> {
    let moments = moments
        .iter()
        .map(|moment| {
            let at = moment.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            view! {
                <li class=class(moment.what)>
                    <p>{description(moment, order)}</p>
                    <time class="quiet" datetime=at>{when(moment.at, &event.time_zone)}</time>
                </li>
            }
        })
        .collect_view();
    view! {
        <section class="panel stack" aria-labelledby="happened">
            <h2 class="title" id="happened">"What happened"</h2>
            <ol class="timeline">{moments}</ol>
            <p class="hint">{format!("By the clocks of {}.", event.city)}</p>
        </section>
    }
}

fn class(what: Happening) -> &'static str {
    match what {
        Happening::Paid | Happening::Refunded => "moment moment-good",
        Happening::Declined | Happening::RefundFailed => "moment moment-bad",
        Happening::Reserved
        | Happening::MoreTime
        | Happening::PaymentBegun
        | Happening::Expired
        | Happening::Cancelled
        | Happening::Revived
        | Happening::RefundBegun => "moment",
    }
}

fn description(moment: &TimelineEntry, order: &Order) -> String {
    let amount = moment.amount_minor.map_or_else(
        || "the money".to_owned(),
        |minor| Money::new(minor, order.currency).to_string(),
    );
    match moment.what {
        Happening::Reserved => format!("You reserved {}.", count(order.tickets.len())),
        Happening::MoreTime => "You took more time to pay.".to_owned(),
        Happening::PaymentBegun => "You began to pay.".to_owned(),
        Happening::Declined => match &moment.reason {
            Some(reason) => format!("A card was declined: {reason}. Nothing was charged."),
            None => "A card was declined. Nothing was charged.".to_owned(),
        },
        Happening::Paid => format!("You paid {amount}, and the tickets became yours."),
        Happening::Expired => "The time to pay was over.".to_owned(),
        Happening::Cancelled => "You gave the tickets back.".to_owned(),
        Happening::Revived => {
            "Your payment came late. The tickets were still free, so they were kept for you."
                .to_owned()
        }
        Happening::RefundBegun => format!("A refund of {amount} began."),
        Happening::Refunded => {
            format!("You were refunded {amount}. Banks take 5–10 days to show it.")
        }
        Happening::RefundFailed => {
            format!("The refund of {amount} didn't get through. We're looking into it.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(what: Happening, amount_minor: Option<i64>) -> String {
        let order: Order = serde_json::from_value(serde_json::json!({
            "id": "00000000-0000-7000-8000-000000000000", "status": "complete",
            "expiresAt": "2031-05-01T19:30:00Z", "secondsLeft": 0, "moreTimeSeconds": 0, "totalMinor": 2500,
            "currency": "GBP", "tickets": [], "paymentId": null, "version": 1,
        }))
        .unwrap();
        let at = "2031-05-01T19:30:00Z".parse().unwrap();
        let moment = TimelineEntry {
            at,
            what,
            amount_minor,
            reason: None,
        };
        description(&moment, &order)
    }

    #[test]
    fn entries_about_money_name_the_amount() {
        assert_eq!(
            describe(Happening::Paid, Some(2500)),
            "You paid £25.00, and the tickets became yours."
        );
        assert_eq!(
            describe(Happening::Refunded, Some(1250)),
            "You were refunded £12.50. Banks take 5–10 days to show it."
        );
        assert_eq!(
            describe(Happening::RefundBegun, None),
            "A refund of the money began."
        );
    }
}
