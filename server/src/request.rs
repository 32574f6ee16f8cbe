//! What belongs to the request being answered: its id, where it comes from, its session.
//!
//! Set once by the router and carried by the task, so that services behind the ports find it
//! whether a page, a server function or a REST route called them.

use axum::http::HeaderValue;
use std::net::{IpAddr, Ipv4Addr};
use tower_sessions::Session;

tokio::task_local! {
    static CURRENT: Request;
}

/// The request being answered.
#[derive(Debug, Clone)]
pub struct Request {
    /// Named in errors and in the log.
    pub id: String,
    /// Who sent it, as far as we can tell.
    pub address: IpAddr,
    /// What its sender calls itself: the `User-Agent`.
    pub agent: Option<HeaderValue>,
    /// Its session, which may be empty.
    pub session: Option<Session>,
}

/// Runs `work` as part of answering `request`.
pub async fn scope<F: Future>(request: Request, work: F) -> F::Output {
    CURRENT.scope(request, work).await
}

/// `work`, to be done on another task, as part of answering the same request.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(Request::clone).ok();
    async move {
        match current {
            Some(request) => scope(request, work).await,
            None => work.await,
        }
    }
}

/// The id of the request being answered, or `none` outside of one.
pub fn id() -> String {
    CURRENT
        .try_with(|request| request.id.clone())
        .unwrap_or_else(|_| "none".to_owned())
}

/// Where the request comes from; nowhere outside of one.
pub fn address() -> IpAddr {
    CURRENT
        .try_with(|request| request.address)
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// What the sender of the request calls itself; empty if it does not say.
pub fn agent() -> String {
    CURRENT
        .try_with(|request| {
            let agent = request.agent.as_ref()?;
            Some(String::from_utf8_lossy(agent.as_bytes()).into_owned())
        })
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// The session of the request being answered.
pub fn session() -> Option<Session> {
    CURRENT
        .try_with(|request| request.session.clone())
        .ok()
        .flatten()
}
