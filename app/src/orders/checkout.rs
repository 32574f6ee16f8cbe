//! `/checkout`: visitors who have chosen tickets sign in, or enter an address and a name to buy as a guest.
//! Nothing is held before that.

use super::{
    Choice, api,
    pages::{STEPS, count, mailed_to, sold_by},
};
use crate::{
    accounts::api::RequestReset,
    events::event_strip,
    ui::{Form, Input, field, flash_message, hidden, page, post_to, problem_at_top, steps},
};
use context::{self, Flash, with_next};
use islands::in_minutes;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use model::{
    accounts::{ADDRESS_IN_USE, Accounts, GUEST_CAME_BACK},
    error::{AppError, AppResult},
    events::{Event, Events},
    ids::UserId,
    money::Money,
    orders::Reserve,
    tickets::{NO_SECTION, Tickets},
};

/// The choice as shown before it is reserved.
struct Chosen {
    event: Event,
    tickets: usize,
    /// `2 × Stalls`, or the seats.
    what: String,
    sellers: Vec<UserId>,
    /// `None`: not known before the cheapest tickets are reserved.
    total: Option<Money>,
}

/// Errors: `NotFound`; `Invalid` if the number of tickets is.
async fn load_chosen(reserve: &Reserve) -> AppResult<Chosen> {
    let count = reserve.count()?;
    let (events, tickets) = (
        context::port::<dyn Events>()?,
        context::port::<dyn Tickets>()?,
    );
    match reserve {
        Reserve::Any(any) => {
            let event = events.get(any.event_id).await?;
            let section = any.section.as_deref().unwrap_or(NO_SECTION);
            let price = any.offer.as_ref().map(|offer| offer.price_minor);
            let total = price.and_then(|price| price.checked_mul(any.quantity));
            Ok(Chosen {
                tickets: count,
                what: format!("{} × {section}", any.quantity),
                sellers: any.offer.iter().map(|offer| offer.seller_id).collect(),
                total: total.map(|minor| Money::new(minor, event.currency)),
                event,
            })
        }
        Reserve::Named(named) => {
            let mut seats = Vec::with_capacity(named.ticket_ids.len());
            for id in &named.ticket_ids {
                seats.push(tickets.get(*id).await?);
            }
            let first = seats.first().ok_or(AppError::NotFound)?;
            let event = events.get(first.event_id).await?;
            let labels: Vec<&str> = seats.iter().map(|seat| seat.label.as_str()).collect();
            let total = seats.iter().map(|seat| seat.price_minor).sum();
            Ok(Chosen {
                tickets: count,
                what: labels.join("; "),
                sellers: seats.iter().map(|seat| seat.seller_id).collect(),
                total: Some(Money::new(total, event.currency)),
                event,
            })
        }
    }
}

#[component]
pub fn CheckoutPage() -> impl IntoView {
    let text = use_query_map().with_untracked(|query| query.get("choice").unwrap_or_default());
    page(async move {
        let choice = Choice::decode(&text).ok_or(AppError::NotFound)?;
        let (flash, viewer) = (context::take_flash(), context::viewer());
        let held = in_minutes(context::site()?.hold_seconds);
        let accounts = context::port::<dyn Accounts>()?;
        let chosen = load_chosen(&choice.reserve).await?;
        let names = accounts.find_names(&chosen.sellers).await?;
        let total = chosen.total.map(|total| format!(" · {total} in all"));
        let total = total.unwrap_or_default();
        let sold_by = sold_by(&chosen.sellers, &names);
        let what = format!("{}{sold_by}{total}", chosen.what);
        let summary = event_strip(&chosen.event, Some(&what));
        let flash = flash.as_ref();
        let form = Form::new("reserve", flash);
        let refused = form.was_refused();
        let then = match viewer {
            Some(viewer) => {
                let form = reserve_form(&choice, &chosen, refused);
                let mailed_to = mailed_to(&viewer.user.email);
                view! { {mailed_to} {form} }.into_any()
            }
            None => identification(&choice, flash),
        };
        Ok(view! {
            <Title text=format!("Checkout: {}", chosen.event.title)/>
            <section class="narrow">
                {steps(&STEPS, Some(1))}
                <h1 class="section-title">{count(chosen.tickets)} {total}</h1>
                {flash_message(flash)}
                {problem_at_top(&form)}
                <div class="checkout-strip">{summary}</div>
                {then}
                {(!refused).then(|| view! {
                    <p class="quiet">
                        "Next, the tickets are held for you for " {held} " while you pay. "
                        <a href=event_tickets_url(&chosen)>"Choose others"</a>
                    </p>
                })}
            </section>
        }
        .into_any())
    })
}

