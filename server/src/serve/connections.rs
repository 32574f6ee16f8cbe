//! Limits on connections: how many may be open, and how long a client may take to send a request or to
//! read its response.
//!
//! Owns the acceptor of the server and the table of open connections. At the limit, the connection that
//! has been idle for longest is closed for a new one; a connection is idle if it has no request under way,
//! even while a head is being received. A new connection is refused only if all others have requests
//! under way. Does not look into requests.

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

/// How long a client may take to send a request's head, from the start of the connection or the end of the
/// previous response. Idle connections are closed after this time, too.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take to read the next part of a response.
const WRITE_WITHIN: Duration = Duration::from_mins(1);
/// The most open files that are reserved for other uses: databases, Redis, mails, pages.
const OTHER_FILES_MAX: usize = 256;
/// Sent to a refused connection in place of the response to its request.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 37\r\n\r\nToo many connections. Try again soon.";

/// The limits on connections.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimits {
    pub total: usize,
    /// The most from one network: an IPv4 address, or an IPv6 /64. `None`: no limit.
    pub per_network: Option<usize>,
    /// Exempt from `per_network`.
    pub trusted_proxies: Arc<[IpNet]>,
    head_within: Duration,
    write_within: Duration,
}

impl ConnectionLimits {
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

/// Raises the process's limit of open files to the maximum. Returns how many of the `wanted` connections it
/// allows, and logs a warning if these are fewer.
pub(super) fn fit_to_open_files(wanted: usize) -> usize {
    let Some(files) = open_files_max() else {
        return wanted;
    };
    let others = OTHER_FILES_MAX.min(files / 4);
    let possible = wanted.min(files - others);
    if possible < wanted {
        tracing::warn!(
            files,
            "the limit of open files allows {possible} connections, fewer than the {wanted} of \
            STAGEDOOR_CONNECTIONS"
        );
    }
    possible
}

/// The limit of open files, after raising it to the maximum.
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

/// A server on this listener that enforces `limits`. It supports HTTP/1.1 only: detecting HTTP/2 would wait
/// for the first bytes without a deadline, and proxies do not need it.
pub(super) fn server(
    listener: TcpListener,
    limits: ConnectionLimits,
) -> io::Result<Server<SocketAddr, LimitingAcceptor>> {
    let mut server = axum_server::from_tcp(listener)?.http1_only();
    server
        .http_builder()
        .http1()
        .header_read_timeout(limits.head_within);
    Ok(server.acceptor(LimitingAcceptor(Arc::new(Connections {
        limits,
        open: Mutex::default(),
    }))))
}

/// Accepts or refuses connections.
#[derive(Clone)]
pub(super) struct LimitingAcceptor(Arc<Connections>);

struct Connections {
    limits: ConnectionLimits,
    open: Mutex<OpenConnections>,
}

/// The open connections.
#[derive(Default)]
struct OpenConnections {
    /// The counter for ids of connections and for positions in the order of becoming idle.
    counter: u64,
    by_id: HashMap<u64, OpenConnection>,
    /// The ids of idle connections by when they became idle.
    idle: BTreeMap<u64, u64>,
    networks: HashMap<IpNet, NetworkConnections>,
}

struct OpenConnection {
    network: Option<IpNet>,
    requests: usize,
    idle_since: Option<u64>,
    /// Dropping it closes the connection.
    _keep_open: oneshot::Sender<()>,
}

#[derive(Default)]
struct NetworkConnections {
    open: usize,
    idle: BTreeMap<u64, u64>,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection from `peer`, closing an idle one if necessary. Returns its id, and a receiver that
    /// fails once the connection must close. Errors: the limit that it would exceed.
    fn admit(&self, peer: IpAddr) -> Result<(u64, oneshot::Receiver<()>), &'static str> {
        let limits = &self.limits;
        let per_network = limits
            .per_network
            .filter(|_| !is_trusted(peer, &limits.trusted_proxies));
        let network = per_network.and_then(|_| network_of(peer));
        let mut open = self.open();
        if let (Some(network), Some(most)) = (network, per_network)
            && let Some(of) = open.networks.get(&network)
            && of.open >= most
        {
            let longest_idle = of.idle.values().next().copied();
            open.remove(longest_idle.ok_or("address")?);
        }
        if open.by_id.len() >= limits.total {
            let longest_idle = open.idle.values().next().copied();
            open.remove(longest_idle.ok_or("total")?);
        }
        let (keep_open, must_close) = oneshot::channel();
        let id = open.next_number();
        let connection = OpenConnection {
            network,
            requests: 0,
            idle_since: None,
            _keep_open: keep_open,
        };
        open.by_id.insert(id, connection);
        if let Some(network) = network {
            open.networks.entry(network).or_default().open += 1;
        }
        open.mark_idle(id);
        Ok((id, must_close))
    }
}

