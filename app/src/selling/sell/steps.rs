//! The content of the steps after the first.

use super::draft::{Draft, FORM, Step};
use crate::{
    selling::counts_text,
    tickets::api::{PutOnSale, non_empty},
    ui::{Form, Input, field, hidden, post_to, problem_at_top},
};
use context::{self, Flash};
use islands::PayoutWhileTyping;
use leptos::prelude::*;
use model::{
    error::AppResult,
    events::Event,
    money::Money,
    selling::{PriceComparison, SaleGroup, payout_words},
    tickets::label,
};

/// The list of steps, with links to the previous ones.
pub fn progress(step: Step, of: Option<(&Event, &Draft)>) -> impl IntoView + use<> {
    let items = (1..)
        .zip(Step::ALL)
        .map(|(number, (each, _, words))| {
            let previous = of.filter(|_| each < step && step != Step::Done);
            let name = view! { <span class="step-number">{number}</span> <span class="step-name">{words}</span> };
            let content = match previous {
                Some((event, draft)) => {
                    view! { <a class="step" href=draft.href(event.id, each)>{name}</a> }.into_any()
                }
                None => view! { <span class="step">{name}</span> }.into_any(),
            };
            view! { <li aria-current=(each == step).then_some("step")>{content}</li> }
        })
        .collect_view();
    view! { <ol class="steps" aria-label="Steps">{items}</ol> }
}

/// The form of a step. It leads to `next` and carries the fields of the other steps; `own` names its own.
fn step_form(
    event: &Event,
    draft: &Draft,
    next: Step,
    own: &[&str],
    fields: impl IntoView,
) -> impl IntoView {
    view! {
        <form class="panel stack" action="/sell" method="get" aria-labelledby="step">
            {hidden("event", event.id.to_string())}
            {hidden("step", next.name())}
            {hidden_fields(draft, own)}
            {fields}
        </form>
    }
}

/// The non-empty fields of the other steps.
fn hidden_fields(draft: &Draft, own: &[&str]) -> Vec<AnyView> {
    let others = draft
        .fields()
        .into_iter()
        .filter(|(name, value)| !own.contains(name) && !value.is_empty());
    others
        .map(|(name, value)| hidden(name, value.to_owned()).into_any())
        .collect()
}

/// Quantity, place and face value.
pub fn tickets(event: &Event, draft: &Draft, errors: Option<&Flash>) -> AnyView {
    let form = Form::new(FORM, errors);
    let own = ["quantity", "section", "row", "seat", "face_value"];
    let fields = view! {
        <h2 class="title" id="step">"What do you sell?"</h2>
        {problem_at_top(&form)}
        {field(&form, Input {
            name: "quantity", label: "How many alike", kind: "number", value: draft.quantity.clone(),
            inputmode: "numeric",
            hint: Some("Up to 10,000. A numbered seat is one ticket.".to_owned()),
            ..Input::default()
        })}
        {field(&form, Input {
            name: "section", label: "Section", value: draft.section.clone(), optional: true, max: Some(40),
            hint: Some("Stalls, Balcony, Standing. Empty for general admission.".to_owned()),
            ..Input::default()
        })}
        <div class="columns">
            {field(&form, Input {
                name: "row", label: "Row", value: draft.row.clone(), optional: true, max: Some(10),
                ..Input::default()
            })}
            {field(&form, Input {
                name: "seat", label: "Seat", value: draft.seat.clone(), optional: true, max: Some(10),
                ..Input::default()
            })}
        </div>
        {field(&form, Input {
            name: "face_value", label: "Face value", value: draft.face_value.clone(), inputmode: "decimal",
            max: Some(14), optional: true,
            hint: Some(format!("What was first paid for each, in {}. Buyers see it.", event.currency)),
            ..Input::default()
        })}
        <button class="button" type="submit">"Go on to the price"</button>
    };
    step_form(event, draft, Step::Price, &own, fields).into_any()
}

/// The price, with other sellers' prices and the payout.
pub fn price(
    event: &Event,
    draft: &Draft,
    comparison: PriceComparison,
    errors: Option<&Flash>,
) -> AnyView {
    let form = Form::new(FORM, errors);
    let example = Money::new(2500, event.currency).plain();
    let currency = event.currency.code();
    let price = form.value("price", draft.price.clone());
    let fields = view! {
        <h2 class="title" id="step">"What should each cost?"</h2>
        {problem_at_top(&form)}
        {others(event, draft, comparison)}
        <PayoutWhileTyping
            currency=event.currency
            quantity=draft.count()
            price=price.clone()
        >
            {field(&form, Input {
                name: "price", label: "Price of each", value: price, inputmode: "decimal", max: Some(14),
                hint: Some(format!("In {currency}, all that the buyer pays, for example {example}.")),
                ..Input::default()
            })}
        </PayoutWhileTyping>
        <div class="row">
            <button class="button" type="submit">"Go on to the check"</button>
            {back(event, draft, Step::Tickets)}
        </div>
    };
    step_form(event, draft, Step::Check, &["price"], fields).into_any()
}

