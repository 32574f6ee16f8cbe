//! `/ui`: every component and every shared class of the stylesheet on one page, for whoever changes
//! them. Demo mode only, and no page leads here. What it shows is fixed, so that two pictures of it
//! differ only by what was changed; nothing on it sends anything.

mod shop;
mod to_fill_in;
mod words;

use super::page;

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use model::error::AppError;

/// The page; 404 where the shop is not a demo.
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

/// One part of the page.
fn part(id: &'static str, title: &'static str, content: AnyView) -> AnyView {
    view! {
        <section class="stack" aria-labelledby=id>
            <h2 class="section-title" id=id>{title}</h2>
            {content}
        </section>
    }
    .into_any()
}
