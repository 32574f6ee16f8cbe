//! `/forgot` and `/reset`: the way back in without the password.

use super::{AccountCare, ResetToken, api};
use crate::{
    context,
    ui::{Form, Input, field, flash_message, hidden, page, post_to, problem_at_top},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

/// Asks where to send the link.
#[component]
pub fn ForgotPage() -> impl IntoView {
    let flash = context::take_flash();
    let form = Form::new("forgot", flash.as_ref());
    view! {
        <Title text="Forgotten password"/>
        <section class="narrow">
            <h1 class="display">"Forgotten your password?"</h1>
            {flash_message(flash.as_ref())}
            <p class="lead">"We mail you a link to set a new one."</p>
            {post_to::<api::Forgot>("panel stack", view! {
                {problem_at_top(&form)}
                {field(&form, Input {
                    name: "email", label: "E-mail", kind: "email", autocomplete: "username",
                    max: Some(254), hint: Some("The address of your account.".to_owned()),
                    ..Input::default()
                })}
                <button class="button" type="submit">"Mail me a link"</button>
            })}
            <p>"You know it after all? " <a href="/signin">"Sign in"</a></p>
        </section>
    }
}

/// Where the mailed link leads. Looking uses nothing up, since mail programs look at links as well.
#[component]
pub fn ResetPage() -> impl IntoView {
    let token = use_query_map().with_untracked(|query| query.get("token").unwrap_or_default());
    page(async move {
        let care = context::port::<dyn AccountCare>()?;
        let form = Form::new("reset", context::take_flash().as_ref());
        let token = ResetToken(token);
        let content = if care.may_reset(&token).await? {
            new_password(&form, token).into_any()
        } else {
            dead_link().into_any()
        };
        Ok(view! {
            <Title text="Set a new password"/>
            <section class="narrow">
                <h1 class="display">"Set a new password"</h1>
                {content}
            </section>
        }
        .into_any())
    })
}

fn new_password(form: &Form, token: ResetToken) -> impl IntoView + use<> {
    post_to::<api::Reset>(
        "panel stack",
        view! {
            {problem_at_top(form)}
            {hidden("token", token.0)}
            {field(form, Input {
                name: "password", label: "New password", kind: "password",
                autocomplete: "new-password", hint: Some("At least 8 characters.".to_owned()),
                ..Input::default()
            })}
            <p class="quiet">"You are then signed in here, and signed out everywhere else."</p>
            <button class="button" type="submit">"Set the password"</button>
        },
    )
}

fn dead_link() -> impl IntoView {
    view! {
        <div class="panel stack">
            <p>"This link has been used, or its 30 minutes are over. Your password is what it was."</p>
            <p><a class="button" href="/forgot">"Ask for a new link"</a></p>
        </div>
    }
}