/// For signed-in viewers: one button.
fn reserve_form(choice: &Choice, chosen: &Chosen, refused: bool) -> AnyView {
    // A guest account was created before the reservation was refused, so guests also get here.
    let (first, class, label) = if refused {
        let first =
            view! { <a class="button" href=event_tickets_url(chosen)>"See what is left"</a> };
        (Some(first), "button button-quiet", "Try again".to_owned())
    } else {
        let label = format!("Reserve {} and pay", count(chosen.tickets));
        (None, "button", label)
    };
    post_to::<api::ReserveChosen>(
        "row",
        view! {
            {hidden("choice", choice.encode())}
            {first}
            <button class=class type="submit">{label}</button>
        },
    )
    .into_any()
}

/// Where other tickets can be chosen.
fn event_tickets_url(chosen: &Chosen) -> String {
    format!("/events/{}#tickets", chosen.event.id)
}

/// Shown to a guest who has bought before: a sign-in link has been mailed.
fn returning_guest(email: String, next: String) -> AnyView {
    view! {
        <section class="panel stack" aria-labelledby="welcome">
            <h2 class="title" id="welcome">"Welcome back"</h2>
            <div class="notice notice-good" role="status" tabindex="-1" autofocus=true>
                <p>
                    "You have already bought tickets with " <strong>{email.clone()}</strong> ". We have sent a \
                    link to that address. Open it to continue to payment without a password. The link works \
                    for 30 minutes."
                </p>
            </div>
            {post_to::<RequestReset>("stack", view! {
                <p class="quiet">"If it does not arrive, check your spam folder or request another link."</p>
                {hidden("email", email)}
                {hidden("next", next)}
                <button class="button button-quiet" type="submit">"Mail me another link"</button>
            })}
        </section>
    }
    .into_any()
}

/// For visitors who are not signed in: the guest form, and links to sign in and up.
fn identification(choice: &Choice, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("guest", flash);
    let next = choice.checkout_url();
    context::expect_cookies();
    let wrong = form.error("email");
    let returning = wrong.as_deref() == Some(GUEST_CAME_BACK);
    let welcome = returning.then(|| returning_guest(form.value("email", ""), next.clone()));
    let heading = if returning {
        "Or use another address"
    } else {
        "Buy as a guest"
    };
    let known = (wrong.as_deref() == Some(ADDRESS_IN_USE)).then(|| {
        let email = form.value("email", "");
        view! {
            {post_to::<RequestReset>("stack", view! {
                <p>
                    "No password, or forgotten it? We mail a link to " <strong>{email.clone()}</strong>
                    ". It leads back to these tickets."
                </p>
                {hidden("email", email)}
                {hidden("next", next.clone())}
                <button class="button button-quiet" type="submit">"Mail me a link"</button>
            })}
        }
    });
    view! {
        {welcome}
        <section class="panel stack" aria-labelledby="guest">
            <h2 class="title" id="guest">{heading}</h2>
            {post_to::<api::BuyAsGuest>("stack", view! {
                {(!returning).then(|| problem_at_top(&form))}
                {field(&form, Input {
                    name: "email", label: "E-mail", kind: "email", autocomplete: "email",
                    max: Some(254), hint: Some("Your tickets are sent there.".to_owned()),
                    ..Input::default()
                })}
                {field(&form, Input {
                    name: "name", label: "Name", autocomplete: "name", max: Some(80),
                    ..Input::default()
                })}
                {hidden("choice", choice.encode())}
                {hidden("once", context::new_attempt())}
                <button class="button" type="submit">"Go on to pay"</button>
            })}
        </section>
        <section class="panel stack" aria-labelledby="account">
            <h2 class="title" id="account">"Or with an account"</h2>
            <p class="row">
                <a class="button button-quiet" href=with_next("/signin", &next)>"Sign in"</a>
                <a class="button button-quiet" href=with_next("/signup", &next)>"Sign up"</a>
            </p>
            {known}
        </section>
    }
    .into_any()
}
