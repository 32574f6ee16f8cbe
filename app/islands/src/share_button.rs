//! The button that passes a page on. Island: opens the device's own sharing, or copies the link
//! where there is none.

use leptos::prelude::*;

/// Shares the page's proper address. Without JavaScript, or where neither way exists, there is no
/// button: the address bar has the link.
#[island]
pub fn ShareButton(
    /// What the page is about.
    title: String,
    /// The address to pass on.
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

/// Whether this browser shares or copies. It does neither on a page without TLS.
fn can_share() -> bool {
    #[cfg(target_arch = "wasm32")]
    {
        has("share") || has("clipboard")
    }
    #[cfg(not(target_arch = "wasm32"))]
    false
}

/// What to say of it; nothing where the device has said it.
#[cfg(target_arch = "wasm32")]
async fn share(title: &str, address: &str) -> &'static str {
    use wasm_bindgen_futures::JsFuture;
    let navigator = window().navigator();
    if has("share") {
        let data = web_sys::ShareData::new();
        data.set_title(title);
        data.set_url(address);
        // Whoever closes the device's dialogue knows that they did.
        let _ = JsFuture::from(navigator.share_with_data(&data)).await;
        return "";
    }
    match JsFuture::from(navigator.clipboard().write_text(address)).await {
        Ok(_) => "The link is copied.",
        Err(_) => "Copy the link from the address bar.",
    }
}

/// On the server nobody presses.
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::unused_async, reason = "the same shape as in the browser")]
async fn share(_: &str, _: &str) -> &'static str {
    ""
}
