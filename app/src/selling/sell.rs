//! `/sell`: lists tickets in five steps. The step and everything typed so far are in the address, so
//! that going back loses nothing and no script is needed. Only the fourth step writes.

mod draft;
mod event;
mod steps;

use crate::{
    events::{event_strip, find},
    ui::{LinkPreview, flash_message, link_preview, page_for},
};
use context::{self, Flash};
use draft::{Draft, Step, resolve_step};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult},
    events::{Event, Events},
    selling::Selling,
    tickets::Tickets,
};
use std::sync::Arc;

/// The viewer and the ports that the steps use.
struct SellContext {
    viewer: Viewer,
    events: Arc<dyn Events>,
    tickets: Arc<dyn Tickets>,
    selling: Arc<dyn Selling>,
}

#[component]
pub fn SellPage() -> impl IntoView {
    let query = use_query_map().get_untracked();
    page_for(|viewer| async move {
        let get = |name| query.get(name).unwrap_or_default();
        let flash = context::take_flash();
        let sell = SellContext {
            viewer,
            events: context::port::<dyn Events>()?,
            tickets: context::port::<dyn Tickets>()?,
            selling: context::port::<dyn Selling>()?,
        };
        if get("event").is_empty() {
            let q = get("q");
            let content =
                event::choose_event(&sell.events, &sell.viewer, q.trim(), flash.as_ref()).await?;
            return Ok(frame(Step::Event, None, flash.as_ref(), content));
        }
        let event = find(&sell.events, &get("event")).await?;
        let draft = Draft::read(get, flash.as_ref());
        let requested = Step::from_name(&get("step"));
        one_event(&sell, &event, draft, requested, flash).await
    })
}

async fn one_event(
    sell: &SellContext,
    event: &Event,
    draft: Draft,
    requested: Step,
    flash: Option<Flash>,
) -> AppResult<AnyView> {
    if requested == Step::Done {
        return match sell.selling.get_group(&sell.viewer, event.id).await {
            Ok(group) => {
                let content = steps::done(event, &group)?;
                Ok(frame(
                    requested,
                    Some((event, &draft)),
                    flash.as_ref(),
                    content,
                ))
            }
            // The viewer has not listed anything for this event.
            Err(AppError::NotFound) => {
                context::redirect(&draft.href(event.id, Step::Tickets));
                Ok(().into_any())
            }
            Err(error) => Err(error),
        };
    }
    // Errors of the submitted listing take precedence over validation.
    let (step, errors) = match flash.clone().filter(|flash| flash.form == draft::FORM) {
        Some(refused) => (Step::with_error(&refused), Some(refused)),
        None => resolve_step(sell, event, &draft, requested).await?,
    };
    let content = match step {
        Step::Price => {
            let section = draft.section.trim();
            let comparison = sell
                .selling
                .compare_prices(&sell.viewer, event.id, section)
                .await?;
            steps::price(event, &draft, comparison, errors.as_ref())
        }
        Step::Check => steps::check(event, &draft, errors.as_ref()),
        _ => steps::tickets(event, &draft, errors.as_ref()),
    };
    Ok(frame(step, Some((event, &draft)), flash.as_ref(), content))
}

/// The heading, the progress and the content of a step.
fn frame(
    step: Step,
    of: Option<(&Event, &Draft)>,
    flash: Option<&Flash>,
    content: AnyView,
) -> AnyView {
    let title = of.map_or_else(
        || "Sell".to_owned(),
        |(event, _)| format!("Sell: {}", event.title),
    );
    let strip = of.map(|(event, _)| event_strip(event, None));
    view! {
        {link_preview(LinkPreview {
            title,
            text: "List tickets for an event at your own price. You see what you will be paid before \
                they go on sale."
                .to_owned(),
            path: "/sell".to_owned(),
            image: None,
        })}
        <section class="narrow">
            <div class="sale-head">
                <h1 class="display">"Sell tickets"</h1>
                <p><a href="/selling">"What you sell"</a></p>
            </div>
            {steps::progress(step, of)}
            {flash_message(flash)}
            {strip}
            {content}
        </section>
    }
    .into_any()
}
