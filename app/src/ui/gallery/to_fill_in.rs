//! The gallery's buttons, fields and filters. The fields are outside of any form, so nothing can be sent.

use super::part;
use crate::ui::{Choice, Form, Icon, Input, area, choose, field, icon, problem_at_top};
use context::Flash;
use leptos::prelude::*;
use model::error::FieldError;

/// Every kind of button, also disabled.
pub fn buttons() -> AnyView {
    let kinds = view! {
        <p class="row">
            <button class="button" type="button">"Reserve"</button>
            <button class="button button-quiet" type="button">"Cancel"</button>
            <button class="button button-small" type="button">"Small"</button>
            <button class="button button-quiet button-small" type="button">"Small and quiet"</button>
            <a class="button" href="#buttons">"A link"</a>
        </p>
        <p class="row">
            <button class="button" type="button" disabled=true>"Disabled"</button>
            <button class="button button-quiet" type="button" disabled=true>"Disabled"</button>
            <button class="button" type="button" disabled=true aria-busy="true">"Paying…"</button>
            <span class="spinner" aria-hidden="true"></span>
        </p>
        <p class="narrow-column">
            <button class="button button-wide" type="button">"As wide as its box"</button>
        </p>
    };
    part("buttons", "Buttons", kinds.into_any())
}

/// Every kind of field.
pub fn fields() -> AnyView {
    let form = Form::new("plain", None);
    let choices = ["General admission", "Stalls", "Upper circle"];
    let fields = view! {
        <div class="panel stack">
            <div class="columns">
                {field(&form, Input {
                    name: "title",
                    label: "Plain",
                    value: "The Lamplighter".to_owned(),
                    ..Input::default()
                })}
                {field(&form, Input {
                    name: "price",
                    label: "With a hint",
                    hint: Some("In pounds, such as 25 or 25.50".to_owned()),
                    inputmode: "decimal",
                    ..Input::default()
                })}
                {field(&form, Input {
                    name: "section",
                    label: "May be empty",
                    optional: true,
                    ..Input::default()
                })}
            </div>
            <div class="columns">
                {field(&form, Input {
                    name: "password",
                    label: "Password",
                    kind: "password",
                    autocomplete: "off",
                    ..Input::default()
                })}
                {choose(
                    &form,
                    Input { name: "place", label: "Select", ..Input::default() },
                    choices.map(|name| Choice::new(name, name)).to_vec(),
                )}
            </div>
            {area(&form, Input {
                name: "about",
                label: "Several lines",
                value: "A man lights the lamps of a street that nobody walks.".to_owned(),
                optional: true,
                ..Input::default()
            })}
        </div>
    };
    part("fields", "Fields", fields.into_any())
}

/// A refused form.
pub fn refused() -> AnyView {
    let flash = Flash {
        form: "refused".to_owned(),
        message: "Nothing was saved.".to_owned(),
        fields: vec![
            FieldError::new("email", "Enter an address such as ann@example.com."),
            FieldError::new("country", "Choose one of the list."),
        ],
        values: vec![("email".to_owned(), "ann at example".to_owned())],
        ..Flash::default()
    };
    let form = Form::new("refused", Some(&flash));
    let fields = view! {
        <div class="panel stack narrow-column">
            // Inert, because the box would otherwise take the focus and scroll the page here.
            <div inert=true>{problem_at_top(&form)}</div>
            {field(&form, Input {
                name: "email",
                label: "E-mail",
                hint: Some("Your tickets are sent there.".to_owned()),
                autocomplete: "off",
                ..Input::default()
            })}
            {choose(
                &form,
                Input { name: "country", label: "Country", ..Input::default() },
                vec![Choice::new("", "Choose")],
            )}
            <p><button class="button" type="button">"Save"</button></p>
        </div>
    };
    part("refused", "A form that was refused", fields.into_any())
}

/// Filters and search.
pub fn chips() -> AnyView {
    let chips = view! {
        <p class="chips">
            <a class="chip" href="#chips" aria-current="true">"Any day"</a>
            <a class="chip" href="#chips">"Today"</a>
            <a class="chip" href="#chips">"This weekend"</a>
            <a class="chip" href="#chips">"Leeds " <span class="chip-count">"12"</span></a>
            <a class="chip" href="#chips">"York " <span class="chip-count">"7"</span></a>
        </p>
        <div class="search">
            {icon(Icon::Search)}
            <input class="search-input" type="search" placeholder="Event, venue or city" aria-label="Search"/>
        </div>
    };
    part("chips", "Chips and search", chips.into_any())
}
