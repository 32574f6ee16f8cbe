//! Island: the search field of the home page. While the visitor types, it fetches the page that the form would
//! load, and shows that page's results. The URL is updated, so that Back, reloading and sharing work. Without
//! JavaScript the form's button searches.

use crate::typed::already_typed;
use leptos::prelude::*;

/// The delay after the last key before results are fetched.
const DEBOUNCE: std::time::Duration = std::time::Duration::from_millis(200);

/// The field, and an announcement of the results for screen readers.
#[island]
pub fn SearchField(
    /// The current search text.
    q: String,
) -> impl IntoView {
    let (heard, set_heard) = signal(String::new());
    let turn = StoredValue::new(0_u32);
    let search = move |q: String| {
        turn.update_value(|turn| *turn += 1);
        let mine = turn.get_value();
        let last = move || turn.try_get_value() == Some(mine);
        set_timeout(
            move || {
                if last() {
                    leptos::task::spawn_local(async move {
                        if let Some(words) = show_results(&q, last).await {
                            set_heard.set(words);
                        }
                    });
                }
            },
            DEBOUNCE,
        );
    };
    let field = NodeRef::<leptos::html::Input>::new();
    Effect::new(move || {
        let around = field.get().and_then(|field| field.parent_element());
        if let Some(q) = around.and_then(|around| already_typed(&around)) {
            search(q);
        }
    });
    // The form navigates: ignore results that are still being fetched.
    let sent = move |event: leptos::ev::KeyboardEvent| {
        if event.key() == "Enter" {
            turn.update_value(|turn| *turn += 1);
        }
    };
    view! {
        <input
            node_ref=field
            class="search-input"
            type="search"
            name="q"
            value=q
            maxlength="100"
            autocomplete="off"
            placeholder="Event, venue or city"
            aria-label="Search events"
            on:input=move |event| search(event_target_value(&event))
            on:keydown=sent
        />
        <p class="sr-only" aria-live="polite">{move || heard.get()}</p>
    }
}

/// Fetches and shows the results of `q`. Returns the announcement; `None` if a newer search has begun.
#[cfg(target_arch = "wasm32")]
async fn show_results(q: &str, last: impl Fn() -> bool) -> Option<String> {
    let results = document().get_element_by_id("results")?;
    let _ = results.set_attribute("aria-busy", "true");
    let address = address(q);
    let found = crate::location::fetch_page(&address).await;
    if !last() {
        return None;
    }
    let shown = found.ok().and_then(|page| {
        let fresh = page.get_element_by_id("results")?;
        let words = page.get_element_by_id("how-many")?.text_content()?;
        results.replace_with_with_node_1(&fresh).ok()?;
        document().set_title(&page.title());
        let history = window().history().ok()?;
        let nothing = wasm_bindgen::JsValue::NULL;
        history
            .replace_state_with_url(&nothing, "", Some(&address))
            .ok()?;
        Some(words)
    });
    let _ = results.remove_attribute("aria-busy");
    Some(shown.unwrap_or_else(|| "The search did not answer. Press Enter to try again.".to_owned()))
}

/// The path of the first page of results of `q`, with the current filters.
#[cfg(target_arch = "wasm32")]
fn address(q: &str) -> String {
    let filters = window().location().search().unwrap_or_default();
    let Ok(filters) = web_sys::UrlSearchParams::new_with_str(&filters) else {
        return "/".to_owned();
    };
    filters.delete("cursor");
    filters.delete("q");
    if !q.trim().is_empty() {
        filters.set("q", q);
    }
    match String::from(filters.to_string()) {
        filters if filters.is_empty() => "/".to_owned(),
        filters => format!("/?{filters}"),
    }
}

/// Does nothing on the server.
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::unused_async, reason = "the same signature as in the browser")]
async fn show_results(_: &str, _: impl Fn() -> bool) -> Option<String> {
    None
}
