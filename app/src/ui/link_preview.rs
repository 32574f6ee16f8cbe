//! What a public page tells search engines, and whoever shows a link to it.

use leptos::prelude::*;
use leptos_meta::{Link, Meta, Title};

/// A page that anybody may find and pass on.
#[derive(Debug, Clone, Default)]
pub struct LinkPreview {
    /// What it is called; empty for the shop itself.
    pub title: String,
    /// What it offers, in a sentence or two.
    pub text: String,
    /// Its proper path, and query if it has one.
    pub path: String,
    /// The path of its picture, width and height. The shop's own otherwise.
    pub image: Option<(String, u32, u32)>,
}

/// Title, description, canonical address and Open Graph tags, with whole addresses.
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
