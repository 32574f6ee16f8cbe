//! The connections to the shop: how many there may be, and how long a client may keep one without
//! sending a request or reading its answer.
//!
//! Owns the acceptor of the server and the table of open connections. When all places are taken, the
//! connection that has been without a request for longest is closed for a new one: silent ones, those
//! in the middle of a head, those that are kept alive. A new connection is refused only if every place
//! has a request under way. What is in requests is none of its business.

#[cfg(test)]
mod tests;

use axum::body::{Body, Bytes, HttpBody};
use axum_server::{Server, accept::Accept};
use http::Response;
use http_body::{Frame, SizeHint};
use ipnet::IpNet;
use platform::network::{is_trusted, network_of};
use std::{
    collections::{BTreeMap, HashMap},
    future::{Ready, ready},
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready as when_ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::{Sleep, sleep},
};
use tower::Service;

/// How long a client may take to send a request's head, counted from when the connection was made or
/// from the end of the answer before: idle connections are closed after it, too.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take to read the next piece of an answer.
const WRITE_WITHIN: Duration = Duration::from_mins(1);
/// The most files that are left to other things than connections: databases, Redis, mails, pages.
const OTHER_FILES_MAX: usize = 256;
/// Sent to a connection that is refused, in place of the answer to what it will ask.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 37\r\n\r\nToo many connections. Try again soon.";

/// What bounds connections.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// How many there may be at once.
    pub total: usize,
    /// How many of them from one network: an IPv4 address, or an IPv6 /64. No bound if `None`.
    pub per_network: Option<usize>,
    /// Proxies, which pass on the requests of many: they have no bound of their own.
    pub trusted_proxies: Arc<[IpNet]>,
    head_within: Duration,
    write_within: Duration,
}

impl Bounds {
    /// At most `total` connections, and `per_network` of one network that is no trusted proxy's.
    pub(super) fn new(
        total: usize,
        per_network: Option<usize>,
        trusted_proxies: Arc<[IpNet]>,
    ) -> Self {
        Self {
            total,
            per_network,
            trusted_proxies,
            head_within: HEAD_WITHIN,
            write_within: WRITE_WITHIN,
        }
    }
}

/// Lets the process open as many files as it may. Returns how many of the `wanted` connections that
/// leaves room for.
pub(super) fn room_for(wanted: usize) -> usize {
    let Some(files) = open_files_max() else {
        return wanted;
    };
    let others = OTHER_FILES_MAX.min(files / 4);
    let room = wanted.min(files - others);
    if room < wanted {
        tracing::warn!(
            files,
            "the limit of open files leaves room for {room} connections, fewer than the {wanted} of \
             STAGEDOOR_CONNECTIONS"
        );
    }
    room
}

/// How many files the process may open, now that it has asked for all it can have.
#[cfg(unix)]
fn open_files_max() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let found = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: found.maximum,
        maximum: found.maximum,
    };
    let now = match setrlimit(Resource::Nofile, all) {
        Ok(()) => found.maximum,
        Err(_) => found.current,
    };
    now.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn open_files_max() -> Option<usize> {
    None
}

/// A server on this listener that holds to `bounds`. It speaks HTTP/1.1 only: before the first bytes
/// of HTTP/2 have come there is no deadline, and proxies do not need it.
pub(super) fn server(
    listener: TcpListener,
    bounds: Bounds,
) -> io::Result<Server<SocketAddr, Door>> {
    let mut server = axum_server::from_tcp(listener)?.http1_only();
    server
        .http_builder()
        .http1()
        .header_read_timeout(bounds.head_within);
    Ok(server.acceptor(Door(Arc::new(Places {
        bounds,
        open: Mutex::default(),
    }))))
}

/// Lets connections in, or refuses them.
#[derive(Clone)]
pub(super) struct Door(Arc<Places>);

struct Places {
    bounds: Bounds,
    open: Mutex<Open>,
}

/// Every open connection by its number, and which of them are idle: without a request under way, by
/// when that began. Numbers and beginnings are counted up from the same 0.
#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Place>,
    idle: BTreeMap<u64, u64>,
    networks: HashMap<IpNet, OfNetwork>,
}

struct Place {
    network: Option<IpNet>,
    requests: usize,
    idle_since: Option<u64>,
    /// Dropped, it tells the connection to close.
    _stay: oneshot::Sender<()>,
}

#[derive(Default)]
struct OfNetwork {
    open: usize,
    idle: BTreeMap<u64, u64>,
}

