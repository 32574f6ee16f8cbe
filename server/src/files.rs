//! Serves the static files of the pages: WASM, JavaScript, stylesheet, icons. They come from the folder
//! that cargo-leptos writes, or are embedded in the binary (in `main.rs`, so that a changed stylesheet
//! recompiles only that).
//!
//! Names contain no hash, so browsers revalidate each file by `ETag` or date, and get 304 if it has not
//! changed.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header},
    response::IntoResponse,
};
use std::borrow::Cow;
use tower::ServiceExt;
use tower_http::services::ServeDir;

const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The source of the files.
#[derive(Debug, Clone)]
pub enum Files {
    /// The path of a folder.
    Folder(String),
    /// Embedded in the binary; finds a file by its path without leading slash.
    Embedded(fn(&str) -> Option<File>),
}

/// An embedded file.
#[derive(Debug, Clone)]
pub struct File {
    pub bytes: Cow<'static, [u8]>,
    /// The SHA-256 of `bytes`.
    pub hash: [u8; 32],
    /// The content type.
    pub kind: String,
}

impl Files {
    /// The response to a GET of an existing file.
    pub async fn find(&self, request: Request<Body>) -> Option<Response<Body>> {
        match self {
            Self::Folder(folder) => from_folder(folder, request).await,
            Self::Embedded(get) => from_embedded(*get, request.uri().path(), request.headers()),
        }
    }
}

async fn from_folder(folder: &str, request: Request<Body>) -> Option<Response<Body>> {
    let files = ServeDir::new(folder)
        .append_index_html_on_directories(false)
        .precompressed_br()
        .precompressed_gzip();
    let Ok(found) = files.oneshot(request).await;
    let status = found.status();
    if !status.is_success() && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let mut found = found.into_response();
    found
        .headers_mut()
        .insert(header::CACHE_CONTROL, REVALIDATE);
    Some(found)
}

fn from_embedded(
    get: fn(&str) -> Option<File>,
    path: &str,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let path = path.trim_start_matches('/');
    let plain = get(path)?;
    let kind = HeaderValue::try_from(&plain.kind).ok();
    let (file, encoding) = compressed(get, path, headers).unwrap_or((plain, None));
    let etag = etag(&file);
    let known = headers.get(header::IF_NONE_MATCH);
    let mut response = Response::new(Body::empty());
    if known.is_some_and(|known| known == etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(file.bytes);
    }
    let headers = response.headers_mut();
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers.insert(header::CACHE_CONTROL, REVALIDATE);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, etag);
    Some(response)
}

/// The smallest encoding that the browser accepts.
fn compressed(
    get: fn(&str) -> Option<File>,
    path: &str,
    headers: &HeaderMap,
) -> Option<(File, Option<&'static str>)> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .find_map(|(encoding, extension)| {
            let is_accepted = accepted
                .split(',')
                .any(|one| one.trim().split(';').next() == Some(encoding));
            let file = is_accepted
                .then(|| get(&format!("{path}{extension}")))
                .flatten()?;
            Some((file, Some(encoding)))
        })
}

fn etag(file: &File) -> HeaderValue {
    let tag = format!("\"{}\"", hex::encode(&file.hash[..12]));
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Option<File> {
        let file = |bytes: &'static [u8]| File {
            bytes: bytes.into(),
            hash: [u8::try_from(bytes.len()).unwrap(); 32],
            kind: "text/css".to_owned(),
        };
        match path {
            "pkg/a.css" => Some(file(b"body { color: red }")),
            "pkg/a.css.br" => Some(file(b"small")),
            _ => None,
        }
    }

    fn header_map(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_browser_gets_the_smallest_encoding_that_it_accepts() {
        let plain = from_embedded(get, "/pkg/a.css", &HeaderMap::new()).unwrap();
        assert_eq!(plain.headers().get(header::CONTENT_ENCODING), None);
        let small = header_map(header::ACCEPT_ENCODING, "gzip, deflate, br;q=1.0");
        let small = from_embedded(get, "/pkg/a.css", &small).unwrap();
        assert_eq!(small.headers()[header::CONTENT_ENCODING], "br");
        assert_eq!(small.headers()[header::CONTENT_TYPE], "text/css");
        assert!(from_embedded(get, "/pkg/b.css", &HeaderMap::new()).is_none());
    }

    #[test]
    fn an_unchanged_file_is_not_sent_again() {
        let first = from_embedded(get, "/pkg/a.css", &HeaderMap::new()).unwrap();
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = header_map(header::IF_NONE_MATCH, &tag);
        let again = from_embedded(get, "/pkg/a.css", &again).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = header_map(header::IF_NONE_MATCH, "\"old\"");
        let other = from_embedded(get, "/pkg/a.css", &other).unwrap();
        assert_eq!(other.status(), StatusCode::OK);
    }
}