fn back(event: &Event, draft: &Draft, step: Step) -> impl IntoView + use<> {
    let href = draft.href(event.id, step);
    view! { <a class="button button-quiet" href=href>"Back"</a> }
}

/// Other sellers' prices.
fn others(event: &Event, draft: &Draft, comparison: PriceComparison) -> AnyView {
    let money = |minor| Money::new(minor, event.currency).to_string();
    let section = draft.section.trim();
    let in_section = non_empty(section)
        .zip(comparison.cheapest_in_section_minor)
        .map(|(section, minor)| fact(format!("Cheapest now, {section}"), money(minor)));
    let cheapest = comparison
        .cheapest_minor
        .map(|minor| fact("Cheapest now".to_owned(), money(minor)));
    let face = non_empty(&draft.face_value)
        .and_then(|text| Money::parse(&text, event.currency).ok())
        .map(|face| fact("Your face value".to_owned(), face.to_string()));
    let text = match comparison.available {
        0 => "No other seller has tickets for this event right now.".to_owned(),
        1 => "1 ticket of another seller is on sale.".to_owned(),
        many => format!("{many} tickets of other sellers are on sale."),
    };
    view! {
        <div class="compare">
            <p class="quiet">{text}</p>
            <dl class="figures">{in_section} {cheapest} {face}</dl>
        </div>
    }
    .into_any()
}

fn fact(what: String, value: String) -> impl IntoView {
    view! { <div><dt>{what}</dt> <dd>{value}</dd></div> }
}

/// A review of all fields, and the button that puts the tickets on sale.
pub fn check(event: &Event, draft: &Draft, errors: Option<&Flash>) -> AnyView {
    let form = Form::new(FORM, errors);
    let money = |text: &str| {
        let money = Money::parse(text, event.currency);
        money.map_or_else(|_| text.to_owned(), |money| money.to_string())
    };
    let count = draft.count();
    let what = match count {
        1 => "1 ticket".to_owned(),
        many => format!("{many} tickets alike"),
    };
    let place = label(
        non_empty(&draft.section).as_deref(),
        non_empty(&draft.row).as_deref(),
        non_empty(&draft.seat).as_deref(),
    );
    let face =
        non_empty(&draft.face_value).map_or_else(|| "Not said".to_owned(), |face| money(&face));
    let paid = Money::parse(&draft.price, event.currency)
        .ok()
        .and_then(|price| payout_words(price, count));
    let button = match count {
        1 => "Put it on sale".to_owned(),
        many => format!("Put {many} on sale"),
    };
    let line = |what: &'static str, value: String, step| {
        let href = draft.href(event.id, step);
        view! {
            <div class="check-line">
                <dt>{what}</dt>
                <dd>{value}</dd>
                <dd><a href=href aria-label=format!("Change: {what}")>"Change"</a></dd>
            </div>
        }
    };
    view! {
        {post_to::<PutOnSale>("panel stack", view! {
            <h2 class="title" id="step">"Is everything right?"</h2>
            {problem_at_top(&form)}
            {hidden("event_id", event.id.to_string())}
            {hidden_fields(draft, &[])}
            <dl class="check">
                {line("What", what, Step::Tickets)}
                {line("Where", place, Step::Tickets)}
                {line("Face value", face, Step::Tickets)}
                {line("Price of each", money(&draft.price), Step::Price)}
            </dl>
            <p class="payout">{paid}</p>
            <div class="row">
                <button class="button" type="submit">{button}</button>
                {back(event, draft, Step::Price)}
            </div>
            <p class="hint">
                "You can change price and seat, or take a ticket back, as long as no buyer is paying for it."
            </p>
        })}
    }
    .into_any()
}

/// The confirmation, with links.
pub fn done(event: &Event, group: &SaleGroup) -> AppResult<AnyView> {
    let link = format!("{}/events/{}", context::site()?.public_url, event.id);
    let mail = format!(
        "mailto:?subject={}&body={}",
        context::percent_encode(&format!("Tickets for {}", event.title)),
        context::percent_encode(&link)
    );
    Ok(view! {
        <section class="panel stack" aria-labelledby="step">
            <h2 class="title" id="step">"On sale"</h2>
            <p>{format!("Your tickets for {}: {}.", event.title, counts_text(group.counts))}</p>
            <div class="row">
                <a class="button" href=format!("/events/{}", event.id)>"See it as buyers do"</a>
                <a class="button button-quiet" href=format!("/selling?event={}", event.id)>
                    "What you sell for it"
                </a>
                <a class="button button-quiet" href=format!("/sell?event={}", event.id)>
                    "List another"
                </a>
            </div>
            <div class="field">
                <label class="label" for="share-link">"Share this link"</label>
                <input class="input" id="share-link" readonly value=link/>
            </div>
            <p><a href=mail>"Send it by e-mail"</a></p>
        </section>
    }
    .into_any())
}
