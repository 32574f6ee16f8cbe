//! Reloads the current page, and fetches other pages without navigation.

/// Reloads the page without its query and without resending a form.
pub fn load_anew() {
    load_with("");
}

/// Loads the order's page as after a return from the bank: the server asks Stripe even if it asked within
/// the last seconds, and redirects to the page's address.
pub fn load_from_bank() {
    load_with("?payment_intent=");
}

#[cfg(target_arch = "wasm32")]
fn load_with(query: &str) {
    let location = leptos::prelude::window().location();
    if let Ok(path) = location.pathname() {
        let _ = location.replace(&(path + query));
    }
}

/// Does nothing on the server.
#[cfg(not(target_arch = "wasm32"))]
fn load_with(_: &str) {}

/// Fetches a page without navigation, so that a flash stays for the next page. Errors: no response, or one with
/// an error status.
#[cfg(target_arch = "wasm32")]
pub async fn fetch_page(address: &str) -> Result<web_sys::Document, wasm_bindgen::JsValue> {
    use wasm_bindgen::JsCast;
    use wasm_bindgen_futures::JsFuture;
    let answer = JsFuture::from(leptos::prelude::window().fetch_with_str(address)).await?;
    let answer: web_sys::Response = answer.dyn_into()?;
    if !answer.ok() {
        return Err(wasm_bindgen::JsValue::NULL);
    }
    let html = JsFuture::from(answer.text()?).await?;
    let html = html.as_string().unwrap_or_default();
    web_sys::DomParser::new()?.parse_from_string(&html, web_sys::SupportedType::TextHtml)
}
