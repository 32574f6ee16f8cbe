//! Island: the switch between the light and dark themes. Stores the choice in a cookie, so that the server renders
//! the next page with it.

use leptos::prelude::*;

/// The button. Invisible without JavaScript; the system's setting then applies.
#[island]
pub fn ThemeSwitch(
    /// Whether the site uses TLS, which decides on the cookie's name.
    secure: bool,
) -> impl IntoView {
    let (alive, set_alive) = signal(false);
    Effect::new(move || set_alive.set(true));
    view! {
        <button
            type="button"
            class="icon-button"
            class:invisible=move || !alive.get()
            aria-label="Switch between light and dark"
            on:click=move |_| switch(secure)
        >
            <svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" aria-hidden="true">
                <circle cx="12" cy="12" r="8"></circle>
                <path d="M12 4a8 8 0 0 1 0 16Z" fill="currentColor"></path>
            </svg>
        </button>
    }
}

fn switch(secure: bool) {
    #[cfg(not(target_arch = "wasm32"))]
    let _ = secure;
    #[cfg(target_arch = "wasm32")]
    {
        use wasm_bindgen::JsCast;
        let Some(root) = document().document_element() else {
            return;
        };
        let dark = match root.get_attribute("data-theme").as_deref() {
            Some("dark") => true,
            Some("light") => false,
            _ => window()
                .match_media("(prefers-color-scheme: dark)")
                .ok()
                .flatten()
                .is_some_and(|query| query.matches()),
        };
        let theme = if dark { "light" } else { "dark" };
        let _ = root.set_attribute("data-theme", theme);
        if let Ok(page) = document().dyn_into::<web_sys::HtmlDocument>() {
            let (prefix, end) = if secure {
                ("__Host-", "; Secure")
            } else {
                ("", "")
            };
            let _ = page.set_cookie(&format!(
                "{prefix}theme={theme}; Path=/; Max-Age=31536000; SameSite=Lax{end}"
            ));
        }
    }
}
