//! Island: the button that shows or hides a password, by changing the field's type.

use leptos::prelude::*;

/// Shows or hides the password in the field with this id. Invisible without JavaScript.
#[island]
pub fn ShowPassword(
    /// The id of the input.
    field: String,
) -> impl IntoView {
    let (alive, set_alive) = signal(false);
    let (shown, set_shown) = signal(false);
    Effect::new(move || set_alive.set(true));
    let switch = move |_| {
        let kind = if shown.get_untracked() {
            "password"
        } else {
            "text"
        };
        let input = document().get_element_by_id(&field);
        if input.is_some_and(|input| input.set_attribute("type", kind).is_ok()) {
            set_shown.update(|shown| *shown = !*shown);
        }
    };
    view! {
        <button type="button" class="reveal" class:invisible=move || !alive.get() on:click=switch>
            {move || if shown.get() { "Hide" } else { "Show" }}
            <span class="sr-only">" the password"</span>
        </button>
    }
}
