//! `/forgot`, which requests a reset link, `/reset`, the page of that link, and `/verify`, the page of a
//! verification link.

use super::{api, factor_pages::code, pages::next};
use crate::ui::{
    Form, Input, LinkPreview, field, flash_message, hidden, link_preview, page, post_to,
    problem_at_top, username,
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use model::accounts::{AccountCare, ResetLink, ResetToken, VerificationLink};

/// Requests a reset link.
#[component]
pub fn ForgotPage() -> impl IntoView {
    let flash = context::take_flash();
    let form = Form::new("forgot", flash.as_ref());
    context::expect_cookies();
    let next = next();
    view! {
        {link_preview(LinkPreview {
            title: "Forgotten password".to_owned(),
            text: "Ask for a link that sets a new password.".to_owned(),
            path: "/forgot".to_owned(),
            image: None,
        })}
        <section class="narrow">
            <h1 class="display">"Forgotten your password?"</h1>
            {flash_message(flash.as_ref())}
            <p class="lead">
                "We mail you a link to set a new one. If you bought as a guest and have none, the link "
                "signs you in."
            </p>
            {post_to::<api::RequestReset>("panel stack", view! {
                {problem_at_top(&form)}
                {field(&form, Input {
                    name: "email", label: "E-mail", kind: "email", autocomplete: "username",
                    max: Some(254), hint: Some("The address of your account.".to_owned()),
                    ..Input::default()
                })}
                {hidden("next", next.clone())}
                <button class="button" type="submit">"Mail me a link"</button>
            })}
            <p>"Do you remember it? " <a href=context::with_next("/signin", &next)>"Sign in"</a></p>
        </section>
    }
}

/// The page of a reset link. Loading it does not consume the link, since mail programs load links too.
#[component]
pub fn ResetPage() -> impl IntoView {
    let token = use_query_map().with_untracked(|query| query.get("token").unwrap_or_default());
    page(async move {
        let care = context::port::<dyn AccountCare>()?;
        let flash = context::take_flash();
        let form = Form::new("reset", flash.as_ref());
        let token = ResetToken(token);
        context::expect_cookies();
        let (title, content) = match care.find_reset_link(&token).await? {
            Some(link) if !link.has_password && !link.second_factor => {
                ("Welcome back", guest(&form, token, &link).into_any())
            }
            Some(link) => {
                let content = new_password(&form, token, &link);
                ("Set a new password", content.into_any())
            }
            None => ("Set a new password", invalid_link().into_any()),
        };
        Ok(view! {
            <Title text=title/>
            <section class="narrow">
                <h1 class="display">{title}</h1>
                {flash_message(flash.as_ref())}
                {content}
            </section>
        }
        .into_any())
    })
}

/// The page of a verification link. Loading it does not verify the address, since mail programs load links
/// too.
#[component]
pub fn VerifyPage() -> impl IntoView {
    let token = use_query_map().with_untracked(|query| query.get("token").unwrap_or_default());
    page(async move {
        let care = context::port::<dyn AccountCare>()?;
        let flash = context::take_flash();
        let form = Form::new("verify", flash.as_ref());
        context::expect_cookies();
        let token = ResetToken(token);
        let content = match care.find_verification_link(&token).await? {
            Some(proof) => confirm(&form, &proof, token).into_any(),
            None => view! {
                <div class="panel stack">
                    <p>"This link has been used, or its three days are over."</p>
                    <p><a class="button" href="/account">"See your account"</a></p>
                </div>
            }
            .into_any(),
        };
        Ok(view! {
            <Title text="Confirm your address"/>
            <section class="narrow">
                <h1 class="display">"Confirm your address"</h1>
                {flash_message(flash.as_ref())}
                {content}
            </section>
        }
        .into_any())
    })
}

fn confirm(form: &Form, proof: &VerificationLink, token: ResetToken) -> impl IntoView + use<> {
    let email = proof.email.clone();
    let then = if proof.is_new {
        "It then takes the place of your account's address, and your tickets are mailed to it."
    } else {
        "Confirm it only if you made the account yourself."
    };
    post_to::<api::VerifyEmail>(
        "panel stack",
        view! {
            {problem_at_top(form)}
            {hidden("token", token.0)}
            <p>"Is " <strong>{email}</strong> " your address?"</p>
            <p class="quiet">{then}</p>
            <button class="button" type="submit">"Yes, confirm it"</button>
        },
    )
}

/// A guest can sign in without a password, or set one.
fn guest(form: &Form, token: ResetToken, link: &ResetLink) -> impl IntoView + use<> {
    view! {
        {post_to::<api::SignInByLink>("panel stack", view! {
            {hidden("token", token.0.clone())}
            <p>"You bought as a guest. You can continue without a password: a link like this one signs you in."</p>
            <p><button class="button" type="submit">"Sign in"</button></p>
        })}
        <h2 class="section-title">"Or set a password"</h2>
        {new_password(form, token, link)}
    }
}

fn new_password(form: &Form, token: ResetToken, link: &ResetLink) -> impl IntoView + use<> {
    let code = link.second_factor.then(|| {
        code(
            form,
            "What your authenticator app shows, or a recovery code.",
        )
    });
    post_to::<api::ResetPassword>(
        "panel stack",
        view! {
            {problem_at_top(form)}
            {username(link.email.clone())}
            {hidden("token", token.0)}
            {field(form, Input {
                name: "password", label: "New password", kind: "password",
                autocomplete: "new-password", hint: Some("At least 8 characters.".to_owned()),
                ..Input::default()
            })}
            {code}
            <p class="quiet">"You are then signed in here, and signed out everywhere else."</p>
            <button class="button" type="submit">"Set the password"</button>
        },
    )
}

fn invalid_link() -> impl IntoView {
    view! {
        <div class="panel stack">
            <p>"This link has been used, or its 30 minutes are over. Your password is what it was."</p>
            <p><a class="button" href="/forgot">"Ask for a new link"</a></p>
        </div>
    }
}
