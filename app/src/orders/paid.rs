//! A paid order: its tickets and refunds.

use crate::passes::{frozen_notice, pass_to_scan, stub};
use leptos::prelude::*;
use model::{
    accounts::User,
    events::Event,
    ids::TicketId,
    money::Money,
    orders::{Order, OrderStatus},
    passes::Pass,
    refunds::{Refund, RefundStatus},
    tickets::{OwnedTicket, Ticket},
};

/// Totals of an order's refunds, in minor units. Failed refunds are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefundTotals {
    pub refunded: i64,
    pub pending: i64,
}

impl RefundTotals {
    pub fn of(refunds: &[Refund]) -> Self {
        let sum = |status| {
            let with = refunds.iter().filter(|refund| refund.status == status);
            with.map(|refund| refund.amount_minor).sum()
        };
        Self {
            refunded: sum(RefundStatus::Succeeded),
            pending: sum(RefundStatus::Pending),
        }
    }

    pub fn total(self) -> i64 {
        self.refunded + self.pending
    }
}

/// The status of the newest refund of a ticket. `refunds` are sorted oldest first.
fn refund_status(refunds: &[Refund], ticket: TicketId) -> Option<RefundStatus> {
    let of_ticket = |refund: &&Refund| refund.ticket_ids.contains(&ticket);
    refunds.iter().rfind(of_ticket).map(|refund| refund.status)
}

/// The headline, the buyer's tickets with their passes, the confirmation, and refunded tickets last.
pub fn paid(
    order: &Order,
    event: &Event,
    refunds: &[Refund],
    passes: &[Pass],
    buyer: &User,
) -> AnyView {
    let tickets = order
        .tickets
        .iter()
        .map(|ticket| (ticket, refund_status(refunds, ticket.id)));
    let (ended, theirs): (Vec<_>, Vec<_>) =
        tickets.partition(|(_, refund)| *refund == Some(RefundStatus::Succeeded));
    // One of the buyer's tickets without a pass is frozen.
    let stubs = |tickets: Vec<(&Ticket, Option<RefundStatus>)>, are_theirs: bool| {
        let stubs = tickets.into_iter();
        stubs
            .map(|(ticket, refund)| {
                let pass = passes.iter().find(|pass| pass.ticket == ticket.id);
                let pass = pass.map(pass_to_scan).map(IntoAny::into_any);
                let pass = pass.or_else(|| are_theirs.then(frozen_notice));
                stub(owned(ticket, event), &buyer.name, refund, pass)
            })
            .collect_view()
    };
    let headline = headline(order, RefundTotals::of(refunds), theirs.len(), &buyer.email);
    let theirs = (!theirs.is_empty()).then(|| {
        view! {
            <h2 class="sr-only">"Your tickets"</h2>
            <ul class="stubs">{stubs(theirs, true)}</ul>
            {downloads(order, passes)}
        }
    });
    let confirmation = confirmation(order, event, passes);
    let ended = (!ended.is_empty()).then(|| {
        view! {
            <h2 class="section-title">"No longer yours"</h2>
            <ul class="stubs">{stubs(ended, false)}</ul>
        }
    });
    view! { {headline} {theirs} {confirmation} {ended} }.into_any()
}

/// The facts of the order, and how to get help.
fn confirmation(order: &Order, event: &Event, passes: &[Pass]) -> impl IntoView + use<> {
    let code = order.id.code();
    let fact = |name: &'static str, value: String| {
        view! { <div><dt>{name}</dt> <dd dir="auto">{value}</dd></div> }
    };
    let sellers = sellers(passes);
    let help = (!passes.is_empty()).then(|| {
        view! {
            <p class="quiet">
                <strong>"Something wrong? "</strong>
                "Paid tickets cannot be returned, but their seller or this shop can refund them. The "
                "money then goes back to the card that paid, and the ticket is no longer valid. Quote "
                "order " {code.clone()} " when you ask. " <a href="/help">"How to get help"</a>
            </p>
        }
    });
    view! {
        <section class="panel stack" aria-labelledby="confirmation">
            <h2 class="title" id="confirmation">"Your order"</h2>
            <dl class="facts">
                {fact("Order", code)}
                {fact("When", event.when_in_full())}
                {fact("Total", order.total().to_string())}
                {(!sellers.is_empty()).then(|| fact("Sold by", sellers))}
            </dl>
            {help}
        </section>
    }
}

/// The sellers' names, each once: `Ann and Bob`.
fn sellers(passes: &[Pass]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for pass in passes {
        if !names.contains(&pass.seller_name.as_str()) {
            names.push(&pass.seller_name);
        }
    }
    names.join(" and ")
}

/// Links to the tickets for printing and to the files.
fn downloads(order: &Order, passes: &[Pass]) -> Option<AnyView> {
    let base = format!("/orders/{}", order.id);
    (!passes.is_empty()).then(|| {
        view! {
            <p class="row papers">
                <a class="button button-quiet" href=format!("{base}/tickets")>"Full screen or print"</a>
                <a class="button button-quiet" href=format!("{base}/tickets.pdf")>"Download PDF"</a>
                <a class="button button-quiet" href=format!("{base}/calendar.ics")>"Add to calendar"</a>
            </p>
        }
        .into_any()
    })
}

