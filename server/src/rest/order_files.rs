//! The files of an order: its tickets to print and its event for a calendar, beside the pages.
//!
//! Owns who gets them, and their names and headers. `PassesService` makes their content; the router
//! says how a request for a file that does not exist is answered.

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

/// What the routes of these files need.
#[derive(Clone)]
pub struct OrderFiles {
    /// Makes the files.
    pub passes: Arc<dyn Passes>,
    /// Answers requests for files that do not exist.
    pub not_found: Router,
}

/// A file that is made of an order.
#[derive(Clone, Copy)]
enum Paper {
    /// Its tickets to print.
    Tickets,
    /// Its event for a calendar.
    Calendar,
}

/// The routes of the files of an order.
pub fn routes<S: Clone + Send + Sync + 'static>(files: OrderFiles) -> Router<S> {
    Router::new()
        .merge(papers(Paper::Tickets, "tickets.pdf"))
        .merge(papers(Paper::Calendar, "calendar.ics"))
        .with_state(files)
}

fn papers(paper: Paper, file: &str) -> Router<OrderFiles> {
    let own = move |files, id, request| send_to_buyer(paper, files, id, request);
    let linked = move |files, link, request| send_by_link(paper, files, link, request);
    Router::new()
        .route(&format!("/orders/{{id}}/{file}"), get(own))
        .route(&format!("/order/{file}"), get(linked))
}

/// Sends a file to the buyer of the order. Visitors who are not signed in are redirected to the
/// sign-in page; for users who are not the buyer, the file does not exist.
async fn send_to_buyer(
    paper: Paper,
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
    let named = format!("-{}", order.code());
    files
        .send(paper, TicketsOf::Buyer(viewer, order), &named, request)
        .await
}

#[derive(Deserialize)]
struct ByLink {
    link: OrderLink,
}

/// Sends a file to anyone who has the link in the buyer's mail.
async fn send_by_link(
    paper: Paper,
    State(files): State<OrderFiles>,
    Query(ByLink { link }): Query<ByLink>,
    request: Request,
) -> Response {
    let mut response = files.send(paper, TicketsOf::Link(link), "", request).await;
    for (name, value) in &SECRET {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

impl OrderFiles {
    async fn send(&self, paper: Paper, of: TicketsOf, named: &str, request: Request) -> Response {
        let (made, kind, name) = match paper {
            Paper::Tickets => {
                let name = format!("tickets{named}.pdf");
                (self.passes.pdf(of).await, "application/pdf", name)
            }
            Paper::Calendar => {
                let name = format!("event{named}.ics");
                let made = self.passes.calendar(of).await.map(String::into_bytes);
                (made, "text/calendar; charset=utf-8", name)
            }
        };
        let bytes = match made {
            Ok(bytes) => bytes,
            Err(AppError::NotFound) => return self.refuse(request).await,
            Err(error) => return rest::problem(error.status(), &error),
        };
        let mut response = bytes.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(shown) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            headers.insert(header::CONTENT_DISPOSITION, shown);
        }
        response
    }

    async fn refuse(&self, request: Request) -> Response {
        let Ok(response) = self.not_found.clone().oneshot(request).await;
        response
    }
}
