//! `/account` and `/account/delete`.

use super::{api, factor_api, factor_pages::codes_left};
use crate::ui::{
    Form, Input, field, flash_message, hidden, page_for, post_to, problem_at_top, username,
};
use context::{self, Flash};
use jiff::{Timestamp, tz::TimeZone};
use leptos::prelude::*;
use leptos_meta::Title;
use model::{
    accounts::{AccountCare, Accounts, SecondFactor, SecondFactorState, SignedInAt, User},
    passes::Passes,
    tickets::{OwnedTicket, Tickets},
};

/// With fewer recovery codes, the account page warns.
const FEW_CODES: i64 = 3;

/// The viewer's account.
#[component]
pub fn AccountPage() -> impl IntoView {
    page_for(|viewer| async move {
        let (accounts, care) = (
            context::port::<dyn Accounts>()?,
            context::port::<dyn AccountCare>()?,
        );
        let (flash, now) = (context::take_flash(), context::now());
        let all_sessions = care.list_sessions(&viewer).await?;
        let has_password = accounts.has_password(&viewer).await?;
        let factor = context::port::<dyn SecondFactor>()?
            .get_second_factor(&viewer)
            .await?;
        let is_operator = care.is_operator(&viewer).await?;
        let flash = flash.as_ref();
        Ok(view! {
            <Title text="Account"/>
            <section class="narrow">
                <h1 class="display">"Account"</h1>
                {flash_message(flash)}
                <p class="row">
                    <a href="/tickets">"Your tickets"</a>
                    <a href="/orders">"Your orders"</a>
                    <a href="/selling">"What you sell"</a>
                </p>
                {profile(&viewer.user, flash)}
                {address(&viewer.user, has_password, flash)}
                {password(&viewer.user, has_password, flash)}
                {second_factor(&factor)}
                {sessions(all_sessions, now, flash)}
                {is_operator.then(|| for_operators(flash))}
                {data_and_deletion()}
            </section>
        }
        .into_any())
    })
}

fn profile(user: &User, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("rename", flash);
    let name = user.name.clone();
    view! {
        <section class="panel stack" aria-labelledby="profile">
            <h2 class="title" id="profile">"Profile"</h2>
            {post_to::<api::Rename>("stack", view! {
                {problem_at_top(&form)}
                {field(&form, Input {
                    name: "name", label: "Name", value: name, max: Some(80), autocomplete: "name",
                    hint: Some("What sellers and buyers see of you.".to_owned()),
                    ..Input::default()
                })}
                <button class="button" type="submit">"Save"</button>
            })}
        </section>
    }
    .into_any()
}

/// The address, whether it is verified, and the form to change it.
fn address(user: &User, has_password: bool, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("address", flash);
    let (email, own) = (user.email.clone(), user.email.clone());
    let confirm = (!user.email_verified).then(|| {
        post_to::<api::SendVerificationLink>(
            "stack",
            view! {
                <p>
                    "Not confirmed yet. Follow the link that we mail to it: until then you get few mails,                      and have to confirm each waiting list by mail."
                </p>
                <button class="button button-quiet" type="submit">"Mail me the link"</button>
            },
        )
    });
    view! {
        <section class="panel stack" aria-labelledby="address">
            <h2 class="title" id="address">"E-mail"</h2>
            <p>
                <strong>{email}</strong>
                {user.email_verified.then(|| view! { " " <span class="badge badge-good">"Confirmed"</span> })}
            </p>
            {confirm}
            {post_to::<api::ChangeEmail>("stack", view! {
                {problem_at_top(&form)}
                {field(&form, Input {
                    name: "email", label: "Another address", kind: "email", autocomplete: "email",
                    max: Some(254),
                    hint: Some("We send a link to the new address. It becomes your address when you open the link.".to_owned()),
                    ..Input::default()
                })}
                {has_password.then(|| view! {
                    {username(own)}
                    {field(&form, Input {
                        name: "password", label: "Password", kind: "password",
                        autocomplete: "current-password", ..Input::default()
                    })}
                })}
                <button class="button button-quiet" type="submit">"Change the address"</button>
            })}
        </section>
    }
    .into_any()
}

fn password(user: &User, has_one: bool, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("password", flash);
    let email = user.email.clone();
    let title = if has_one {
        "Change the password"
    } else {
        "Set a password"
    };
    view! {
        <section class="panel stack" aria-labelledby="new-password">
            <h2 class="title" id="new-password">{title}</h2>
            {(!has_one).then(|| view! {
                <p>
                    "You bought as a guest. With a password you can sign in anywhere; without one, a "
                    "mailed link signs you in."
                </p>
            })}
            {post_to::<api::ChangePassword>("stack", view! {
                {problem_at_top(&form)}
                {username(email)}
                {has_one.then(|| field(&form, Input {
                    name: "current_password", label: "Current password", kind: "password",
                    autocomplete: "current-password", ..Input::default()
                }))}
                {field(&form, Input {
                    name: "new_password", label: "New password", kind: "password",
                    autocomplete: "new-password",
                    hint: Some("At least 8 characters.".to_owned()),
                    ..Input::default()
                })}
                <p class="quiet">"You stay signed in here, and are signed out everywhere else."</p>
                <button class="button" type="submit">{title}</button>
            })}
            {has_one.then(|| view! { <p><a href="/forgot">"Forgotten the current one?"</a></p> })}
        </section>
    }
    .into_any()
}

