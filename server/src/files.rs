//! The pages' files: WASM, JavaScript, stylesheet, icons. Inside the binary where it was built
//! with `embed`, else from the folder that cargo-leptos fills.
//!
//! Names are not hashed, so browsers ask each time whether a file is still the same, by `ETag`
//! or date, and get 304 if it is.

use axum::{
    body::Body,
    http::{HeaderValue, Request, Response},
};

const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The file that a GET asks for, if there is one.
#[cfg(not(feature = "embed"))]
pub async fn find(request: Request<Body>, site_root: &str) -> Option<Response<Body>> {
    use axum::{http::header, response::IntoResponse};
    use tower::ServiceExt;
    let folder = tower_http::services::ServeDir::new(site_root)
        .append_index_html_on_directories(false)
        .precompressed_br()
        .precompressed_gzip();
    let Ok(found) = folder.oneshot(request).await;
    if found.status().is_client_error() || found.status().is_redirection() && !is_unchanged(&found)
    {
        return None;
    }
    let mut found = found.into_response();
    found
        .headers_mut()
        .insert(header::CACHE_CONTROL, REVALIDATE);
    Some(found)
}

#[cfg(not(feature = "embed"))]
fn is_unchanged<B>(response: &Response<B>) -> bool {
    response.status() == axum::http::StatusCode::NOT_MODIFIED
}

/// The file that a GET asks for, if there is one.
#[cfg(feature = "embed")]
#[expect(clippy::unused_async, reason = "the same shape as from a folder")]
pub async fn find(request: Request<Body>, _: &str) -> Option<Response<Body>> {
    embedded::find(request.uri().path(), request.headers())
}

#[cfg(feature = "embed")]
mod embedded {
    use super::REVALIDATE;
    use axum::{
        body::Body,
        http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    };
    use rust_embed::{EmbeddedFile, RustEmbed};
    use std::fmt::Write;

    #[derive(RustEmbed)]
    #[folder = "../target/site"]
    struct Site;

    pub fn find(path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
        let path = path.trim_start_matches('/');
        let plain = Site::get(path)?;
        let (file, encoding) = compressed(path, asked).unwrap_or((plain, None));
        let etag = etag(&file);
        let unchanged = asked
            .get(header::IF_NONE_MATCH)
            .is_some_and(|known| known.as_bytes() == etag.as_bytes());
        let mut response = if unchanged {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let kind = Site::get(path)?.metadata.mimetype().to_owned();
            let mut response = Response::new(Body::from(file.data));
            if let Ok(kind) = HeaderValue::try_from(kind) {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            if let Some(encoding) = encoding {
                let encoding = HeaderValue::from_static(encoding);
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, encoding);
            }
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, REVALIDATE);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::ETAG, etag);
        Some(response)
    }

    /// The smallest form that the browser takes.
    fn compressed(path: &str, asked: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
        let takes = asked.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
        [("br", ".br"), ("gzip", ".gz")]
            .into_iter()
            .find_map(|(encoding, ending)| {
                let taken = takes
                    .split(',')
                    .any(|one| one.trim().split(';').next() == Some(encoding));
                let file = taken
                    .then(|| Site::get(&format!("{path}{ending}")))
                    .flatten()?;
                Some((file, Some(encoding)))
            })
    }

    fn etag(file: &EmbeddedFile) -> HeaderValue {
        let mut tag = String::from("\"");
        for byte in &file.metadata.sha256_hash()[..12] {
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
    }
}
