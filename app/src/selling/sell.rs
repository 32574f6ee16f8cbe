//! `/sell`: five short steps from having a ticket to its being on sale. Which step, and all that
//! was typed so far, is in the address, so that going back loses nothing and no script is needed.
//! Only the fourth step writes anything.

mod draft;
mod event;
mod steps;

use crate::{
    events::{event_strip, find},
    ui::{LinkPreview, flash_message, link_preview, page_for},
};
use context::{self, Flash};
use draft::{Draft, Step, judge};
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

/// What all steps ask.
struct Desk {
    viewer: Viewer,
    events: Arc<dyn Events>,
    tickets: Arc<dyn Tickets>,
    selling: Arc<dyn Selling>,
}

/// Lists tickets, step by step.
#[component]
pub fn SellPage() -> impl IntoView {
    let query = use_query_map().get_untracked();
    page_for(|viewer| async move {
        let get = |name| query.get(name).unwrap_or_default();
        let flash = context::take_flash();
        let desk = Desk {
            viewer,
            events: context::port::<dyn Events>()?,
            tickets: context::port::<dyn Tickets>()?,
            selling: context::port::<dyn Selling>()?,
        };
        if get("event").is_empty() {
            let q = get("q");
            let content =
                event::choose_event(&desk.events, &desk.viewer, q.trim(), flash.as_ref()).await?;
            return Ok(frame(Step::Event, None, flash.as_ref(), content));
        }
        let event = find(&desk.events, &get("event")).await?;
        let draft = Draft::read(get, flash.as_ref());
        let asked = Step::named(&get("step"));
        one_event(&desk, &event, draft, asked, flash).await
    })
}

async fn one_event(
    desk: &Desk,
    event: &Event,
    draft: Draft,
    asked: Step,
    flash: Option<Flash>,
) -> AppResult<AnyView> {
    if asked == Step::Done {
        return match desk.selling.get_group(&desk.viewer, event.id).await {
            Ok(group) => {
                let content = steps::done(event, &group)?;
                Ok(frame(asked, Some((event, &draft)), flash.as_ref(), content))
            }
            // Nothing is listed for it: there is nothing to show yet.
            Err(AppError::NotFound) => {
                context::redirect(&draft.href(event.id, Step::Tickets));
                Ok(().into_any())
            }
            Err(error) => Err(error),
        };
    }
    // What the listing itself was refused with comes before what the fields say.
    let (step, said) = match flash.clone().filter(|flash| flash.form == draft::FORM) {
        Some(refused) => (Step::of_refusal(&refused), Some(refused)),
        None => judge(desk, event, &draft, asked).await?,
    };
    let content = match step {
        Step::Price => {
            let section = draft.section.trim();
            let comparison = desk
                .selling
                .compare_prices(&desk.viewer, event.id, section)
                .await?;
            steps::price(event, &draft, comparison, said.as_ref())
        }
        Step::Check => steps::check(event, &draft, said.as_ref()),
        _ => steps::tickets(event, &draft, said.as_ref()),
    };
    Ok(frame(step, Some((event, &draft)), flash.as_ref(), content))
}

/// The heading, where one is among the steps, and the step.
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
