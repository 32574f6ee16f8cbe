//! Island: previews the chosen picture in the shape that visitors see; the stylesheet applies the choice of its
//! visible part. Without JavaScript there is no preview.

use leptos::{prelude::*, web_sys};
use model::events::PICTURE_BYTES_MAX;

/// The preview of the file input with this id.
#[island]
pub fn PicturePreview(
    /// The id of the input.
    field: String,
) -> impl IntoView {
    let (shown, set_shown) = signal(None::<String>);
    let (is_tall, set_tall) = signal(false);
    let (is_large, set_large) = signal(false);
    let show = move |input: &web_sys::HtmlInputElement| {
        if let Some(before) = shown.get_untracked() {
            revoke(&before);
        }
        let chosen = chosen(input);
        set_large.set(chosen.as_ref().is_some_and(|(_, is_large)| *is_large));
        set_shown.set(chosen.map(|(address, _)| address));
    };
    Effect::new(move || {
        if let Some(input) = input(&field) {
            show(&input);
        }
        let field = field.clone();
        let listening = window_event_listener(leptos::ev::change, move |event| {
            let input = event_target::<web_sys::HtmlInputElement>(&event);
            if input.id() == field {
                show(&input);
            }
        });
        on_cleanup(move || listening.remove());
    });
    let measure = move |event: leptos::ev::Event| {
        let image = event_target::<web_sys::HtmlImageElement>(&event);
        set_tall.set(image.natural_height() >= image.natural_width());
    };
    let most = PICTURE_BYTES_MAX / 1024 / 1024;
    view! {
        <p class="error" role="alert" class:hidden=move || !is_large.get()>
            {move || is_large.get().then(|| format!("This file is too large. Use one of at most {most} MB."))}
        </p>
        {move || shown.get().map(|address| view! {
            <figure class="picture-preview" class:picture-tall=move || is_tall.get()>
                <div class="picture-frame">
                    <img class="poster picture-behind" alt="" src=address.clone()/>
                    <img
                        class="poster picture-part"
                        alt="Preview of your picture"
                        src=address
                        on:load=measure
                        on:error=move |_| set_shown.set(None)
                    />
                </div>
                <figcaption class="quiet">"Preview: this is what visitors will see."</figcaption>
            </figure>
        })}
    }
}

#[cfg(target_arch = "wasm32")]
fn input(id: &str) -> Option<web_sys::HtmlInputElement> {
    use wasm_bindgen::JsCast;
    document().get_element_by_id(id)?.dyn_into().ok()
}

/// An object URL of the chosen file, and whether the file is larger than the limit.
#[cfg(target_arch = "wasm32")]
fn chosen(input: &web_sys::HtmlInputElement) -> Option<(String, bool)> {
    let file = input.files()?.get(0)?;
    let address = web_sys::Url::create_object_url_with_blob(&file).ok()?;
    let most = u32::try_from(PICTURE_BYTES_MAX).unwrap_or(u32::MAX);
    Some((address, file.size() > f64::from(most)))
}

#[cfg(target_arch = "wasm32")]
fn revoke(address: &str) {
    let _ = web_sys::Url::revoke_object_url(address);
}

/// Does nothing on the server.
#[cfg(not(target_arch = "wasm32"))]
fn input(_: &str) -> Option<web_sys::HtmlInputElement> {
    None
}

#[cfg(not(target_arch = "wasm32"))]
fn chosen(_: &web_sys::HtmlInputElement) -> Option<(String, bool)> {
    None
}

#[cfg(not(target_arch = "wasm32"))]
fn revoke(_: &str) {}
