//! `/signup` and `/signin`.

use super::api;
use crate::ui::{
    Form, Input, LinkPreview, field, flash_message, hidden, link_preview, post_to, problem_at_top,
};
use context::{self, DemoAccount, with_next};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

/// The path to continue at, from the query; empty if it is missing or not of this site.
pub(super) fn next() -> String {
    let next = use_query_map().with_untracked(|query| query.get("next").unwrap_or_default());
    context::local_path(&next).unwrap_or_default()
}

#[component]
pub fn SignUpPage() -> impl IntoView {
    let flash = context::take_flash();
    let form = Form::new("sign-up", flash.as_ref());
    let next = next();
    context::expect_cookies();
    view! {
        {link_preview(LinkPreview {
            title: "Sign up".to_owned(),
            text: "Open an account to buy and to sell tickets.".to_owned(),
            path: "/signup".to_owned(),
            image: None,
        })}
        <section class="narrow">
            <h1 class="display">"Sign up"</h1>
            {flash_message(flash.as_ref())}
            <p class="lead">"One account to buy and to sell."</p>
            {post_to::<api::SignUp>("panel stack", view! {
                {problem_at_top(&form)}
                {field(&form, Input {
                    name: "email", label: "E-mail", kind: "email", autocomplete: "email",
                    max: Some(254), ..Input::default()
                })}
                {field(&form, Input {
                    name: "password", label: "Password", kind: "password",
                    autocomplete: "new-password", hint: Some("At least 8 characters.".to_owned()),
                    ..Input::default()
                })}
                {field(&form, Input {
                    name: "name", label: "Name", autocomplete: "name", optional: true, max: Some(80),
                    hint: Some("What sellers and buyers see of you.".to_owned()),
                    ..Input::default()
                })}
                {hidden("next", next.clone())}
                <button class="button" type="submit">"Sign up"</button>
            })}
            <p>"Do you have an account? " <a href=with_next("/signin", &next)>"Sign in"</a></p>
        </section>
    }
}

#[component]
pub fn SignInPage() -> impl IntoView {
    let flash = context::take_flash();
    let form = Form::new("sign-in", flash.as_ref());
    let next = next();
    context::expect_cookies();
    let demo = context::site().ok().and_then(|site| site.demo.clone());
    let demo = demo.map(|demo| demo_accounts(demo.accounts, &next));
    view! {
        {link_preview(LinkPreview {
            title: "Sign in".to_owned(),
            text: "Sign in to buy and sell tickets, and to find those that you have bought.".to_owned(),
            path: "/signin".to_owned(),
            image: None,
        })}
        <section class="narrow">
            <h1 class="display">"Sign in"</h1>
            {flash_message(flash.as_ref())}
            {(!next.is_empty()).then(|| view! { <p class="lead">"After that you continue where you were."</p> })}
            {post_to::<api::BeginSignIn>("panel stack", view! {
                {problem_at_top(&form)}
                {field(&form, Input {
                    name: "email", label: "E-mail", kind: "email", autocomplete: "username",
                    max: Some(254), ..Input::default()
                })}
                {field(&form, Input {
                    name: "password", label: "Password", kind: "password",
                    autocomplete: "current-password", ..Input::default()
                })}
                {hidden("next", next.clone())}
                <button class="button" type="submit">"Sign in"</button>
                <p><a href=with_next("/forgot", &next)>"Forgotten your password?"</a></p>
            })}
            {demo}
            <p>"Are you new here? " <a href=with_next("/signup", &next)>"Sign up"</a></p>
        </section>
    }
}

/// In a demo shop: its accounts, each with a button that signs in.
fn demo_accounts(accounts: Vec<DemoAccount>, next: &str) -> impl IntoView + use<> {
    let accounts = accounts
        .into_iter()
        .map(|account| {
            view! {
                <li class="demo-account">
                    <div>
                        <strong>{account.purpose}</strong>
                        <br/>
                        <span class="quiet">{account.email} " · " {account.password}</span>
                    </div>
                    {post_to::<api::BeginSignIn>("", view! {
                        {hidden("email", account.email)}
                        {hidden("password", account.password)}
                        {hidden("next", next.to_owned())}
                        <button
                            class="button button-quiet button-small"
                            type="submit"
                            aria-label=format!("Use this to {}", account.purpose.to_lowercase())
                        >
                            "Use this"
                        </button>
                    })}
                </li>
            }
        })
        .collect_view();
    view! {
        <section class="panel" aria-labelledby="demo-accounts">
            <h2 class="title" id="demo-accounts">"Demo accounts"</h2>
            <ul class="rows">{accounts}</ul>
        </section>
    }
}
