//! The browser's place: loading the page that it is on once more.

/// Loads the page anew, without the query or the form data of a page before.
pub fn load_anew() {
    #[cfg(target_arch = "wasm32")]
    {
        let location = leptos::prelude::window().location();
        if let Ok(path) = location.pathname() {
            let _ = location.replace(&path);
        }
    }
}
