//! The page that a form was on, for browsers that do not send `Referer`: the form's own address names
//! it.

use axum::{
    extract::Request,
    http::{HeaderValue, header},
};
use context::page_from_query;

/// Sets a missing `Referer` of a server function's request to the page that its query names, so that
/// the code behind has one header to read.
pub(super) fn add_referer(request: &mut Request, public_url: &str) {
    if !request.uri().path().starts_with("/fn/") || request.headers().contains_key(header::REFERER)
    {
        return;
    }
    let page = request.uri().query().and_then(page_from_query);
    let page = page.and_then(|page| HeaderValue::from_str(&format!("{public_url}{page}")).ok());
    if let Some(page) = page {
        request.headers_mut().insert(header::REFERER, page);
    }
}
