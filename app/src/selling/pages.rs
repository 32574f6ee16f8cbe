//! `/selling`: what one sells and has sold, by event; and with `event`, all one's tickets for one.

use super::{
    chart::sales_chart,
    groups::{Card, group_card},
};
use crate::{
    refunds::owed_line,
    ui::{flash_message, page_for},
};
use context::{self, Flash};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult},
    ids::EventId,
    refunds::Refunds,
    selling::{Counts, GroupQuery, SaleGroup, Selling},
    tickets::{TicketQuery, TicketStatus, Tickets},
};
use std::sync::Arc;

/// So many tickets of an event are shown among the other events.
const FEW: i64 = 5;
/// So many on a page of their own.
const MANY: i64 = 50;

/// The states to look for, as they are asked for and called.
const STATUSES: [(Option<TicketStatus>, &str, &str); 5] = [
    (None, "", "All"),
    (Some(TicketStatus::Available), "available", "On sale"),
    (Some(TicketStatus::Reserved), "reserved", "Held now"),
    (Some(TicketStatus::Sold), "sold", "Sold"),
    (Some(TicketStatus::Withdrawn), "withdrawn", "Withdrawn"),
];

/// What the address asks for.
#[derive(Clone, Default)]
struct Asked {
    event: String,
    status: Option<TicketStatus>,
    page: i64,
    cursor: String,
}

impl Asked {
    fn here() -> Self {
        use_query_map().with_untracked(|query| {
            let get = |name| query.get(name).unwrap_or_default();
            let status = get("status");
            let known = STATUSES.iter().find(|(_, name, _)| *name == status);
            Self {
                event: get("event"),
                status: known.and_then(|(status, ..)| *status),
                page: get("page")
                    .parse()
                    .ok()
                    .filter(|page| *page > 0)
                    .unwrap_or(1),
                cursor: get("cursor"),
            }
        })
    }

    /// The same place, for tickets that stand so.
    fn href(&self, status: Option<TicketStatus>, page: i64, cursor: Option<&str>) -> String {
        let name = STATUSES.iter().find(|(known, ..)| *known == status);
        let mut query = Vec::new();
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                query.push(format!("{name}={}", context::percent_encode(value)));
            }
        };
        add("event", &self.event);
        add("status", name.map_or("", |(_, name, _)| name));
        add(
            "page",
            &if page > 1 {
                page.to_string()
            } else {
                String::new()
            },
        );
        add("cursor", cursor.unwrap_or_default());
        if query.is_empty() {
            return "/selling".to_owned();
        }
        format!("/selling?{}", query.join("&"))
    }
}

/// What the page asks, and for whom.
struct Desk {
    viewer: Viewer,
    selling: Arc<dyn Selling>,
    tickets: Arc<dyn Tickets>,
    refunds: Arc<dyn Refunds>,
    asked: Asked,
    flash: Option<Flash>,
}

/// One's listings and sales.
#[component]
pub fn SellingPage() -> impl IntoView {
    let asked = Asked::here();
    page_for(|viewer| async move {
        let desk = Desk {
            viewer,
            selling: context::port::<dyn Selling>()?,
            tickets: context::port::<dyn Tickets>()?,
            refunds: context::port::<dyn Refunds>()?,
            asked,
            flash: context::take_flash(),
        };
        if desk.asked.event.is_empty() {
            all_events(&desk).await
        } else {
            one_event(&desk).await
        }
    })
}

async fn all_events(desk: &Desk) -> AppResult<AnyView> {
    let asked = &desk.asked;
    let totals = desk.selling.count_tickets(&desk.viewer).await?;
    let owed = desk.refunds.list_owed(&desk.viewer).await?;
    let sales = desk.selling.list_sales_by_day(&desk.viewer).await?;
    let query = GroupQuery {
        status: asked.status,
        page: Some(asked.page),
    };
    let found = desk.selling.list_groups(&desk.viewer, query).await?;
    let nothing = found.groups.is_empty();
    let mut cards = Vec::new();
    for group in found.groups {
        cards.push(group_card(desk.few(group).await?, desk.flash.as_ref()));
    }
    Ok(view! {
        <Title text="Selling"/>
        {head(desk.flash.as_ref())}
        {owed_line(&owed)}
        {(totals.all() > 0).then(|| sales_chart(&sales))}
        <section aria-labelledby="for-sale">
            <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
            {(totals.all() > 0).then(|| status_chips(asked, totals))}
            <div class="stack">{cards}</div>
            {nothing.then(|| empty(totals))}
            {pager(asked, found.more)}
        </section>
    }
    .into_any())
}

