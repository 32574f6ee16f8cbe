//! A TCP proxy that can delay or hold back data, and cut or reset connections. Independent of the protocol.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// The mode of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Passes,
    /// Each read is forwarded after this delay.
    Delays(Duration),
    /// Connections are accepted, but no data is forwarded until the mode changes, as by a server that hangs.
    Swallows,
    /// Each connection is reset after this many bytes in both directions together.
    CutsAfter(usize),
    /// Open connections are reset immediately, new ones when they are accepted.
    Resets,
}

/// The proxy. Dropping it closes all connections.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

struct Shared {
    target: Mutex<Option<String>>,
    line: watch::Sender<Line>,
    /// Counts the resets of all open connections.
    resets: watch::Sender<u64>,
}

/// How a connection ended.
enum End {
    Closed,
    Cut,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            line: watch::Sender::new(Line::Passes),
            resets: watch::Sender::new(0),
        });
        let mut accepting = JoinSet::new();
        let connection_shared = shared.clone();
        accepting.spawn(async move {
            // Dropped with this task, and so with the proxy: this closes the connections.
            let mut open = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                open.spawn(forward_connection(connection_shared.clone(), caller));
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            shared,
            address,
            _accepting: accepting,
        }
    }

    /// Forwards to the host of `url`. Returns the URL through this proxy.
    pub fn in_front_of(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        *self.shared.target.lock().unwrap() = Some(host.to_owned());
        let at = if user.is_empty() { "" } else { "@" };
        format!("{scheme}://{user}{at}{}{path}", self.address)
    }

    pub fn set(&self, line: Line) {
        self.shared.line.send_replace(line);
        if line == Line::Resets {
            self.reset();
        }
    }

    /// Resets all open connections once.
    pub fn reset(&self) {
        self.shared.resets.send_modify(|resets| *resets += 1);
    }
}

async fn forward_connection(shared: Arc<Shared>, mut caller: TcpStream) {
    let mut resets = shared.resets.subscribe();
    if *shared.line.borrow() == Line::Resets {
        let _ = caller.set_zero_linger();
        return;
    }
    shared.wait_while_swallowing().await;
    let target = shared.target.lock().unwrap().clone().unwrap();
    let Ok(mut callee) = TcpStream::connect(target).await else {
        return;
    };
    let forwarded = AtomicUsize::new(0);
    let end = {
        let (from_caller, to_caller) = caller.split();
        let (from_callee, to_callee) = callee.split();
        let both = async {
            tokio::try_join!(
                forward(&shared, &forwarded, from_caller, to_callee),
                forward(&shared, &forwarded, from_callee, to_caller),
            )
        };
        tokio::select! {
            _ = resets.changed() => End::Cut,
            ended = both => match ended {
                Ok(_) => End::Closed,
                Err(end) => end,
            },
        }
    };
    if matches!(end, End::Cut) {
        // Closing then sends RST instead of FIN.
        let _ = (caller.set_zero_linger(), callee.set_zero_linger());
    }
}

/// Forwards one direction until its sender closes it.
async fn forward(
    shared: &Shared,
    forwarded: &AtomicUsize,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> Result<(), End> {
    let closed = |_: io::Error| End::Closed;
    let mut data = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut data).await.map_err(closed)?;
        shared.wait_while_swallowing().await;
        if length == 0 {
            return to.shutdown().await.map_err(closed);
        }
        let before = forwarded.fetch_add(length, Ordering::SeqCst);
        let line = *shared.line.borrow();
        match line {
            Line::Delays(delay) => tokio::time::sleep(delay).await,
            Line::CutsAfter(limit) if before + length > limit => {
                let last = limit.saturating_sub(before);
                to.write_all(&data[..last]).await.map_err(closed)?;
                return Err(End::Cut);
            }
            _ => {}
        }
        to.write_all(&data[..length]).await.map_err(closed)?;
    }
}

impl Shared {
    async fn wait_while_swallowing(&self) {
        let mut line = self.line.subscribe();
        // Cannot fail, because `self` owns the sender.
        let _ = line.wait_for(|line| *line != Line::Swallows).await;
    }
}
