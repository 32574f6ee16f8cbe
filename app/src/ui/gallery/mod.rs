//! `/ui`: every component and shared class of the stylesheet on one page, for developers. Demo mode only, and
//! not linked. Its content is fixed, so that screenshots can be compared; it sends nothing.

mod shop;
mod to_fill_in;
mod words;

use super::page;

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use model::error::AppError;

/// The page; 404 outside of demo mode.
#[component]
pub fn GalleryPage() -> impl IntoView {
    page(async {
        if context::site()?.demo.is_none() {
            return Err(AppError::NotFound);
        }
        Ok(view! {
            <Title text="Components"/>
            <Meta name="robots" content="noindex"/>
            <div class="gallery">
                <h1 class="display">"Components"</h1>
                <p class="lead">
                    "What the pages are built from. The switch in the header shows it in the other light."
                </p>
                {words::colours()}
                {words::type_scale()}
                {words::notices()}
                {to_fill_in::buttons()}
                {to_fill_in::fields()}
                {to_fill_in::refused()}
                {to_fill_in::chips()}
                {shop::cards()}
                {shop::offers()}
                {shop::paying()}
                {shop::tickets()}
                {shop::rows()}
                {shop::nothing()}
            </div>
        }
        .into_any())
    })
}

/// A section of the page.
fn part(id: &'static str, title: &'static str, content: AnyView) -> AnyView {
    view! {
        <section class="stack" aria-labelledby=id>
            <h2 class="section-title" id=id>{title}</h2>
            {content}
        </section>
    }
    .into_any()
}
