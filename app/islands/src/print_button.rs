//! Island: the button that opens the browser's print dialog.

use leptos::prelude::*;

/// Prints the page. Hidden without JavaScript.
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
