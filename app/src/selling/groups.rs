//! A seller's tickets by event: as counts, as a card, and as a summary.

use super::bulk::bulk_forms;
use crate::tickets::listing;
use context::Flash;
use leptos::prelude::*;
use model::{
    events::when_until,
    ids::{OrderId, TicketId},
    refunds::TicketRefund,
    selling::{Counts, SaleGroup, UnsoldSection},
    tickets::Ticket,
};
use std::collections::HashMap;

/// `3 on sale · 1 held now · 2 sold · 1 withdrawn`, without zeros.
pub fn counts_text(counts: Counts) -> String {
    let words: Vec<String> = [
        (counts.available, "on sale"),
        (counts.reserved, "held now"),
        (counts.sold, "sold"),
        (counts.withdrawn, "withdrawn"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    words.join(" · ")
}

/// The content of a group's card.
pub struct Card {
    pub group: SaleGroup,
    /// The tickets shown.
    pub tickets: Vec<Ticket>,
    /// The orders of the sold ones.
    pub orders: HashMap<TicketId, OrderId>,
    /// Refunds of these tickets, newest first.
    pub refunds: Vec<TicketRefund>,
    pub unsold: Vec<UnsoldSection>,
    /// Address and text of the link to the other tickets.
    pub others: Option<(String, String)>,
}

/// An event with the seller's counts, revenue, tickets and actions.
pub fn group_card(card: Card, flash: Option<&Flash>) -> impl IntoView + use<> {
    let group = card.group;
    let id = format!("group-{}", group.event_id);
    let rows = card
        .tickets
        .iter()
        .map(|ticket| {
            let mut refunds = card.refunds.iter();
            let refund = refunds.find(|refund| refund.ticket_id == ticket.id);
            let order = card.orders.get(&ticket.id);
            listing(ticket, &group.title, order, refund, flash)
        })
        .collect_view();
    let none = card.tickets.is_empty();
    let others = card.others.map(|(href, words)| {
        let label = format!("{words}: {}", group.title);
        view! { <p class="listing-more"><a href=href aria-label=label>{words.clone()}</a></p> }
    });
    let edit = group.created.then(|| {
        let (href, label) = (
            format!("/events/{}/edit", group.event_id),
            format!("Edit the event {}", group.title),
        );
        view! { " · " <a href=href aria-label=label>"Edit the event"</a> }
    });
    let bulk = bulk_forms(&group, &card.unsold, flash);
    view! {
        <article class="panel group" aria-labelledby=id.clone()>
            <h3 class="title" id=id.clone()>
                <a dir="auto" href=format!("/events/{}", group.event_id)>{group.title.clone()}</a>
            </h3>
            <p class="quiet">
                {when_until(group.starts_at, group.ends_at, &group.time_zone)} " · " <bdi>{group.place.clone()}</bdi> {edit}
            </p>
            <dl class="figures">
                {figure("On sale", group.counts.available.to_string())}
                {figure("Held now", group.counts.reserved.to_string())}
                {figure("Sold", group.counts.sold.to_string())}
                {figure("Withdrawn", group.counts.withdrawn.to_string())}
                {figure("Revenue", group.revenue().to_string())}
            </dl>
            {bulk}
            <ul class="rows" class:hidden=none>{rows}</ul>
            {none.then(|| view! { <p class="quiet">"No ticket has this status any more."</p> })}
            {others}
        </article>
    }
}

fn figure(what: &'static str, number: String) -> impl IntoView {
    view! { <div><dt>{what}</dt> <dd>{number}</dd></div> }
}

/// A summary of the seller's tickets, for other pages.
pub fn summary(totals: Counts, groups: Vec<SaleGroup>) -> impl IntoView {
    let nothing = groups.is_empty();
    let rows = groups
        .into_iter()
        .map(|group| {
            view! {
                <li>
                    <a class="order-row" href=format!("/selling?event={}", group.event_id)>
                        <span>
                            <strong dir="auto">{group.title.clone()}</strong>
                            <br/>
                            <span class="quiet">{counts_text(group.counts)}</span>
                        </span>
                        <strong>{(group.counts.sold > 0).then(|| group.revenue().to_string())}</strong>
                    </a>
                </li>
            }
        })
        .collect_view();
    view! {
        <p class="quiet sale-note">
            {if nothing { "You are not selling anything.".to_owned() } else { counts_text(totals) }}
        </p>
        <ul class="rows panel" class:hidden=nothing>{rows}</ul>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_counts_are_left_out() {
        let counts = Counts {
            available: 3,
            reserved: 0,
            sold: 2,
            withdrawn: 1,
        };
        assert_eq!(counts_text(counts), "3 on sale · 2 sold · 1 withdrawn");
        assert_eq!(counts_text(Counts::default()), "");
    }
}
