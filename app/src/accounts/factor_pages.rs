//! `/account/second-factor`, which turns the second factor on and off, and `/signin/code`, which asks for a
//! code.

use super::{
    factor_api::{self as api, CODE, DISABLE, ENABLE, NEW_CODES, RECOVERY, RENEW},
    own_pages::day,
    pages::next,
};
use crate::ui::{
    Form, Input, field, flash_message, hidden, page, page_for, post_to, problem_at_top, qr_code,
    username,
};
use context::{self, Flash, with_next};
use leptos::prelude::*;
use leptos_meta::Title;
use model::accounts::{Accounts, PendingSignIn, SecondFactor, SecondFactorState};

/// Asks for the code after a correct password.
#[component]
pub fn CodePage() -> impl IntoView {
    let next = next();
    page(async move {
        let factor = context::port::<dyn SecondFactor>()?;
        let flash = context::take_flash();
        let flash = flash.as_ref();
        let (code, recovery) = (Form::new(CODE, flash), Form::new(RECOVERY, flash));
        let pending = recovery.value("pending", code.value("pending", ""));
        let email = factor
            .find_pending_sign_in(&PendingSignIn(pending.clone()))
            .await?;
        let Some(email) = email else {
            // Reloaded or expired: start again with the password.
            context::redirect(&with_next("/signin", &next));
            return Ok(().into_any());
        };
        let lost = recovery.was_refused();
        let app = post_to::<api::FinishSignIn>(
            "panel stack",
            view! {
                {problem_at_top(&code)}
                {username(email.clone())}
                {hidden("pending", pending.clone())}
                {hidden("next", next.clone())}
                {field(&code, Input {
                    name: "code", label: "Code", autocomplete: "one-time-code", inputmode: "numeric",
                    max: Some(64),
                    hint: Some("The six digits that your authenticator app shows.".to_owned()),
                    ..Input::default()
                })}
                <button class="button" type="submit">"Sign in"</button>
            },
        );
        let instead = post_to::<api::FinishSignIn>(
            "stack",
            view! {
                {problem_at_top(&recovery)}
                {username(email)}
                {hidden("pending", pending)}
                {hidden("next", next.clone())}
                {hidden("recovery", "true")}
                {field(&recovery, Input {
                    name: "code", label: "Recovery code", autocomplete: "off", max: Some(64),
                    hint: Some("One that you have not used yet. It works once.".to_owned()),
                    ..Input::default()
                })}
                <button class="button button-quiet" type="submit">"Sign in with it"</button>
            },
        );
        Ok(view! {
            <Title text="Enter your code"/>
            <section class="narrow">
                <h1 class="display">"Enter your code"</h1>
                {flash_message(flash)}
                {app}
                <details class="panel" open=lost>
                    <summary>"You don't have your app at hand?"</summary>
                    {instead}
                    <p class="quiet">"You have no recovery code either? Write to the shop: see " <a href="/help">"Help"</a> "."</p>
                </details>
                <p><a href=with_next("/signin", &next)>"Sign in with another account"</a></p>
            </section>
        }
        .into_any())
    })
}

/// Turns the second factor on and off.
#[component]
pub fn SecondFactorPage() -> impl IntoView {
    let next = next();
    page_for(|viewer| async move {
        let (factor, accounts) = (
            context::port::<dyn SecondFactor>()?,
            context::port::<dyn Accounts>()?,
        );
        let flash = context::take_flash();
        let flash = flash.as_ref();
        let state = factor.get_second_factor(&viewer).await?;
        let email = viewer.user.email.clone();
        let content = if state.enabled_at.is_some() {
            enabled_section(&state, &email, flash, &next)
        } else if accounts.has_password(&viewer).await? {
            let form = Form::new(ENABLE, flash);
            let existing = Some(form.value("setup", "")).filter(|setup| !setup.is_empty());
            let (setup, qr) = factor.begin_second_factor_setup(&viewer, existing).await?;
            let code = qr_code(&qr, "QR code for your authenticator app".to_owned());
            view! {
                <div class="panel stack">
                    <h2 class="title">"1. Set up an app"</h2>
                    <p>
                        "Scan this with an authenticator app on your phone, such as Aegis, 2FAS, Google "
                        "Authenticator or your password manager."
                    </p>
                    {code}
                    <p>"Reading this on the phone? " <a href=setup.uri>"Open it in the app"</a> ", or type this key:"</p>
                    <p><code class="key">{in_groups(&setup.secret)}</code></p>
                </div>
                {enable_form(&form, email, setup.setup, &next)}
            }
            .into_any()
        } else {
            view! {
                <div class="panel stack">
                    <p>"You bought as a guest and have no password yet. Two-step sign-in needs one, so set a password first."</p>
                    <p><a class="button" href="/account#new-password">"Set a password"</a></p>
                </div>
            }
            .into_any()
        };
        Ok(view! {
            <Title text="Two-step sign-in"/>
            <section class="narrow">
                <h1 class="display">"Two-step sign-in"</h1>
                {flash_message(flash)}
                {(state.required && state.enabled_at.is_none()).then(|| view! {
                    <p class="notice">
                        "Operators must use two-step sign-in. Until you set it up, you cannot use operator "
                        "functions."
                    </p>
                })}
                <p class="lead">
                    "You sign in with your password and a code from your phone. Someone who finds out your "
                    "password still cannot sign in."
                </p>
                {content}
                <p><a href="/account">"Back to your account"</a></p>
            </section>
        }
        .into_any())
    })
}