fn owned(ticket: &Ticket, event: &Event) -> OwnedTicket {
    OwnedTicket {
        ticket: ticket.clone(),
        event_title: event.title.clone(),
        event_place: format!("{}, {}", event.venue, event.city),
        event_when: event.when(),
    }
}

fn headline(order: &Order, totals: RefundTotals, theirs: usize, email: &str) -> AnyView {
    let refunded = Money::new(totals.refunded, order.currency);
    let pending = Money::new(totals.pending, order.currency);
    if order.status == OrderStatus::Refunded || theirs == 0 {
        let text = format!(
            " {refunded} went back to the card that paid. Banks take 5–10 days to show it."
        );
        return notice("This order was refunded.", text);
    }
    if totals.total() >= order.total_minor && totals.pending > 0 {
        let text = format!(
            " {pending} is on its way back to the card that paid. The tickets stay valid until \
             it has arrived."
        );
        return notice("This order is being refunded.", text);
    }
    if totals.total() > 0 {
        let title = match (totals.pending, totals.total() < order.total_minor) {
            (0, true) => "A part of this order was refunded.",
            (0, false) => "This order was paid back.",
            _ => "A part of this order is being refunded.",
        };
        let text = match theirs {
            1 => " 1 ticket is still yours.".to_owned(),
            many => format!(" {many} tickets are still yours."),
        };
        return notice(title, text);
    }
    view! {
        <div class="notice notice-good" role="status">
            <strong>"Paid. The tickets are yours."</strong>
            " They are mailed to "
            <strong>{email.to_owned()}</strong>
            " and stay under "
            <a href="/tickets">"Tickets"</a>
            "."
        </div>
    }
    .into_any()
}

fn notice(title: &'static str, text: String) -> AnyView {
    view! { <div class="notice" role="status"><strong>{title}</strong>{text}</div> }.into_any()
}

/// Shown below the total of a paid order with refunds: their amounts, and what remains.
pub fn refund_summary(order: &Order, refunds: &[Refund]) -> Option<AnyView> {
    let totals = RefundTotals::of(refunds);
    if !matches!(order.status, OrderStatus::Complete | OrderStatus::Refunded) || totals.total() == 0
    {
        return None;
    }
    let line = |name: &'static str, minor: i64| {
        (minor > 0).then(|| {
            let amount = format!("−{}", Money::new(minor, order.currency));
            view! { <p class="line"><span>{name}</span> <span>{amount}</span></p> }
        })
    };
    let remains = Money::new(order.total_minor - totals.total(), order.currency);
    Some(
        view! {
            {line("Refunded", totals.refunded)}
            {line("On its way back", totals.pending)}
            <p class="line total">
                <span>"What remains"</span>
                <strong>{remains.to_string()}</strong>
            </p>
        }
        .into_any(),
    )
}

/// Whether the buyer of an order that ended unpaid was charged. A card can be charged too late for the
/// tickets; the money is then refunded automatically.
pub fn late_charge_text(refunds: &[Refund]) -> String {
    let Some(newest) = refunds.last() else {
        return "You were not charged.".to_owned();
    };
    let amount = newest.amount();
    match newest.status {
        RefundStatus::Pending => {
            format!("Your card was charged too late for them; {amount} is on its way back to it.")
        }
        RefundStatus::Succeeded => format!(
            "Your card was charged too late for them. {amount} was refunded; banks take 5–10 days."
        ),
        RefundStatus::Failed => format!(
            "Your card was charged too late for them. The refund of {amount} didn't get through; \
             we're looking into it."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refund(status: &str, amount_minor: i64, tickets: &[u128]) -> Refund {
        let ticket_ids: Vec<uuid::Uuid> =
            tickets.iter().copied().map(uuid::Uuid::from_u128).collect();
        serde_json::from_value(serde_json::json!({
            "id": uuid::Uuid::nil(), "orderId": uuid::Uuid::nil(), "status": status,
            "amountMinor": amount_minor, "currency": "GBP", "ticketIds": ticket_ids,
            "createdAt": "2031-05-01T19:30:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_refund_of_a_ticket_counts() {
        let refunds = [
            refund("failed", 2500, &[1]),
            refund("pending", 2500, &[1]),
            refund("succeeded", 3000, &[2]),
        ];
        let status = |ticket| refund_status(&refunds, TicketId(uuid::Uuid::from_u128(ticket)));
        assert_eq!(status(1), Some(RefundStatus::Pending));
        assert_eq!(status(2), Some(RefundStatus::Succeeded));
        assert_eq!(status(3), None);
        let totals = RefundTotals::of(&refunds);
        assert_eq!((totals.refunded, totals.pending), (3000, 2500));
    }

    #[test]
    fn a_late_charge_is_reported() {
        assert_eq!(late_charge_text(&[]), "You were not charged.");
        let text = late_charge_text(&[refund("pending", 2500, &[])]);
        assert!(text.contains("£25.00 is on its way back"), "{text}");
    }
}
