//! A TCP proxy that can delay, hold back, cut or reset connections. Knows no protocol.

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

/// How the proxy treats data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Passes,
    /// Each piece arrives after this delay.
    Delays(Duration),
    /// Connections are accepted, but data is held back until the mode changes: a silent server.
    Swallows,
    /// Each connection is reset after this many bytes in both directions together.
    CutsAfter(usize),
    /// Open connections are reset now, new ones on connecting.
    Resets,
}

/// The proxy. Dropping it closes all connections.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

struct Shared {
    leads_to: Mutex<Option<String>>,
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
            leads_to: Mutex::new(None),
            line: watch::Sender::new(Line::Passes),
            resets: watch::Sender::new(0),
        });
        let mut accepting = JoinSet::new();
        let carriers = shared.clone();
        accepting.spawn(async move {
            // Ends with this task, and so with the proxy.
            let mut open = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                open.spawn(carry(carriers.clone(), caller));
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
        *self.shared.leads_to.lock().unwrap() = Some(host.to_owned());
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

async fn carry(shared: Arc<Shared>, mut caller: TcpStream) {
    let mut resets = shared.resets.subscribe();
    if *shared.line.borrow() == Line::Resets {
        let _ = caller.set_zero_linger();
        return;
    }
    shared.while_it_swallows().await;
    let leads_to = shared.leads_to.lock().unwrap().clone().unwrap();
    let Ok(mut callee) = TcpStream::connect(leads_to).await else {
        return;
    };
    let carried = AtomicUsize::new(0);
    let end = {
        let (from_caller, to_caller) = caller.split();
        let (from_callee, to_callee) = callee.split();
        let both = async {
            tokio::try_join!(
                pump(&shared, &carried, from_caller, to_callee),
                pump(&shared, &carried, from_callee, to_caller),
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
async fn pump(
    shared: &Shared,
    carried: &AtomicUsize,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> Result<(), End> {
    let closed = |_: io::Error| End::Closed;
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut piece).await.map_err(closed)?;
        shared.while_it_swallows().await;
        if length == 0 {
            return to.shutdown().await.map_err(closed);
        }
        let before = carried.fetch_add(length, Ordering::SeqCst);
        let line = *shared.line.borrow();
        match line {
            Line::Delays(pause) => tokio::time::sleep(pause).await,
            Line::CutsAfter(most) if before + length > most => {
                let last = most.saturating_sub(before);
                to.write_all(&piece[..last]).await.map_err(closed)?;
                return Err(End::Cut);
            }
            _ => {}
        }
        to.write_all(&piece[..length]).await.map_err(closed)?;
    }
}

impl Shared {
    async fn while_it_swallows(&self) {
        let mut line = self.line.subscribe();
        // Cannot fail, because we hold the sender.
        let _ = line.wait_for(|line| *line != Line::Swallows).await;
    }
}
