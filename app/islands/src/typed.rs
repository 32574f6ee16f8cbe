//! What somebody typed before the page's scripts had loaded: nobody heard it then, and it counts as
//! well. The same goes for what a browser fills in by itself when it comes back to a page.

/// What the first field in `place` has, if that is not what the server rendered it with.
#[cfg(target_arch = "wasm32")]
pub fn already_typed(place: &web_sys::Element) -> Option<String> {
    use wasm_bindgen::JsCast;
    let field = place.query_selector("input").ok()??;
    let field = field.dyn_into::<web_sys::HtmlInputElement>().ok()?;
    (field.value() != field.default_value()).then(|| field.value())
}

/// On the server nobody types.
#[cfg(not(target_arch = "wasm32"))]
pub fn already_typed(_: &leptos::web_sys::Element) -> Option<String> {
    None
}