fn second_factor(state: &SecondFactorState) -> AnyView {
    let (badge, label) = match state.enabled_at {
        Some(_) => ("On", "Recovery codes, or turn it off…"),
        None => ("Off", "Set it up…"),
    };
    let is_on = state.enabled_at.is_some();
    let few = is_on && state.recovery_codes_left < FEW_CODES;
    let left = state.recovery_codes_left;
    view! {
        <section class="panel stack" aria-labelledby="second-factor">
            <h2 class="title" id="second-factor">"Two-step sign-in"</h2>
            <p>
                <span class="badge" class:badge-good=is_on>{badge}</span>
                " You sign in with your password and a code from your phone."
            </p>
            {few.then(|| view! {
                <p class="notice">{codes_left(left)} " Make new ones."</p>
            })}
            {(state.required && !is_on).then(|| view! {
                <p class="notice">"Operators must turn this on. Until then you cannot use operator functions."</p>
            })}
            <p><a class="button button-quiet" href="/account/second-factor">{label}</a></p>
        </section>
    }
    .into_any()
}

fn for_operators(flash: Option<&Flash>) -> AnyView {
    let form = Form::new("operator", flash);
    view! {
        <section class="panel stack" aria-labelledby="operator">
            <h2 class="title" id="operator">"End all sessions of an account"</h2>
            <p>"You are an operator. If an account is in the wrong hands, end all of its sessions here; its password stays."</p>
            {post_to::<factor_api::EndSessionsOf>("stack", view! {
                {problem_at_top(&form)}
                {field(&form, Input {
                    name: "email", label: "E-mail of the account", kind: "email", autocomplete: "off",
                    max: Some(254), ..Input::default()
                })}
                <button class="button button-quiet" type="submit">"Sign them out everywhere"</button>
            })}
        </section>
    }
    .into_any()
}

fn sessions(sessions: Vec<SignedInAt>, now: Timestamp, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("sessions", flash);
    let others = sessions.iter().any(|session| !session.current);
    let rows = sessions
        .into_iter()
        .map(|signed_in| session(signed_in, now))
        .collect_view();
    view! {
        <section class="panel stack" aria-labelledby="sessions">
            <h2 class="title" id="sessions">"Where you are signed in"</h2>
            {problem_at_top(&form)}
            <ul class="rows">{rows}</ul>
            <div class="row">
                {others.then(|| post_to::<api::EndOtherSessions>("", view! {
                    <button class="button button-quiet" type="submit">"Sign out everywhere else"</button>
                }))}
                {post_to::<api::SignOut>("", view! {
                    <button class="button button-quiet" type="submit">"Sign out"</button>
                })}
            </div>
        </section>
    }
    .into_any()
}

fn session(session: SignedInAt, now: Timestamp) -> impl IntoView {
    let used = if session.current {
        "in use now".to_owned()
    } else {
        session.seen_at.map_or_else(
            || "not used lately".to_owned(),
            |seen| format!("last used {}", ago(seen, now)),
        )
    };
    let since = session
        .begun_at
        .map(|begun| format!(", signed in on {}", day(begun)));
    let network = session.network.map(|network| format!(", from {network}"));
    let (device, current) = (session.device, session.current);
    let label = format!("Sign out on {device}");
    view! {
        <li class="session">
            <div>
                <strong>{device}</strong>
                {current.then(|| view! { " " <span class="badge badge-good">"This browser"</span> })}
                <br/>
                <span class="quiet">{used} {network} {since}</span>
            </div>
            {(!current).then(|| post_to::<api::EndSession>("", view! {
                {hidden("session_id", session.id.to_string())}
                <button class="button button-quiet button-small" type="submit" aria-label=label>
                    "Sign out"
                </button>
            }))}
        </li>
    }
}

/// How long ago, in whole hours: the precision with which the use of sessions is recorded.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let hours = (now.as_second() - then.as_second()) / 3600;
    match hours {
        ..1 => "in the last hour".to_owned(),
        1 => "an hour ago".to_owned(),
        2..24 => format!("{hours} hours ago"),
        24..48 => "a day ago".to_owned(),
        _ => format!("{} days ago", hours / 24),
    }
}

/// A day in UTC.
pub(super) fn day(moment: Timestamp) -> String {
    let local = moment.to_zoned(TimeZone::UTC);
    local.strftime("%-d %b %Y").to_string()
}

