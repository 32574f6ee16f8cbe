//! The request being answered: its id, address, session and device cookie.
//!
//! The middleware sets it in a task-local variable, so that services can read it, whether a page, a
//! server function or a REST route calls them.

use crate::network::network_of;
use http::HeaderValue;
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tower_sessions_core::Session;

tokio::task_local! {
    static CURRENT: Request;
}

/// The request being answered.
#[derive(Debug, Clone)]
pub struct Request {
    /// Included in error responses and log lines.
    pub id: String,
    /// The client's address; the unspecified address if it is not known.
    pub address: IpAddr,
    /// The header `User-Agent`.
    pub agent: Option<HeaderValue>,
    /// `None` outside the session layer. A session may be empty.
    pub session: Option<Session>,
    pub device: DeviceCookie,
    /// Set if answering the request has ended its session.
    pub ended: Arc<AtomicBool>,
}

/// The cookie that records which accounts a browser has signed in to before: the content that was sent,
/// and the content to set in the response. `accounts/known_devices.rs` defines its format.
#[derive(Debug, Clone, Default)]
pub struct DeviceCookie {
    sent: Option<String>,
    to_set: Arc<Mutex<Option<String>>>,
}

impl DeviceCookie {
    pub fn new(sent: Option<String>) -> Self {
        Self {
            sent,
            to_set: Arc::default(),
        }
    }

    /// The content to set in the response, if it has changed.
    pub fn to_set(&self) -> Option<String> {
        let to_set = self.to_set.lock();
        to_set.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs `work` with `request` as the current request.
pub async fn scope<F: Future>(request: Request, work: F) -> F::Output {
    CURRENT.scope(request, work).await
}

/// Wraps `work` for another task, so that it runs with the same current request.
pub fn in_current_request<F: Future>(work: F) -> impl Future<Output = F::Output> {
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

/// The client's address; outside of a request, the unspecified address.
pub fn address() -> IpAddr {
    CURRENT
        .try_with(|request| request.address)
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The network that limits count the request by; outside of a request, the unspecified address.
pub fn network() -> IpNet {
    let address = address();
    network_of(address).unwrap_or_else(|| address.into())
}

/// The content of the device cookie that the request sent.
pub fn device_cookie() -> Option<String> {
    CURRENT
        .try_with(|request| request.device.sent.clone())
        .ok()
        .flatten()
}

/// Sets the device cookie in the response. Does nothing outside of a request.
pub fn set_device_cookie(content: String) {
    let _ = CURRENT.try_with(|request| {
        let to_set = request.device.to_set.lock();
        *to_set.unwrap_or_else(PoisonError::into_inner) = Some(content);
    });
}

/// Records that the request's session has ended, so that the response asks the browser to delete stored
/// data. Does nothing outside of a request.
pub fn mark_session_ended() {
    let _ = CURRENT.try_with(|request| request.ended.store(true, Ordering::Relaxed));
}

/// The current request with this session; `None` outside of a request.
pub fn with_session(session: Option<Session>) -> Option<Request> {
    let current = CURRENT.try_with(Request::clone).ok()?;
    Some(Request { session, ..current })
}

/// The `User-Agent` of the request; empty if there is none.
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