async fn one_event(desk: &Desk) -> AppResult<AnyView> {
    let event: EventId = desk.asked.event.parse().map_err(|_| AppError::NotFound)?;
    let group = desk.selling.get_group(&desk.viewer, event).await?;
    let title = format!("Selling: {}", group.title);
    let counts = group.counts;
    let card = desk.many(group).await?;
    Ok(view! {
        <Title text=title/>
        {head(desk.flash.as_ref())}
        <p class="listing-more"><a href="/selling">"All your events"</a></p>
        <section aria-labelledby="for-sale">
            <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
            {status_chips(&desk.asked, counts)}
            {group_card(card, desk.flash.as_ref())}
            <p class="listing-more">
                <a href=format!("/sell?event={event}")>"Sell more tickets for this event"</a>
            </p>
        </section>
    }
    .into_any())
}

impl Desk {
    async fn card(
        &self,
        group: SaleGroup,
        limit: i64,
        cursor: Option<String>,
    ) -> AppResult<(Card, Option<String>)> {
        let query = TicketQuery {
            event_id: Some(group.event_id),
            status: self.asked.status,
            seller_id: Some("me".to_owned()),
            cursor,
            limit: Some(limit),
        };
        let page = self.tickets.list(Some(&self.viewer), query).await?;
        let ids: Vec<_> = page.tickets.iter().map(|ticket| ticket.id).collect();
        let card = Card {
            orders: self
                .selling
                .find_orders(&self.viewer, &page.tickets)
                .await?,
            refunds: self
                .refunds
                .list_newest_for_tickets(&self.viewer, &ids)
                .await?,
            unsold: self
                .selling
                .list_unsold_sections(&self.viewer, group.event_id)
                .await?,
            tickets: page.tickets,
            group,
            others: None,
        };
        Ok((card, page.next))
    }

    /// A few tickets, and the way to all of them.
    async fn few(&self, group: SaleGroup) -> AppResult<Card> {
        let of_event = Asked {
            event: group.event_id.to_string(),
            ..Asked::default()
        };
        let all = of_event.href(self.asked.status, 1, None);
        let count = group.counts.of(self.asked.status);
        let (card, next) = self.card(group, FEW, None).await?;
        let others = next.map(|_| (all, format!("See all {count}")));
        Ok(Card { others, ..card })
    }

    /// A page of tickets, and the way to the next.
    async fn many(&self, group: SaleGroup) -> AppResult<Card> {
        let cursor = Some(self.asked.cursor.clone()).filter(|cursor| !cursor.is_empty());
        let (card, next) = self.card(group, MANY, cursor).await?;
        let others = next.map(|cursor| {
            let href = self.asked.href(self.asked.status, 1, Some(&cursor));
            (href, "Next page".to_owned())
        });
        Ok(Card { others, ..card })
    }
}

fn head(flash: Option<&Flash>) -> impl IntoView + use<> {
    view! {
        <div class="selling-head">
            <h1 class="display">"Selling"</h1>
            <p class="row">
                <a class="button" href="/sell">"Sell tickets"</a>
                <a class="button button-quiet" href="/selling/sales.csv" download="sales.csv">
                    "Download sales (CSV)"
                </a>
            </p>
        </div>
        {flash_message(flash)}
    }
}

fn status_chips(asked: &Asked, counts: Counts) -> impl IntoView + use<> {
    let chips = STATUSES
        .iter()
        .map(|(status, _, words)| {
            let current = *status == asked.status;
            view! {
                <a
                    class="chip"
                    href=asked.href(*status, 1, None)
                    aria-current=current.then_some("true")
                >
                    {*words} " " <span class="chip-count">{counts.of(*status)}</span>
                </a>
            }
        })
        .collect_view();
    view! { <nav class="chips" aria-label="Which tickets">{chips}</nav> }
}

fn empty(totals: Counts) -> AnyView {
    if totals.all() > 0 {
        return view! { <p class="quiet" role="status">"No tickets have this status right now."</p> }
            .into_any();
    }
    view! {
        <div class="empty">
            <p>"You are not selling anything."</p>
            <p><a class="button" href="/sell">"Sell a ticket"</a></p>
        </div>
    }
    .into_any()
}

fn pager(asked: &Asked, more: bool) -> Option<impl IntoView + use<>> {
    let before = (asked.page > 1).then(|| asked.href(asked.status, asked.page - 1, None));
    let next = more.then(|| asked.href(asked.status, asked.page + 1, None));
    (before.is_some() || next.is_some()).then(|| {
        let link = |href: Option<String>, rel, words| {
            href.map(|href| view! { <a class="button button-quiet" href=href rel=rel>{words}</a> })
        };
        view! {
            <nav class="row more" aria-label="Pages">
                {link(before, "prev", "Previous events")}
                {link(next, "next", "More events")}
            </nav>
        }
    })
}