fn data_and_deletion() -> impl IntoView {
    view! {
        <section class="panel stack" aria-labelledby="data">
            <h2 class="title" id="data">"Your data"</h2>
            <p>"Your profile, sign-ins, orders, listings and refunds, as a file that programs can read."</p>
            <p><a class="button button-quiet" href="/account/data.json" download="stagedoor-data.json">"Download your data"</a></p>
        </section>
        <section class="panel stack" aria-labelledby="end">
            <h2 class="title" id="end">"Delete the account"</h2>
            <p>"Your name and address are removed for good, and what you have for sale is withdrawn."</p>
            <p><a class="button button-quiet" href="/account/delete">"Delete the account…"</a></p>
        </section>
    }
}

/// What is deleted with the account, and the form to prove the user's identity and delete it.
#[component]
pub fn LeavePage() -> impl IntoView {
    page_for(|viewer| async move {
        let accounts = context::port::<dyn Accounts>()?;
        let (tickets, passes) = (
            context::port::<dyn Tickets>()?,
            context::port::<dyn Passes>()?,
        );
        let flash = context::take_flash();
        let form = Form::new("delete", flash.as_ref());
        let has_password = accounts.has_password(&viewer).await?;
        let proved = has_password || accounts.signed_in_recently().await?;
        let passes = passes.list_for_buyer(&viewer).await?;
        let mut coming = tickets.list_bought(&viewer).await?;
        coming.retain(|owned| passes.iter().any(|pass| pass.ticket == owned.ticket.id));
        let email = viewer.user.email;
        let form = if proved {
            delete_form(&form, email, has_password).into_any()
        } else {
            identity_form(email).into_any()
        };
        Ok(view! {
            <Title text="Delete the account"/>
            <section class="narrow">
                <h1 class="display">"Delete the account"</h1>
                {inaccessible_tickets(&coming)}
                <div class="panel stack">
                    {deleted_data()}
                    {form}
                </div>
            </section>
        }
        .into_any())
    })
}

/// Tickets for upcoming events, which cannot be opened here after deletion.
fn inaccessible_tickets(coming: &[OwnedTicket]) -> Option<AnyView> {
    let count = match coming.len() {
        0 => return None,
        1 => "1 ticket".to_owned(),
        many => format!("{many} tickets"),
    };
    let lines = coming
        .iter()
        .map(|owned| {
            let (title, when) = (owned.event_title.clone(), owned.event_when.clone());
            view! { <li><bdi>{title}</bdi> ", " {when}</li> }
        })
        .collect_view();
    let view = view! {
        <div class="notice" role="alert">
            <strong>"You have " {count} " for events to come."</strong>
            " Without the account you can't open them here any more. Download or print them first."
            <ul class="bullets">{lines}</ul>
            <p><a href="/tickets">"See your tickets"</a></p>
        </div>
    };
    Some(view.into_any())
}

fn deleted_data() -> impl IntoView {
    view! {
        <ul class="bullets">
            <li>"Your name, address and password are removed, and you are signed out everywhere."</li>
            <li>"What you have for sale is withdrawn."</li>
            <li>"Tickets that you bought go with the account: you can't open them here any more."</li>
            <li>"Events that you created stay, with their pictures. Remove a picture first if it should go."</li>
            <li>"Orders and payments stay in the books, without your name: others see a former member."</li>
            <li>"You can sign up with the same address again."</li>
        </ul>
        <p>
            "You may want to "
            <a href="/account/data.json" download="stagedoor-data.json">"download your data"</a>
            " first. This cannot be undone."
        </p>
    }
}

fn delete_form(form: &Form, email: String, has_password: bool) -> impl IntoView + use<> {
    post_to::<api::DeleteAccount>(
        "stack",
        view! {
            {problem_at_top(form)}
            {username(email)}
            {has_password.then(|| field(form, Input {
                name: "password", label: "Password", kind: "password",
                autocomplete: "current-password",
                hint: Some("To be sure that it is you.".to_owned()),
                ..Input::default()
            }))}
            <div class="row">
                <button class="button" type="submit">"Delete my account for good"</button>
                <a class="button button-quiet" href="/account">"Back, keep my account"</a>
            </div>
        },
    )
}

/// A user without a password proves their identity by a mailed link that leads back here.
fn identity_form(email: String) -> impl IntoView + use<> {
    post_to::<api::RequestReset>(
        "stack",
        view! {
            <p>
                "To be sure that it is you, we mail a link to " <strong>{email.clone()}</strong>
                ". It leads back to this page."
            </p>
            {hidden("email", email)}
            {hidden("next", "/account/delete")}
            <div class="row">
                <button class="button" type="submit">"Mail me the link"</button>
                <a class="button button-quiet" href="/account">"Back, keep my account"</a>
            </div>
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{ago, day};
    use jiff::Timestamp;

    #[test]
    fn durations_are_written_in_words() {
        let now: Timestamp = "2031-05-03T12:00:00Z".parse().unwrap();
        for (hours, words) in [
            (0, "in the last hour"),
            (1, "an hour ago"),
            (23, "23 hours ago"),
            (30, "a day ago"),
            (50, "2 days ago"),
        ] {
            let then = Timestamp::from_second(now.as_second() - hours * 3600).unwrap();
            assert_eq!(ago(then, now), words);
        }
        assert_eq!(day(now), "3 May 2031");
    }
}
