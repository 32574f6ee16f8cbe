//! What belongs to the request being answered: its id, where it comes from, its session, and the
//! cookie that says which accounts its browser has signed in to before.
//!
//! Set once by the router and carried by the task, so that services behind the ports find it
//! whether a page, a server function or a REST route called them.

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
    /// Named in errors and in the log.
    pub id: String,
    /// Who sent it, as far as we can tell.
    pub address: IpAddr,
    /// What its sender calls itself: the `User-Agent`.
    pub agent: Option<HeaderValue>,
    /// Its session, which may be empty.
    pub session: Option<Session>,
    /// Which accounts its browser has signed in to before.
    pub device: DeviceCookie,
    /// Whether answering it has ended its session.
    pub ended: Arc<AtomicBool>,
}

/// The cookie that says which accounts a browser has signed in to before: what came with the
/// request, and what goes back with the answer. `accounts/known.rs` writes and reads its content.
#[derive(Debug, Clone, Default)]
pub struct DeviceCookie {
    sent: Option<String>,
    to_set: Arc<Mutex<Option<String>>>,
}

impl DeviceCookie {
    /// With what the request sent.
    pub fn new(sent: Option<String>) -> Self {
        Self {
            sent,
            to_set: Arc::default(),
        }
    }

    /// What the answer sets it to, if it does.
    pub fn to_set(&self) -> Option<String> {
        let to_set = self.to_set.lock();
        to_set.unwrap_or_else(PoisonError::into_inner).clone()
    }
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

/// The network that the request comes from, which limits are counted by; outside of one, the
/// unspecified address.
pub fn network() -> IpNet {
    let address = address();
    network_of(address).unwrap_or_else(|| address.into())
}

/// The content of the device cookie that came with the request.
pub fn device_cookie() -> Option<String> {
    CURRENT
        .try_with(|request| request.device.sent.clone())
        .ok()
        .flatten()
}

/// Has the answer set the device cookie. Outside of a request nothing happens.
pub fn set_device_cookie(content: String) {
    let _ = CURRENT.try_with(|request| {
        let to_set = request.device.to_set.lock();
        *to_set.unwrap_or_else(PoisonError::into_inner) = Some(content);
    });
}

/// Notes that the session of the request has ended: its browser is to forget what pages have kept.
/// Outside of a request nothing happens.
pub fn session_ended() {
    let _ = CURRENT.try_with(|request| request.ended.store(true, Ordering::Relaxed));
}

/// The request being answered, with its session. None outside of one.
pub fn with_session(session: Option<Session>) -> Option<Request> {
    let current = CURRENT.try_with(Request::clone).ok()?;
    Some(Request { session, ..current })
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
