//! The pages' files: WASM, JavaScript, stylesheet, icons. From the folder that cargo-leptos fills,
//! or from inside the binary (`main.rs` puts them there, so that a new stylesheet compiles only
//! that).
//!
//! Names are not hashed, so browsers ask each time whether a file is still the same, by `ETag`
//! or date, and get 304 if it is.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header},
    response::IntoResponse,
};
use std::borrow::Cow;
use tower::ServiceExt;
use tower_http::services::ServeDir;

const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Where the files are.
#[derive(Debug, Clone)]
pub enum Files {
    /// In this folder.
    Folder(String),
    /// In the binary: by path, without the slash it begins with.
    Inside(fn(&str) -> Option<File>),
}

/// A file inside the binary.
#[derive(Debug, Clone)]
pub struct File {
    /// What it holds.
    pub bytes: Cow<'static, [u8]>,
    /// SHA-256 of that.
    pub hash: [u8; 32],
    /// Its content type.
    pub kind: String,
}

impl Files {
    /// The file that a GET asks for, if there is one.
    pub async fn find(&self, request: Request<Body>) -> Option<Response<Body>> {
        match self {
            Self::Folder(folder) => from_folder(folder, request).await,
            Self::Inside(get) => inside(*get, request.uri().path(), request.headers()),
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

fn inside(get: fn(&str) -> Option<File>, path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let path = path.trim_start_matches('/');
    let plain = get(path)?;
    let kind = HeaderValue::try_from(&plain.kind).ok();
    let (file, encoding) = compressed(get, path, asked).unwrap_or((plain, None));
    let etag = etag(&file);
    let known = asked.get(header::IF_NONE_MATCH);
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

/// The smallest form that the browser takes.
fn compressed(
    get: fn(&str) -> Option<File>,
    path: &str,
    asked: &HeaderMap,
) -> Option<(File, Option<&'static str>)> {
    let takes = asked.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .find_map(|(encoding, ending)| {
            let taken = takes
                .split(',')
                .any(|one| one.trim().split(';').next() == Some(encoding));
            let file = taken.then(|| get(&format!("{path}{ending}"))).flatten()?;
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

    fn asked(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_browser_gets_the_smallest_form_that_it_takes() {
        let plain = inside(get, "/pkg/a.css", &HeaderMap::new()).unwrap();
        assert_eq!(plain.headers().get(header::CONTENT_ENCODING), None);
        let small = asked(header::ACCEPT_ENCODING, "gzip, deflate, br;q=1.0");
        let small = inside(get, "/pkg/a.css", &small).unwrap();
        assert_eq!(small.headers()[header::CONTENT_ENCODING], "br");
        assert_eq!(small.headers()[header::CONTENT_TYPE], "text/css");
        assert!(inside(get, "/pkg/b.css", &HeaderMap::new()).is_none());
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let first = inside(get, "/pkg/a.css", &HeaderMap::new()).unwrap();
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = inside(get, "/pkg/a.css", &asked(header::IF_NONE_MATCH, &tag)).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = inside(get, "/pkg/a.css", &asked(header::IF_NONE_MATCH, "\"old\"")).unwrap();
        assert_eq!(other.status(), StatusCode::OK);
    }
}
