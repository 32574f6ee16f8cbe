//! Tests of the limits on real sockets, with short deadlines and few connections.

use super::*;
use axum::{
    Router,
    response::sse::{Event, KeepAlive, Sse},
    routing::{get, post},
};
use futures::stream;
use std::{convert::Infallible, net::Ipv4Addr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinHandle,
    time::{Instant, timeout},
};

const HEAD: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(10);
const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
const STREAM: &[u8] = b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n";

fn limits(total: usize, per_network: Option<usize>) -> ConnectionLimits {
    ConnectionLimits {
        head_within: HEAD,
        write_within: HEAD,
        ..ConnectionLimits::new(total, per_network, Arc::default())
    }
}

/// A server with a quick route, an endless event stream, an upload, and an endless response.
fn serve(limits: ConnectionLimits) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let forever = || async {
        let nothing = stream::pending::<Result<Event, Infallible>>();
        Sse::new(nothing).keep_alive(KeepAlive::new().interval(HEAD / 4))
    };
    let endless = || async {
        Body::from_stream(stream::repeat_with(|| {
            Ok::<_, Infallible>(Bytes::from(vec![0; 65536]))
        }))
    };
    let app = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/stream", get(forever))
        .route("/endless", get(endless))
        .route(
            "/upload",
            post(|body: Bytes| async move { format!("{} bytes\n", body.len()) }),
        );
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = server(listener, limits).unwrap();
    let serving = tokio::spawn(async move { server.serve(service).await.unwrap() });
    (addr, serving)
}

async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

/// Sends this and returns the beginning of the answer; empty if the connection ends instead.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> String {
    let _ = stream.write_all(request).await;
    let mut buffer = vec![0; 4096];
    match timeout(LONG, stream.read(&mut buffer)).await.unwrap() {
        Ok(read) => String::from_utf8_lossy(&buffer[..read]).into_owned(),
        Err(_) => String::new(),
    }
}

