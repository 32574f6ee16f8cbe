//! `/events/:id/edit`, for the event's creator: its picture and its details.

use super::Facts;
use super::{
    FIELDS,
    api::{FACTS_FORM, Update},
    event_fields, find_own, is_unchanged,
    picture_form::{After, picture_panel},
};
use crate::ui::{Form, flash_message, hidden, page_for, post_to, problem_at_top};
use context::{self, Flash};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;
use model::events::{Category, Event};

/// Characters shown of a text that was changed concurrently.
const EXCERPT_CHARS: usize = 120;

#[component]
pub fn EditEventPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id").unwrap_or_default());
    page_for(|viewer| async move {
        let event = find_own(&viewer, &id).await?;
        let flash = context::take_flash();
        let over = event.span().is_over(context::now());
        let title = format!("Edit: {}", event.title);
        let gone = if event.ends_at.is_some() {
            "This event is over."
        } else {
            "This event has begun."
        };
        let facts = if over {
            view! {
                <p class="notice">{gone} " Its details can no longer be changed."</p>
            }
            .into_any()
        } else {
            facts(&event, flash.clone())
        };
        let back = format!("/events/{}", event.id);
        Ok(view! {
            <Title text=title/>
            <section class="narrow">
                <div class="sale-head">
                    <h1 class="display">"Edit your event"</h1>
                    <p><a dir="auto" href=back>{event.title.clone()}</a></p>
                </div>
                {flash_message(flash.as_ref())}
                {picture_panel(&event, over, After::Edit, flash.as_ref())}
                {facts}
            </section>
        }
        .into_any())
    })
}

fn facts(event: &Event, flash: Option<Flash>) -> AnyView {
    let now = Facts::of(event);
    let mut flash = flash.filter(|flash| flash.form == FACTS_FORM);
    let changes = flash
        .as_mut()
        .filter(|flash| typed(flash, "version") != Some(&event.version.to_string()))
        .map(|flash| merge_concurrent_changes(flash, &now));
    let form = Form::new(FACTS_FORM, flash.as_ref()).labelled(&FIELDS);
    view! {
        {post_to::<Update>("panel stack", view! {
            <h2 class="title" id="facts">"Details"</h2>
            {problem_at_top(&form)}
            {changes.map(concurrent_changes)}
            {hidden("event", event.id.to_string())}
            {hidden("version", event.version.to_string())}
            {hidden("marks", now.marks())}
            {event_fields(&form, &now, None)}
            <p class="quiet">
                "If you change the title, the time or the place, everybody who has bought a ticket gets a "
                "mail about it, a few minutes after your last change."
            </p>
            <button class="button" type="submit">"Save the changes"</button>
        })}
    }
    .into_any()
}

fn typed<'f>(flash: &'f Flash, field: &str) -> Option<&'f String> {
    let mut values = flash.values.iter();
    values.find_map(|(name, value)| (name == field).then_some(value))
}

/// Returns the fields that were changed since the form was shown, with their current values. Fields that
/// the user did not edit take the current value.
fn merge_concurrent_changes(flash: &mut Flash, now: &Facts) -> Vec<(&'static str, String)> {
    let marks = typed(flash, "marks").cloned().unwrap_or_default();
    let mut changes = Vec::new();
    for (name, label, text) in now.each() {
        if is_unchanged(&marks, name, text) {
            continue;
        }
        changes.push((label, excerpt(name, text)));
        let mut values = flash.values.iter_mut();
        let typed = values.find(|(known, _)| known == name);
        if let Some((_, value)) = typed.filter(|(_, value)| is_unchanged(&marks, name, value)) {
            text.clone_into(value);
        }
    }
    changes
}

fn excerpt(name: &str, text: &str) -> String {
    if name == "category" {
        let kind: Category = text.parse().unwrap_or_default();
        return kind.label().to_owned();
    }
    let mut short: String = text.chars().take(EXCERPT_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn concurrent_changes(changes: Vec<(&'static str, String)>) -> AnyView {
    if changes.is_empty() {
        return view! {
            <p class="notice">"Only the picture was changed in the meantime. Save again to keep your changes."</p>
        }
        .into_any();
    }
    let changes = changes
        .into_iter()
        .map(|(label, text)| view! { <li>{label} ": " <strong>{text}</strong></li> })
        .collect_view();
    view! {
        <div class="notice stack" id="meanwhile">
            <p>"Since you opened this form, this was saved:"</p>
            <ul class="bullets">{changes}</ul>
            <p>"What you have typed is still here. Save again to put it in place of that."</p>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::EventId;
    use uuid::Uuid;

    fn event(title: &str, city: &str) -> Event {
        Event {
            id: EventId(Uuid::from_u128(7)),
            title: title.to_owned(),
            category: Category::Music,
            description: "One\nTwo".to_owned(),
            venue: "Old Hall".to_owned(),
            city: city.to_owned(),
            country: "GB".to_owned(),
            starts_at: "2031-05-01T19:30:00Z".parse().unwrap(),
            ends_at: None,
            sales_until: None,
            time_zone: "Europe/London".to_owned(),
            currency: "GBP".parse().unwrap(),
            tickets_available: 0,
            price_from_minor: None,
            picture: None,
            version: 1,
        }
    }

    /// A form that was shown when the event was `before`, with these fields changed.
    fn sent(before: &Event, changed: &[(&str, &str)]) -> Flash {
        let facts = Facts::of(before);
        let typed: Vec<_> = facts
            .each()
            .map(|(name, _, text)| {
                let new = changed.iter().find(|(known, _)| *known == name);
                // Browsers send CRLF.
                let text = new.map_or(text, |(_, new)| new).replace('\n', "\r\n");
                (name.to_owned(), text)
            })
            .collect();
        let marks = ("marks".to_owned(), facts.marks());
        Flash {
            form: FACTS_FORM.to_owned(),
            values: typed.into_iter().chain([marks]).collect(),
            ..Flash::default()
        }
    }

    #[test]
    fn concurrent_changes_are_shown_and_taken_over_in_unedited_fields() {
        let before = event("Late Show", "Leeds");
        let mut flash = sent(&before, &[("title", "Later Show"), ("venue", "New Hall")]);
        let now = Facts::of(&event("Early Show", "York"));
        let changes = merge_concurrent_changes(&mut flash, &now);
        assert_eq!(
            changes,
            [
                ("Title", "Early Show".to_owned()),
                ("City", "York".to_owned())
            ]
        );
        for (field, says) in [
            ("title", "Later Show"),
            ("venue", "New Hall"),
            ("city", "York"),
            ("description", "One\r\nTwo"),
        ] {
            assert_eq!(typed(&flash, field).unwrap(), says);
        }
    }

    #[test]
    fn a_form_without_marks_shows_all_fields_as_changed_and_loses_nothing() {
        let before = event("Late Show", "Leeds");
        let mut flash = sent(&before, &[("title", "Later Show")]);
        flash.values.retain(|(name, _)| name != "marks");
        let now = Facts::of(&before);
        assert!(!merge_concurrent_changes(&mut flash, &now).is_empty());
        assert_eq!(typed(&flash, "title").unwrap(), "Later Show");
    }

    #[test]
    fn a_long_text_is_shown_as_an_excerpt() {
        let long = "é".repeat(121);
        assert_eq!(excerpt("description", &long).chars().count(), 121);
        assert!(excerpt("description", &long).ends_with('…'));
        assert_eq!(excerpt("category", "music"), "Music");
    }
}
