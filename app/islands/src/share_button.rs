//! Island: the button that shares a page. Opens the device's share dialog, or copies the link if there is none.

use leptos::prelude::*;

/// Shares the page's canonical URL. Hidden without JavaScript, and if the browser can neither share nor copy.
#[island]
pub fn ShareButton(
    /// The page's title.
    title: String,
    /// The URL to share.
    address: String,
) -> impl IntoView {
    let (works, set_works) = signal(false);
    let (said, set_said) = signal("");
    Effect::new(move || set_works.set(can_share()));
    let pass_on = move |_| {
        let (title, address) = (title.clone(), address.clone());
        leptos::task::spawn_local(async move { set_said.set(share(&title, &address).await) });
    };
    view! {
        <p class="share" class:hidden=move || !works.get()>
            <button class="button button-quiet" type="button" on:click=pass_on>"Share"</button>
            <span class="quiet" role="status">{move || said.get()}</span>
        </p>
    }
}

#[cfg(target_arch = "wasm32")]
fn has(what: &str) -> bool {
    js_sys::Reflect::has(&window().navigator(), &what.into()).unwrap_or(false)
}

/// Whether this browser can share or copy, which needs TLS.
fn can_share() -> bool {
    #[cfg(target_arch = "wasm32")]
    {
        has("share") || has("clipboard")
    }
    #[cfg(not(target_arch = "wasm32"))]
    false
}

/// Returns the message to show; empty after the share dialog.
#[cfg(target_arch = "wasm32")]
async fn share(title: &str, address: &str) -> &'static str {
    use wasm_bindgen_futures::JsFuture;
    let navigator = window().navigator();
    if has("share") {
        let data = web_sys::ShareData::new();
        data.set_title(title);
        data.set_url(address);
        // Closing the dialog is not an error.
        let _ = JsFuture::from(navigator.share_with_data(&data)).await;
        return "";
    }
    match JsFuture::from(navigator.clipboard().write_text(address)).await {
        Ok(_) => "The link is copied.",
        Err(_) => "Copy the link from the address bar.",
    }
}

/// Does nothing on the server.
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::unused_async, reason = "the same signature as in the browser")]
async fn share(_: &str, _: &str) -> &'static str {
    ""
}