/// Waits until the server has closed the connection. Returns how long that took.
async fn closed(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let mut buffer = vec![0; 65536];
    loop {
        match timeout(LONG, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return began.elapsed(),
            Ok(Ok(_)) => {}
            Err(elapsed) => panic!("the connection is still open: {elapsed}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_disconnected() {
    let (addr, _serving) = serve(limits(100, None));
    for sent in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        "GET /healthz HTTP/1.1\r\nhost: a\r\n",
        "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03",
    ] {
        let mut stream = connect(addr).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let took = closed(&mut stream).await;
        assert!(took < 5 * HEAD, "{sent:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_disconnected() {
    let (addr, _serving) = serve(limits(100, None));
    let began = Instant::now();
    let mut drips = connect(addr).await;
    while drips.write_all(b"a").await.is_ok() {
        assert!(began.elapsed() < LONG, "a head has no time limit");
        tokio::time::sleep(HEAD / 10).await;
    }
    let mut idle = connect(addr).await;
    for _ in 0..3 {
        assert!(ask(&mut idle, HEALTH).await.contains("alive"));
        tokio::time::sleep(HEAD / 2).await;
    }
    assert!(closed(&mut idle).await < 5 * HEAD);
}

#[tokio::test]
async fn streams_and_slow_uploads_outlast_the_deadlines() {
    let (addr, _serving) = serve(limits(100, None));
    let mut stream = connect(addr).await;
    assert!(ask(&mut stream, STREAM).await.contains("200 OK"));
    let mut upload = connect(addr).await;
    let head = b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n";
    upload.write_all(head).await.unwrap();
    for _ in 0..12 {
        upload.write_all(b"x").await.unwrap();
        tokio::time::sleep(HEAD / 4).await;
    }
    assert!(ask(&mut upload, b"").await.contains("12 bytes"));
    let mut buffer = [0; 4096];
    while stream.try_read(&mut buffer).is_ok() {}
    assert!(
        !ask(&mut stream, b"").await.is_empty(),
        "the stream goes on"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let (addr, _serving) = serve(limits(1, None));
    let mut greedy = connect(addr).await;
    let request = b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n";
    greedy.write_all(request).await.unwrap();
    let began = Instant::now();
    loop {
        let mut other = connect(addr).await;
        let answer = ask(&mut other, HEALTH).await;
        if answer.contains("alive") && began.elapsed() > HEAD / 2 {
            break;
        }
        assert!(
            began.elapsed() < LONG,
            "the connection stays open: {answer}"
        );
        tokio::time::sleep(HEAD / 10).await;
    }
}

#[tokio::test]
async fn idle_connections_are_closed_for_new_ones() {
    let (addr, _serving) = serve(limits(8, None));
    let mut kept = connect(addr).await;
    assert!(ask(&mut kept, STREAM).await.contains("200 OK"));
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(connect(addr).await);
    }
    let mut late = connect(addr).await;
    let began = Instant::now();
    assert!(ask(&mut late, HEALTH).await.contains("alive"));
    assert!(began.elapsed() < HEAD, "answered only after a deadline");
    assert!(!ask(&mut kept, b"").await.is_empty(), "a stream was closed");
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_with_503() {
    let (addr, _serving) = serve(limits(3, None));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(addr).await;
        assert!(ask(&mut stream, STREAM).await.contains("200 OK"));
        streams.push(stream);
    }
    let refused = ask(&mut connect(addr).await, b"").await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: "),
        "{refused}"
    );
    drop(streams.pop());
    let began = Instant::now();
    while !ask(&mut connect(addr).await, HEALTH)
        .await
        .contains("alive")
    {
        assert!(began.elapsed() < LONG, "a closed connection still counts");
        tokio::time::sleep(HEAD / 20).await;
    }
}

/// A connection from another address of this machine.
async fn connect_from(from: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
    socket.connect(addr).await.unwrap()
}

#[tokio::test]
async fn one_address_takes_no_more_than_its_share() {
    let proxy: IpNet = "127.0.0.9/32".parse().unwrap();
    let limits = ConnectionLimits {
        trusted_proxies: [proxy].into(),
        ..limits(100, Some(2))
    };
    let (addr, _serving) = serve(limits);
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = connect_from([127, 0, 0, 2], addr).await;
        assert!(ask(&mut stream, STREAM).await.contains("200 OK"));
        streams.push(stream);
    }
    let mut third = connect_from([127, 0, 0, 2], addr).await;
    assert!(ask(&mut third, b"").await.contains(" 503 "));
    let mut other = connect_from([127, 0, 0, 3], addr).await;
    assert!(ask(&mut other, HEALTH).await.contains("alive"));
    for _ in 0..10 {
        let mut stream = connect_from([127, 0, 0, 9], addr).await;
        assert!(
            ask(&mut stream, STREAM).await.contains("200 OK"),
            "a trusted proxy is limited"
        );
        streams.push(stream);
    }
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let connections = Connections {
        limits: limits(100, Some(1)),
        open: Mutex::default(),
    };
    let admit = |address: &str| connections.admit(address.parse().unwrap());
    let (first, _) = admit("2001:db8::1").unwrap();
    connections.open().mark_busy(first);
    assert_eq!(admit("2001:db8::2:0:0:1").err(), Some("address"));
    admit("2001:db8:0:1::1").unwrap();
    connections.open().remove(first);
    admit("2001:db8::2:0:0:1").unwrap();
}

#[test]
fn what_has_left_leaves_no_trace() {
    let connections = Connections {
        limits: limits(10, Some(5)),
        open: Mutex::default(),
    };
    for round in 0..100u8 {
        for peer in 0..20 {
            let _ = connections.admit([10, 0, round, peer].into());
        }
    }
    let mut open = connections.open();
    let (all, idle) = (open.by_id.len(), open.idle.len());
    assert_eq!((all, idle), (10, 10));
    let ids: Vec<u64> = open.by_id.keys().copied().collect();
    for id in ids {
        open.remove(id);
    }
    assert!(open.idle.is_empty() && open.networks.is_empty());
}
