//! `/events/:id`.

use super::{for_sale::for_sale, head::head, offer_filter::OfferFilterForm, prose::prose};
use crate::{
    events::{Spot, cover, event_time, find},
    orders::held_notices,
    ui::{Icon, flash_message, icon, page},
    waiting::waiting_list_panel,
};
use islands::ShareButton;
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use model::{
    events::{Event, Events, when_in_full},
    ids::EventId,
    orders::Orders,
    tickets::Tickets,
    waiting::WaitingList,
};

#[component]
pub fn EventPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id").unwrap_or_default());
    let filter_form = OfferFilterForm::from_url();
    page(async move {
        let flash = context::take_flash();
        let (events, tickets, orders, list) = (
            context::port::<dyn Events>()?,
            context::port::<dyn Tickets>()?,
            context::port::<dyn Orders>()?,
            context::port::<dyn WaitingList>()?,
        );
        let viewer = context::viewer();
        let event = find(&events, &id).await?;
        let filter = filter_form.filter(event.currency);
        let offers = tickets.list_offers(event.id, filter).await?;
        let site = context::site()?;
        let head = head(&event, &offers, &site.public_url);
        let span = event.span();
        let (ended, over) = (
            !span.is_on_sale(context::now()),
            span.is_over(context::now()),
        );
        let sale = if ended {
            // Has the id of the live part, so that `LiveSale` replaces that with this notice.
            view! {
                <p class="notice" id="for-sale">
                    {if over && event.ends_at.is_some() {
                        "This event is over. Its tickets are no longer traded."
                    } else {
                        "This event has begun. Its tickets are no longer traded."
                    }}
                </p>
            }
            .into_any()
        } else {
            let own = match &viewer {
                Some(viewer) => list.find_own(viewer, event.id).await?,
                None => None,
            };
            let held = match &viewer {
                Some(viewer) => held_notices(&orders.list_open(viewer).await?, event.id),
                None => None,
            };
            let waiting_list =
                waiting_list_panel(&event, own.as_ref(), viewer.as_ref(), flash.as_ref());
            for_sale(
                &event,
                offers,
                &filter_form,
                viewer.as_ref(),
                flash.as_ref(),
                held,
                waiting_list,
            )?
        };
        let own = match &viewer {
            Some(viewer) if !over => events.is_creator(viewer, event.id).await?,
            _ => false,
        };
        let edit = own.then(|| edit_link(event.id).into_any());
        let address = format!("{}/events/{}", site.public_url, event.id);
        Ok(view! {
            {head}
            {flash_message(flash.as_ref())}
            <article class="event">
                {heading(&event, address, edit)}
                {sale}
            </article>
        }
        .into_any())
    })
}

/// Title, time, place and description.
fn heading(event: &Event, address: String, edit: Option<AnyView>) -> AnyView {
    view! {
        <header class="event-head">
            <div class="event-art">{cover(event, Spot::Head)}</div>
            <div class="event-facts">
                <h1 class="display" dir="auto">{event.title.clone()}</h1>
                <p class="fact">
                    {icon(Icon::Clock)} {event_time(event)}
                </p>
                {sold_until(event)}
                <p class="fact">
                    {icon(Icon::Place)}
                    <span><bdi>{event.venue.clone()}</bdi> ", " <bdi>{event.city.clone()}</bdi></span>
                </p>
                <ShareButton title=event.title.clone() address=address/>
                {edit}
                <div class="prose">{prose(&event.description)}</div>
            </div>
        </header>
    }
    .into_any()
}

/// The end of sales, if that is after the start.
fn sold_until(event: &Event) -> Option<AnyView> {
    let until = event
        .sales_until
        .filter(|_| event.span().is_on_sale(context::now()))?;
    let until = when_in_full(until, &event.time_zone);
    Some(
        view! { <p class="fact">{icon(Icon::Ticket)} <span>"On sale until " {until}</span></p> }
            .into_any(),
    )
}

/// For the event's creator.
fn edit_link(id: EventId) -> impl IntoView {
    view! {
        <p class="event-edit">
            <a class="button button-quiet button-small" href=format!("/events/{id}/edit")>
                "Edit this event"
            </a>
        </p>
    }
}
