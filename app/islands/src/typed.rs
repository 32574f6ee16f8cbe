//! Input from before hydration: typed before the scripts had loaded, or restored by the browser.

/// The value of the first field in `place`, if it differs from what the server rendered.
#[cfg(target_arch = "wasm32")]
pub fn already_typed(place: &web_sys::Element) -> Option<String> {
    use wasm_bindgen::JsCast;
    let field = place.query_selector("input").ok()??;
    let field = field.dyn_into::<web_sys::HtmlInputElement>().ok()?;
    (field.value() != field.default_value()).then(|| field.value())
}

/// Does nothing on the server.
#[cfg(not(target_arch = "wasm32"))]
pub fn already_typed(_: &leptos::web_sys::Element) -> Option<String> {
    None
}
