//! `/account/data.json`: the viewer's data as a file.
//!
//! Read through the ports, so it contains what the pages show and no data of other users.

use crate::rest::{ApiError, SignedIn};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use model::{
    accounts::{SecondFactorState, SignedInAt, User, Viewer},
    error::AppResult,
    events::Event,
    orders::{Order, OrderQuery},
    refunds::{Owed, TicketRefund},
    tickets::{Ticket, TicketQuery},
    waiting::Waiting,
};
use serde::Serialize;
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

/// At most 20 000 rows of a list.
const PAGES_MAX: usize = 200;
const PAGE: i64 = 100;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    user: User,
    sessions: Vec<SignedInAt>,
    /// Without its secret.
    second_factor: SecondFactorState,
    /// Upcoming events that they created.
    events: Vec<Event>,
    /// Newest first.
    orders: Vec<Order>,
    /// All their listings, newest first.
    listings: Vec<Ticket>,
    refunds_received: Vec<TicketRefund>,
    refunds_given: Vec<TicketRefund>,
    owed: Vec<Owed>,
    /// Waiting-list entries for upcoming events.
    waiting: Vec<Waiting>,
    /// False: there are more orders or listings, which the API lists.
    complete: bool,
}

/// The route of the file.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(data))
}

/// The viewer's data, as a file.
#[utoipa::path(get, path = "/account/data.json", tag = "Accounts",
    security(("session" = [])),
    responses((status = 200, body = serde_json::Value)))]
async fn data(State(api): State<Api>, SignedIn(viewer): SignedIn) -> Result<Response, ApiError> {
    let data = collect(&api, viewer).await?;
    let headers = [
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"stagedoor-data.json\""),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Json(data)).into_response())
}

async fn collect(api: &Api, viewer: Viewer) -> AppResult<Data> {
    let (orders, all_orders) = orders(api, &viewer).await?;
    let (listings, all_listings) = listings(api, &viewer).await?;
    Ok(Data {
        sessions: api.account_care.list_sessions(&viewer).await?,
        second_factor: api.second_factor.get_second_factor(&viewer).await?,
        events: api.events.list_own(&viewer).await?,
        orders,
        listings,
        refunds_received: api.refunds.list_bought(&viewer).await?,
        refunds_given: api.refunds.list_sold(&viewer).await?,
        owed: api.refunds.list_owed(&viewer).await?,
        waiting: api.waiting.list_own(&viewer).await?,
        complete: all_orders && all_listings,
        user: viewer.user,
    })
}

/// The orders, and whether these are all.
async fn orders(api: &Api, viewer: &Viewer) -> AppResult<(Vec<Order>, bool)> {
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let query = OrderQuery {
            cursor,
            limit: Some(PAGE),
        };
        let page = api.orders.list(viewer, query).await?;
        all.extend(page.orders);
        cursor = page.next;
        if cursor.is_none() {
            return Ok((all, true));
        }
    }
    Ok((all, false))
}

/// The listings, and whether these are all.
async fn listings(api: &Api, viewer: &Viewer) -> AppResult<(Vec<Ticket>, bool)> {
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let query = TicketQuery {
            event_id: None,
            status: None,
            seller_id: Some("me".to_owned()),
            cursor,
            limit: Some(PAGE),
        };
        let page = api.tickets.list(Some(viewer), query).await?;
        all.extend(page.tickets);
        cursor = page.next;
        if cursor.is_none() {
            return Ok((all, true));
        }
    }
    Ok((all, false))
}
