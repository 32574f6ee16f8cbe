//! A paid order: its tickets, and what of its money has gone back.

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

/// What went back of an order's money, or is on its way, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GoneBack {
    /// Is back.
    pub refunded: i64,
    /// Is on its way.
    pub on_its_way: i64,
}

impl GoneBack {
    /// Of these refunds; what did not get through, did not go.
    pub fn of(refunds: &[Refund]) -> Self {
        let sum = |status| {
            let with = refunds.iter().filter(|refund| refund.status == status);
            with.map(|refund| refund.amount_minor).sum()
        };
        Self {
            refunded: sum(RefundStatus::Succeeded),
            on_its_way: sum(RefundStatus::Pending),
        }
    }

    /// Both together.
    pub fn total(self) -> i64 {
        self.refunded + self.on_its_way
    }
}

/// How the newest refund of a ticket stands. `refunds` are an order's, oldest first.
fn standing(refunds: &[Refund], ticket: TicketId) -> Option<RefundStatus> {
    let of_ticket = |refund: &&Refund| refund.ticket_ids.contains(&ticket);
    refunds.iter().rfind(of_ticket).map(|refund| refund.status)
}

/// Says first how the order stands, then shows the tickets that are still the buyer's, with what
/// lets them in; what may be looked up later comes after, and the tickets that have ended last.
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
        .map(|ticket| (ticket, standing(refunds, ticket.id)));
    let (ended, theirs): (Vec<_>, Vec<_>) =
        tickets.partition(|(_, refund)| *refund == Some(RefundStatus::Succeeded));
    // A ticket that is theirs and has no pass is frozen.
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
    let headline = headline(order, GoneBack::of(refunds), theirs.len(), &buyer.email);
    let theirs = (!theirs.is_empty()).then(|| {
        view! {
            <h2 class="sr-only">"Your tickets"</h2>
            <ul class="stubs">{stubs(theirs, true)}</ul>
            {papers(order, passes)}
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

/// What a buyer may want to look up later, and what to do if something is wrong.
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

/// Their names, each once: `Ann and Bob`.
fn sellers(passes: &[Pass]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for pass in passes {
        if !names.contains(&pass.seller_name.as_str()) {
            names.push(&pass.seller_name);
        }
    }
    names.join(" and ")
}

/// The tickets to take along.
fn papers(order: &Order, passes: &[Pass]) -> Option<AnyView> {
    let of = format!("/orders/{}", order.id);
    (!passes.is_empty()).then(|| {
        view! {
            <p class="row papers">
                <a class="button button-quiet" href=format!("{of}/tickets")>"Full screen or print"</a>
                <a class="button button-quiet" href=format!("{of}/tickets.pdf")>"Download PDF"</a>
                <a class="button button-quiet" href=format!("{of}/calendar.ics")>"Add to calendar"</a>
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

fn headline(order: &Order, back: GoneBack, theirs: usize, email: &str) -> AnyView {
    let refunded = Money::new(back.refunded, order.currency);
    let on_its_way = Money::new(back.on_its_way, order.currency);
    if order.status == OrderStatus::Refunded || theirs == 0 {
        let text = format!(
            " {refunded} went back to the card that paid. Banks take 5–10 days to show it."
        );
        return notice("This order was refunded.", text);
    }
    if back.total() >= order.total_minor && back.on_its_way > 0 {
        let text = format!(
            " {on_its_way} is on its way back to the card that paid. The tickets stay valid until \
             it has arrived."
        );
        return notice("This order is being refunded.", text);
    }
    if back.total() > 0 {
        let title = match (back.on_its_way, back.total() < order.total_minor) {
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

/// Below the total of a paid order: what has gone back of it, and what remains.
pub fn what_remains(order: &Order, refunds: &[Refund]) -> Option<AnyView> {
    let back = GoneBack::of(refunds);
    if !matches!(order.status, OrderStatus::Complete | OrderStatus::Refunded) || back.total() == 0 {
        return None;
    }
    let line = |name: &'static str, minor: i64| {
        (minor > 0).then(|| {
            let amount = format!("−{}", Money::new(minor, order.currency));
            view! { <p class="line"><span>{name}</span> <span>{amount}</span></p> }
        })
    };
    let remains = Money::new(order.total_minor - back.total(), order.currency);
    Some(
        view! {
            {line("Refunded", back.refunded)}
            {line("On its way back", back.on_its_way)}
            <p class="line total">
                <span>"What remains"</span>
                <strong>{remains.to_string()}</strong>
            </p>
        }
        .into_any(),
    )
}

/// What of the buyer's money an order that ended unpaid has to do with. A card can be charged too
/// late for the tickets; the money goes back then by itself.
pub fn charged_in_vain(refunds: &[Refund]) -> String {
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
        let standing = |ticket| standing(&refunds, TicketId(uuid::Uuid::from_u128(ticket)));
        assert_eq!(standing(1), Some(RefundStatus::Pending));
        assert_eq!(standing(2), Some(RefundStatus::Succeeded));
        assert_eq!(standing(3), None);
        let back = GoneBack::of(&refunds);
        assert_eq!((back.refunded, back.on_its_way), (3000, 2500));
    }

    #[test]
    fn who_was_charged_is_not_told_otherwise() {
        assert_eq!(charged_in_vain(&[]), "You were not charged.");
        let told = charged_in_vain(&[refund("pending", 2500, &[])]);
        assert!(told.contains("£25.00 is on its way back"), "{told}");
    }
}
