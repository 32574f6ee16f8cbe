//! The metadata of public pages for search engines and link previews.

use leptos::prelude::*;
use leptos_meta::{Link, Meta, Title};

/// The metadata of a public page.
#[derive(Debug, Clone, Default)]
pub struct LinkPreview {
    /// Its title; empty for the home page.
    pub title: String,
    /// A description of one or two sentences.
    pub text: String,
    /// The canonical path, with a query if needed.
    pub path: String,
    /// Path, width and height of its picture; by default the shop's.
    pub image: Option<(String, u32, u32)>,
}

/// Title, description, canonical URL and Open Graph tags, with absolute URLs.
pub fn link_preview(page: LinkPreview) -> impl IntoView {
    let site = context::site().map_or_else(|_| String::new(), |site| site.public_url.clone());
    let LinkPreview {
        title, text, path, ..
    } = page;
    let shown = if title.is_empty() {
        "Stagedoor".to_owned()
    } else {
        title.clone()
    };
    let own = || ("/share.png".to_owned(), 1200, 630);
    let (image, width, height) = page.image.unwrap_or_else(own);
    let (address, image) = (format!("{site}{path}"), format!("{site}{image}"));
    view! {
        <Title text=title/>
        <Link rel="canonical" href=address.clone()/>
        <Meta name="description" content=text.clone()/>
        <Meta property="og:type" content="website"/>
        <Meta property="og:site_name" content="Stagedoor"/>
        <Meta property="og:title" content=shown/>
        <Meta property="og:description" content=text/>
        <Meta property="og:url" content=address/>
        <Meta property="og:image" content=image/>
        <Meta property="og:image:width" content=width.to_string()/>
        <Meta property="og:image:height" content=height.to_string()/>
        <Meta name="twitter:card" content="summary_large_image"/>
    }
}
