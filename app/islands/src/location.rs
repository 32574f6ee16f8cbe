//! Reloads the current page, and fetches other pages without navigation.

/// Loads the page anew, without the query or the form data of a page before.
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

/// Nothing is loaded on the server.
#[cfg(not(target_arch = "wasm32"))]
fn load_with(_: &str) {}

/// A page as the server renders it this moment. It is read, not gone to: what a form has left for
/// the next page stays for that. Errors: no answer, or none with a page in it.
#[cfg(target_arch = "wasm32")]
pub async fn page_at(address: &str) -> Result<web_sys::Document, wasm_bindgen::JsValue> {
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
