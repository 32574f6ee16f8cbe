//! `/robots.txt`, and `/sitemap.xml` with the home page and every event on sale. Without a session.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{clock::SharedClock, db::Db};
use shop::events::store;
use std::{fmt::Write, sync::Arc};

/// The protocol's limit for one sitemap, less the home page. Later events are left out.
const EVENTS_MAX: i64 = 49_999;

const RULES: &str = "User-agent: *\nDisallow: /api/\nDisallow: /fn/\nDisallow: /order\n\
    Disallow: /checkout\nDisallow: /tickets\nDisallow: /account\nDisallow: /waiting-list\n\n";

#[derive(Clone)]
pub(crate) struct Robots {
    pub db: Db,
    pub clock: SharedClock,
    /// The origin of all URLs.
    pub public_url: Arc<str>,
}

pub(crate) fn routes(robots: Robots) -> Router {
    Router::new()
        .route("/robots.txt", get(robots_txt))
        .route("/sitemap.xml", get(sitemap))
        .with_state(robots)
}

async fn robots_txt(State(robots): State<Robots>) -> String {
    format!("{RULES}Sitemap: {}/sitemap.xml\n", robots.public_url)
}

async fn sitemap(State(robots): State<Robots>) -> Response {
    let now = robots.clock.now();
    let events = match store::list_next_ids(robots.db.reads(), now, EVENTS_MAX).await {
        Ok(events) => events,
        Err(error) => {
            tracing::error!(%error, "Reading the events for the sitemap failed");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let url = escaped(&robots.public_url);
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    let _ = writeln!(xml, "<url><loc>{url}/</loc></url>");
    for event in events {
        let _ = writeln!(xml, "<url><loc>{url}/events/{event}</loc></url>");
    }
    xml.push_str("</urlset>\n");
    let headers = [
        (header::CONTENT_TYPE, "application/xml"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, xml).into_response()
}

/// Escapes the public URL, which is a setting.
fn escaped(url: &str) -> String {
    url.replace('&', "&amp;").replace('<', "&lt;")
}
