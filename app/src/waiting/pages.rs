//! The waiting list form on an event's page, and `/waiting-list`, the target of mailed links.

use super::api::{self, FORM};
use crate::{
    events::event_strip,
    ui::{
        Choice, Form, Input, choose, field, flash_message, hidden, page, post_to, problem_at_top,
    },
};
use context::{self, Flash};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use model::{
    accounts::Viewer,
    events::{Event, Events},
    orders::TICKETS_PER_ORDER_MAX,
    waiting::{Waiting, WaitingList, WaitingState, WaitingToken},
};

/// The form to join, or the viewer's entry. Always in the page; the stylesheet shows it only while nothing is
/// for sale.
pub fn waiting_list_panel(
    event: &Event,
    own: Option<&Waiting>,
    viewer: Option<&Viewer>,
    flash: Option<&Flash>,
) -> AnyView {
    let form = Form::new(FORM, flash);
    let content = match own {
        Some(own) if own.state == WaitingState::Waiting && !form.was_refused() => {
            on_the_list(event, own).into_any()
        }
        _ => join_form(event, &form, viewer).into_any(),
    };
    view! { <section class="waiting panel" aria-labelledby="waiting-list">{content}</section> }
        .into_any()
}

fn on_the_list(event: &Event, own: &Waiting) -> impl IntoView + use<> {
    let text = format!(
        "As soon as {} for sale, and those who have waited longer have been told, we mail {}: once, \
         and without keeping any for you.",
        own.wanted(),
        own.email
    );
    post_to::<api::Leave>(
        "stack",
        view! {
            <h3 class="title" id="waiting-list">"You are on the waiting list"</h3>
            <p>{text}</p>
            {hidden("event_id", event.id.to_string())}
            <button class="button button-quiet" type="submit">"Leave the list"</button>
        },
    )
}

fn join_form(event: &Event, form: &Form, viewer: Option<&Viewer>) -> impl IntoView + use<> {
    context::expect_cookies();
    let email = viewer.map_or_else(String::new, |viewer| viewer.user.email.clone());
    let confirm = match viewer {
        None => "We first mail you a link, to be sure that the address is yours.",
        Some(_) => "To an address that is not your account's, we first mail a link to confirm it.",
    };
    let choices = (1..=TICKETS_PER_ORDER_MAX)
        .map(|count| Choice::new(count.to_string(), count.to_string()))
        .collect();
    post_to::<api::Join>(
        "stack",
        view! {
            <h3 class="title" id="waiting-list">"Tell me when there is a ticket"</h3>
            {problem_at_top(form)}
            <p>
                "When tickets come free, we mail you once. Those who have waited longest are told first. "
                "None is reserved for you: the first buyer gets it."
            </p>
            {hidden("event_id", event.id.to_string())}
            <div class="waiting-fields">
                {field(form, Input {
                    name: "email", label: "E-mail", kind: "email", autocomplete: "email",
                    value: email, max: Some(254), hint: Some(confirm.to_owned()),
                    ..Input::default()
                })}
                {choose(form, Input {
                    name: "quantity", label: "How many", value: "1".to_owned(),
                    hint: Some("We mail you when at least this many tickets are for sale.".to_owned()),
                    ..Input::default()
                }, choices)}
            </div>
            <button class="button" type="submit">"Tell me"</button>
        },
    )
}

/// The target of mailed links. Opening it changes nothing, because mail programs open links as well.
#[component]
pub fn WaitingListPage() -> impl IntoView {
    let token = use_query_map().with_untracked(|query| query.get("token").unwrap_or_default());
    page(async move {
        let (list, events) = (
            context::port::<dyn WaitingList>()?,
            context::port::<dyn Events>()?,
        );
        let flash = context::take_flash();
        context::expect_cookies();
        let form = Form::new(FORM, flash.as_ref());
        let token = WaitingToken(token);
        let (title, content) = match list.find_by_link(&token).await? {
            Some(entry) => {
                let event = events.get(entry.event_id).await?;
                (title_of(entry.state), entry_panel(&event, &entry, &token))
            }
            None => ("Not on the waiting list", invalid_link()),
        };
        Ok(view! {
            <Title text=title/>
            <section class="narrow">
                <h1 class="display">{title}</h1>
                {flash_message(flash.as_ref())}
                {problem_at_top(&form)}
                {content}
            </section>
        }
        .into_any())
    })
}

fn title_of(state: WaitingState) -> &'static str {
    match state {
        WaitingState::Asked => "Tell you when there is a ticket?",
        WaitingState::Waiting => "You are on the waiting list",
        WaitingState::Told => "You have been told",
    }
}

fn entry_panel(event: &Event, entry: &Waiting, token: &WaitingToken) -> AnyView {
    let (wanted, email) = (entry.wanted(), &entry.email);
    let (text, confirm_label, leave_label) = match entry.state {
        WaitingState::Asked => (
            format!(
                "We then mail {email} once, when {wanted} for sale. Nothing is reserved for you: \
                 the first buyer gets it."
            ),
            Some("Yes, tell me"),
            "No, forget my address",
        ),
        WaitingState::Waiting => (
            format!(
                "We mail {email} once, when {wanted} for sale and those who have waited longer have \
                 been told. Nothing is reserved for you: the first buyer gets it."
            ),
            None,
            "Leave the list",
        ),
        WaitingState::Told => (
            format!(
                "We mailed {email} that there were tickets for sale, and that was all that you asked \
                 for. If you still want to be told, you can join the list again, at its end."
            ),
            Some("Tell me again"),
            "Forget my address",
        ),
    };
    let (confirm, leave) = (token.0.clone(), token.0.clone());
    view! {
        {event_strip(event, None)}
        <div class="panel stack">
            <p>{text}</p>
            <div class="row">
                {confirm_label.map(|label| post_to::<api::Confirm>("", view! {
                    {hidden("token", confirm)}
                    <button class="button" type="submit">{label}</button>
                }))}
                {post_to::<api::LeaveByLink>("", view! {
                    {hidden("token", leave)}
                    <button class="button button-quiet" type="submit">{leave_label}</button>
                })}
            </div>
        </div>
    }
    .into_any()
}

fn invalid_link() -> AnyView {
    view! {
        <div class="panel stack">
            <p>
                "This link no longer works: you have left the list, did not confirm within "
                "two days, or sales for the event have ended. We will not write to you about it again."
            </p>
            <p><a class="button" href="/">"See what is on"</a></p>
        </div>
    }
    .into_any()
}
