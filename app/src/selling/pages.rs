//! `/selling`: the viewer's listings and sales by event; with `event`, those for one event.

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

/// Tickets shown of each event on the page of all events.
const PREVIEW_TICKETS: i64 = 5;
/// Tickets on a page of one event.
const PAGE_TICKETS: i64 = 50;

/// The status filters with their names in the address and on the page.
const STATUSES: [(Option<TicketStatus>, &str, &str); 5] = [
    (None, "", "All"),
    (Some(TicketStatus::Available), "available", "On sale"),
    (Some(TicketStatus::Reserved), "reserved", "Held now"),
    (Some(TicketStatus::Sold), "sold", "Sold"),
    (Some(TicketStatus::Withdrawn), "withdrawn", "Withdrawn"),
];

/// The parameters in the address.
#[derive(Clone, Default)]
struct Params {
    event: String,
    status: Option<TicketStatus>,
    page: i64,
    cursor: String,
}

impl Params {
    fn read() -> Self {
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

    /// The address of this page with other parameters.
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

/// The viewer, the ports and the parameters of one request.
struct Request {
    viewer: Viewer,
    selling: Arc<dyn Selling>,
    tickets: Arc<dyn Tickets>,
    refunds: Arc<dyn Refunds>,
    params: Params,
    flash: Option<Flash>,
}

#[component]
pub fn SellingPage() -> impl IntoView {
    let params = Params::read();
    page_for(|viewer| async move {
        let request = Request {
            viewer,
            selling: context::port::<dyn Selling>()?,
            tickets: context::port::<dyn Tickets>()?,
            refunds: context::port::<dyn Refunds>()?,
            params,
            flash: context::take_flash(),
        };
        if request.params.event.is_empty() {
            all_events(&request).await
        } else {
            one_event(&request).await
        }
    })
}

async fn all_events(request: &Request) -> AppResult<AnyView> {
    let params = &request.params;
    let totals = request.selling.count_tickets(&request.viewer).await?;
    let owed = request.refunds.list_owed(&request.viewer).await?;
    let sales = request.selling.list_sales_by_day(&request.viewer).await?;
    let query = GroupQuery {
        status: params.status,
        page: Some(params.page),
    };
    let found = request.selling.list_groups(&request.viewer, query).await?;
    let nothing = found.groups.is_empty();
    let mut cards = Vec::new();
    for group in found.groups {
        cards.push(group_card(
            request.preview_card(group).await?,
            request.flash.as_ref(),
        ));
    }
    Ok(view! {
        <Title text="Selling"/>
        {head(request.flash.as_ref())}
        {owed_line(&owed)}
        {(totals.all() > 0).then(|| sales_chart(&sales))}
        <section aria-labelledby="for-sale">
            <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
            {(totals.all() > 0).then(|| status_chips(params, totals))}
            <div class="stack">{cards}</div>
            {nothing.then(|| empty(totals))}
            {pager(params, found.more)}
        </section>
    }
    .into_any())
}

async fn one_event(request: &Request) -> AppResult<AnyView> {
    let event: EventId = request
        .params
        .event
        .parse()
        .map_err(|_| AppError::NotFound)?;
    let group = request.selling.get_group(&request.viewer, event).await?;
    let title = format!("Selling: {}", group.title);
    let counts = group.counts;
    let card = request.page_card(group).await?;
    Ok(view! {
        <Title text=title/>
        {head(request.flash.as_ref())}
        <p class="listing-more"><a href="/selling">"All your events"</a></p>
        <section aria-labelledby="for-sale">
            <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
            {status_chips(&request.params, counts)}
            {group_card(card, request.flash.as_ref())}
            <p class="listing-more">
                <a href=format!("/sell?event={event}")>"Sell more tickets for this event"</a>
            </p>
        </section>
    }
    .into_any())
}

impl Request {
    async fn card(
        &self,
        group: SaleGroup,
        limit: i64,
        cursor: Option<String>,
    ) -> AppResult<(Card, Option<String>)> {
        let query = TicketQuery {
            event_id: Some(group.event_id),
            status: self.params.status,
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

    /// The first tickets, with a link to all.
    async fn preview_card(&self, group: SaleGroup) -> AppResult<Card> {
        let of_event = Params {
            event: group.event_id.to_string(),
            ..Params::default()
        };
        let all = of_event.href(self.params.status, 1, None);
        let count = group.counts.of(self.params.status);
        let (card, next) = self.card(group, PREVIEW_TICKETS, None).await?;
        let others = next.map(|_| (all, format!("See all {count}")));
        Ok(Card { others, ..card })
    }

    /// One page of tickets, with a link to the next.
    async fn page_card(&self, group: SaleGroup) -> AppResult<Card> {
        let cursor = Some(self.params.cursor.clone()).filter(|cursor| !cursor.is_empty());
        let (card, next) = self.card(group, PAGE_TICKETS, cursor).await?;
        let others = next.map(|cursor| {
            let href = self.params.href(self.params.status, 1, Some(&cursor));
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

fn status_chips(params: &Params, counts: Counts) -> impl IntoView + use<> {
    let chips = STATUSES
        .iter()
        .map(|(status, _, words)| {
            let current = *status == params.status;
            view! {
                <a
                    class="chip"
                    href=params.href(*status, 1, None)
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

fn pager(params: &Params, more: bool) -> Option<impl IntoView + use<>> {
    let before = (params.page > 1).then(|| params.href(params.status, params.page - 1, None));
    let next = more.then(|| params.href(params.status, params.page + 1, None));
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