impl OpenConnections {
    fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn mark_idle(&mut self, id: u64) {
        let since = self.next_number();
        let Some(connection) = self.by_id.get_mut(&id) else {
            return;
        };
        connection.idle_since = Some(since);
        self.idle.insert(since, id);
        if let Some(of) = connection.network.and_then(|it| self.networks.get_mut(&it)) {
            of.idle.insert(since, id);
        }
    }

    fn mark_busy(&mut self, id: u64) {
        let Some(connection) = self.by_id.get_mut(&id) else {
            return;
        };
        if let Some(since) = connection.idle_since.take() {
            self.idle.remove(&since);
            if let Some(of) = connection.network.and_then(|it| self.networks.get_mut(&it)) {
                of.idle.remove(&since);
            }
        }
    }

    /// Removes a connection, which closes it if it is still open.
    fn remove(&mut self, id: u64) {
        self.mark_busy(id);
        let Some(OpenConnection {
            network: Some(network),
            ..
        }) = self.by_id.remove(&id)
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

impl<S> Accept<TcpStream, S> for LimitingAcceptor {
    type Stream = Connection;
    type Service = TrackedService<S>;
    type Future = Ready<io::Result<(Connection, TrackedService<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(stream.peer_addr().and_then(|peer| {
            match self.0.admit(peer.ip()) {
                Ok((id, must_close)) => {
                    let slot = Arc::new(Slot {
                        connections: self.0.clone(),
                        id,
                    });
                    let connection = Connection {
                        stream,
                        write_within: self.0.limits.write_within,
                        must_close: Some(must_close),
                        stalled: None,
                        _slot: slot.clone(),
                    };
                    Ok((
                        connection,
                        TrackedService {
                            inner: service,
                            slot,
                        },
                    ))
                }
                Err(bound) => {
                    metrics::counter!("stagedoor_connections_refused_total", "bound" => bound)
                        .increment(1);
                    // Only if the response can be sent without waiting.
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

/// Removes the connection from the table when the last reference is dropped.
struct Slot {
    connections: Arc<Connections>,
    id: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open().remove(self.id);
    }
}

/// A connection that closes when it is removed from the table, or when its client stops reading.
pub(super) struct Connection {
    stream: TcpStream,
    write_within: Duration,
    /// `None` once the connection must close.
    must_close: Option<oneshot::Receiver<()>>,
    stalled: Option<Pin<Box<Sleep>>>,
    _slot: Arc<Slot>,
}

impl Connection {
    fn poll_must_close(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(receiver) = &mut self.must_close
            && Pin::new(receiver).poll(cx).is_ready()
        {
            self.must_close = None;
        }
        self.must_close.is_none()
    }

    /// The result of a write, or an error if no write has been possible for too long.
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
        let slow = "the client does not read the response";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, slow)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_must_close(cx) {
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

/// A connection's service, which marks the connection as busy until the response is sent.
#[derive(Clone)]
pub(super) struct TrackedService<S> {
    inner: S,
    slot: Arc<Slot>,
}

impl<S, R> Service<R> for TrackedService<S>
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
        let guard = BusyGuard::new(self.slot.clone());
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(response.map(|body| {
                Body::new(TrackedBody {
                    body,
                    _guard: guard,
                })
            }))
        })
    }
}

/// Marks the connection as busy while a request is under way.
struct BusyGuard(Arc<Slot>);

impl BusyGuard {
    fn new(slot: Arc<Slot>) -> Self {
        let mut open = slot.connections.open();
        open.mark_busy(slot.id);
        if let Some(connection) = open.by_id.get_mut(&slot.id) {
            connection.requests += 1;
        }
        drop(open);
        Self(slot)
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let mut open = self.0.connections.open();
        let Some(connection) = open.by_id.get_mut(&self.0.id) else {
            return;
        };
        connection.requests -= 1;
        if connection.requests == 0 {
            open.mark_idle(self.0.id);
        }
    }
}

/// The body of a response, which keeps the connection busy until it is dropped.
struct TrackedBody {
    body: Body,
    _guard: BusyGuard,
}

impl HttpBody for TrackedBody {
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
