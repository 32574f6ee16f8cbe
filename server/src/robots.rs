//! What search engines are told: `/robots.txt`, and `/sitemap.xml` with the home page and every
//! event to come. Asks for no session.

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

/// As many as the protocol allows in one map, less the home page: the events that begin first.
const EVENTS_MAX: i64 = 49_999;

const RULES: &str = "User-agent: *\nDisallow: /api/\nDisallow: /fn/\nDisallow: /order\n\
    Disallow: /checkout\nDisallow: /tickets\nDisallow: /account\nDisallow: /waiting-list\n\n";

/// What the answers are made from.
#[derive(Clone)]
pub(crate) struct Robots {
    /// Where the events are.
    pub db: Db,
    /// Which of them are to come.
    pub clock: SharedClock,
    /// What their addresses begin with.
    pub public_url: Arc<str>,
}

/// `/robots.txt` and `/sitemap.xml`.
pub(crate) fn routes(robots: Robots) -> Router {
    Router::new()
        .route("/robots.txt", get(rules))
        .route("/sitemap.xml", get(map))
        .with_state(robots)
}

async fn rules(State(robots): State<Robots>) -> String {
    format!("{RULES}Sitemap: {}/sitemap.xml\n", robots.public_url)
}

async fn map(State(robots): State<Robots>) -> Response {
    let now = robots.clock.now();
    let events = match store::events_next(robots.db.reads(), now, EVENTS_MAX).await {
        Ok(events) => events,
        Err(error) => {
            tracing::error!(%error, "the sitemap could not be made");
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

/// The public address is the operator's own text.
fn escaped(url: &str) -> String {
    url.replace('&', "&amp;").replace('<', "&lt;")
}
