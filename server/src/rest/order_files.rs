//! The downloads of an order: its tickets as a PDF and its event as a calendar file.
//!
//! Owns access control, file names and headers. `PassesService` generates the content; the router supplies
//! the answer for files that do not exist.

use crate::rest;
use axum::{
    Router,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use context::{SECRET, percent_encode};
use model::{
    accounts::Viewer,
    error::AppError,
    ids::OrderId,
    order_link::OrderLink,
    passes::{Passes, TicketsOf},
};
use serde::Deserialize;
use std::sync::Arc;
use tower::ServiceExt;

/// The state of the routes.
#[derive(Clone)]
pub struct OrderFiles {
    pub passes: Arc<dyn Passes>,
    /// Answers requests for files that do not exist.
    pub not_found: Router,
}

/// The kinds of files.
#[derive(Clone, Copy)]
enum OrderFile {
    Tickets,
    Calendar,
}

pub fn routes<S: Clone + Send + Sync + 'static>(files: OrderFiles) -> Router<S> {
    Router::new()
        .merge(file_routes(OrderFile::Tickets, "tickets.pdf"))
        .merge(file_routes(OrderFile::Calendar, "calendar.ics"))
        .with_state(files)
}

fn file_routes(file: OrderFile, name: &str) -> Router<OrderFiles> {
    let own = move |files, id, request| send_to_buyer(file, files, id, request);
    let linked = move |files, link, request| send_by_link(file, files, link, request);
    Router::new()
        .route(&format!("/orders/{{id}}/{name}"), get(own))
        .route(&format!("/order/{name}"), get(linked))
}

/// Sends a file to the buyer of the order. Visitors who are not signed in are redirected to the
/// sign-in page; for users who are not the buyer, the file does not exist.
async fn send_to_buyer(
    file: OrderFile,
    State(files): State<OrderFiles>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let Some(viewer) = request.extensions().get::<Viewer>().cloned() else {
        let next = percent_encode(request.uri().path());
        return Redirect::to(&format!("/signin?next={next}")).into_response();
    };
    let Ok(order) = id.parse::<OrderId>() else {
        return files.refuse(request).await;
    };
    let suffix = format!("-{}", order.code());
    files
        .send(file, TicketsOf::Buyer(viewer, order), &suffix, request)
        .await
}

#[derive(Deserialize)]
struct LinkQuery {
    link: OrderLink,
}

/// Sends a file to anyone who has the link in the buyer's mail.
async fn send_by_link(
    file: OrderFile,
    State(files): State<OrderFiles>,
    Query(LinkQuery { link }): Query<LinkQuery>,
    request: Request,
) -> Response {
    let mut response = files.send(file, TicketsOf::Link(link), "", request).await;
    for (name, value) in &SECRET {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

impl OrderFiles {
    async fn send(
        &self,
        file: OrderFile,
        of: TicketsOf,
        suffix: &str,
        request: Request,
    ) -> Response {
        let (content, content_type, name) = match file {
            OrderFile::Tickets => {
                let name = format!("tickets{suffix}.pdf");
                (self.passes.render_pdf(of).await, "application/pdf", name)
            }
            OrderFile::Calendar => {
                let name = format!("event{suffix}.ics");
                let content = self
                    .passes
                    .render_calendar(of)
                    .await
                    .map(String::into_bytes);
                (content, "text/calendar; charset=utf-8", name)
            }
        };
        let bytes = match content {
            Ok(bytes) => bytes,
            Err(AppError::NotFound) => return self.refuse(request).await,
            Err(error) => return rest::problem(error.status(), &error),
        };
        let mut response = bytes.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        response
    }

    async fn refuse(&self, request: Request) -> Response {
        let Ok(response) = self.not_found.clone().oneshot(request).await;
        response
    }
}