fn enable_form(form: &Form, email: String, setup: String, next: &str) -> impl IntoView + use<> {
    post_to::<api::EnableSecondFactor>(
        "panel stack",
        view! {
            <h2 class="title">"2. Turn it on"</h2>
            {problem_at_top(form)}
            {username(email)}
            {hidden("setup", setup)}
            {hidden("next", next.to_owned())}
            {password(form)}
            {code(form, "The six digits that the app shows now.")}
            <p class="quiet">"You stay signed in here, and are signed out everywhere else."</p>
            <button class="button" type="submit">"Turn it on"</button>
        },
    )
}

fn enabled_section(
    state: &SecondFactorState,
    email: &str,
    flash: Option<&Flash>,
    next: &str,
) -> AnyView {
    let codes = flash.filter(|flash| flash.form == NEW_CODES);
    let codes = codes.map(|flash| new_codes(flash, next));
    let (renew, disable) = (Form::new(RENEW, flash), Form::new(DISABLE, flash));
    let hint = "What your app shows, or a recovery code.";
    let since = state.enabled_at.map(day);
    let left = codes_left(state.recovery_codes_left);
    view! {
        {codes}
        <div class="panel stack">
            <p><span class="badge badge-good">"On"</span> " since " {since} ". " {left}</p>
        </div>
        {post_to::<api::RenewRecoveryCodes>("panel stack", view! {
            <h2 class="title">"New recovery codes"</h2>
            {problem_at_top(&renew)}
            {username(email.to_owned())}
            {password(&renew)}
            {code(&renew, hint)}
            <p class="quiet">"Your current recovery codes will stop working."</p>
            <button class="button button-quiet" type="submit">"Make new codes"</button>
        })}
        {post_to::<api::DisableSecondFactor>("panel stack", view! {
            <h2 class="title">"Turn it off"</h2>
            {problem_at_top(&disable)}
            {username(email.to_owned())}
            {password(&disable)}
            {code(&disable, hint)}
            {state.required.then(|| view! {
                <p class="notice">"You cannot use operator functions until you set it up again."</p>
            })}
            <button class="button button-quiet" type="submit">"Turn it off"</button>
        })}
    }
    .into_any()
}

pub(super) fn codes_left(count: i64) -> String {
    match count {
        0 => "You have no recovery codes left.".to_owned(),
        1 => "You have 1 recovery code left.".to_owned(),
        many => format!("You have {many} recovery codes left."),
    }
}

/// The new recovery codes, shown once.
fn new_codes(flash: &Flash, next: &str) -> AnyView {
    let codes = flash
        .values
        .iter()
        .map(|(_, code)| view! { <li><code class="key">{code.clone()}</code></li> })
        .collect_view();
    let go_on = (!next.is_empty()).then(|| {
        let to = next.to_owned();
        view! { <p><a class="button" href=to>"I have saved the codes. Continue"</a></p> }
    });
    view! {
        <section class="panel stack" aria-labelledby="codes">
            <h2 class="title" id="codes">"Your recovery codes"</h2>
            <p>
                "Store these codes where you can reach them without your phone, on paper or in a password "
                "manager. Each works once instead of a code from the app. They will not be shown again."
            </p>
            <ul class="codes">{codes}</ul>
            {go_on}
        </section>
    }
    .into_any()
}

fn password(form: &Form) -> AnyView {
    let input = Input {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "current-password",
        ..Input::default()
    };
    field(form, input)
}

pub(super) fn code(form: &Form, hint: &str) -> AnyView {
    let input = Input {
        name: "code",
        label: "Code",
        autocomplete: "one-time-code",
        max: Some(64),
        hint: Some(hint.to_owned()),
        ..Input::default()
    };
    field(form, input)
}

/// A key in groups of four characters, for reading.
fn in_groups(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(String::from_iter).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::in_groups;

    #[test]
    fn a_key_is_read_in_groups() {
        assert_eq!(in_groups("ABCDEFGHIJ"), "ABCD EFGH IJ");
    }
}