impl Places {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `peer`. Errors: which bound it would exceed.
    fn enter(&self, peer: IpAddr) -> Result<(u64, oneshot::Receiver<()>), &'static str> {
        let bounds = &self.bounds;
        let bounded = bounds
            .per_network
            .filter(|_| !is_trusted(peer, &bounds.trusted_proxies));
        let network = bounded.and_then(|_| network_of(peer));
        let mut open = self.open();
        if let (Some(network), Some(most)) = (network, bounded)
            && let Some(of) = open.networks.get(&network)
            && of.open >= most
        {
            let longest_idle = of.idle.values().next().copied();
            open.leave(longest_idle.ok_or("address")?);
        }
        if open.all.len() >= bounds.total {
            let longest_idle = open.idle.values().next().copied();
            open.leave(longest_idle.ok_or("total")?);
        }
        let (stay, asked_to_leave) = oneshot::channel();
        let id = open.count();
        let place = Place {
            network,
            requests: 0,
            idle_since: None,
            _stay: stay,
        };
        open.all.insert(id, place);
        if let Some(network) = network {
            open.networks.entry(network).or_default().open += 1;
        }
        open.rest(id);
        Ok((id, asked_to_leave))
    }
}

impl Open {
    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The connection has no request under way.
    fn rest(&mut self, id: u64) {
        let since = self.count();
        let Some(place) = self.all.get_mut(&id) else {
            return;
        };
        place.idle_since = Some(since);
        self.idle.insert(since, id);
        if let Some(of) = place.network.and_then(|it| self.networks.get_mut(&it)) {
            of.idle.insert(since, id);
        }
    }

    /// It has one.
    fn work(&mut self, id: u64) {
        let Some(place) = self.all.get_mut(&id) else {
            return;
        };
        if let Some(since) = place.idle_since.take() {
            self.idle.remove(&since);
            if let Some(of) = place.network.and_then(|it| self.networks.get_mut(&it)) {
                of.idle.remove(&since);
            }
        }
    }

    /// It is no more, or about to be.
    fn leave(&mut self, id: u64) {
        self.work(id);
        let Some(Place {
            network: Some(network),
            ..
        }) = self.all.remove(&id)
        else {
            return;
        };
        if let Some(of) = self.networks.get_mut(&network) {
            of.open -= 1;
            if of.open == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Connection;
    type Service = Noted<S>;
    type Future = Ready<io::Result<(Connection, Noted<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(stream.peer_addr().and_then(|peer| {
            match self.0.enter(peer.ip()) {
                Ok((id, asked_to_leave)) => {
                    let held = Arc::new(Held {
                        places: self.0.clone(),
                        id,
                    });
                    let connection = Connection {
                        stream,
                        write_within: self.0.bounds.write_within,
                        asked_to_leave: Some(asked_to_leave),
                        stalled: None,
                        _held: held.clone(),
                    };
                    Ok((
                        connection,
                        Noted {
                            inner: service,
                            held,
                        },
                    ))
                }
                Err(bound) => {
                    metrics::counter!("stagedoor_connections_refused_total", "bound" => bound)
                        .increment(1);
                    // Whoever does not take it at once goes without.
                    let _ = stream.try_write(REFUSAL);
                    Err(io::Error::new(
                        io::ErrorKind::QuotaExceeded,
                        "too many connections",
                    ))
                }
            }
        }))
    }
}

/// A connection's place, given back once nothing of the connection is left.
struct Held {
    places: Arc<Places>,
    id: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.open().leave(self.id);
    }
}

/// A connection that ends when it is asked to leave, and when its client stops reading.
pub(super) struct Connection {
    stream: TcpStream,
    write_within: Duration,
    asked_to_leave: Option<oneshot::Receiver<()>>,
    stalled: Option<Pin<Box<Sleep>>>,
    _held: Arc<Held>,
}

impl Connection {
    fn is_asked_to_leave(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(asked) = &mut self.asked_to_leave
            && Pin::new(asked).poll(cx).is_ready()
        {
            self.asked_to_leave = None;
        }
        self.asked_to_leave.is_none()
    }

    /// What came of a write, or an error if none has been possible for too long.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let within = self.write_within;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
        when_ready!(stalled.as_mut().poll(cx));
        let slow = "the client does not read its answer";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, slow)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_asked_to_leave(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.in_time(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}

/// A connection's service, which notes while a request is under way: until its answer is sent.
#[derive(Clone)]
pub(super) struct Noted<S> {
    inner: S,
    held: Arc<Held>,
}

impl<S, R> Service<R> for Noted<S>
where
    S: Service<R, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let busy = Busy::begin(self.held.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(response.map(|body| Body::new(Answer { body, _busy: busy })))
        })
    }
}

/// A request that is under way.
struct Busy(Arc<Held>);

impl Busy {
    fn begin(held: Arc<Held>) -> Self {
        let mut open = held.places.open();
        open.work(held.id);
        if let Some(place) = open.all.get_mut(&held.id) {
            place.requests += 1;
        }
        drop(open);
        Self(held)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut open = self.0.places.open();
        let Some(place) = open.all.get_mut(&self.0.id) else {
            return;
        };
        place.requests -= 1;
        if place.requests == 0 {
            open.rest(self.0.id);
        }
    }
}

/// The body of an answer, sent as it is.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
