//! The button that prints the page. Island: opens the browser's own dialogue.

use leptos::prelude::*;

/// Prints the page. Without JavaScript there is no button.
#[island]
pub fn PrintButton() -> impl IntoView {
    let (alive, set_alive) = signal(false);
    Effect::new(move || set_alive.set(true));
    view! {
        <button
            class="button"
            type="button"
            class:hidden=move || !alive.get()
            on:click=move |_| print()
        >
            "Print"
        </button>
    }
}

fn print() {
    #[cfg(target_arch = "wasm32")]
    let _ = window().print();
}
