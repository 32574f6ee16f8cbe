//! `stagedoor serve`: puts the shop on the network and takes it off again without losing anybody.
//! Who charges cards there is in `serve/paying.rs`.

mod connections;
mod paying;
mod role;

pub use role::Role;

use crate::{
    config::{Config, leptos_options},
    files::Files,
    health::Health,
    jobs, opening,
    router::{Web, router},
    seed, shutdown,
};
use anyhow::Context;
use axum::Router;
use axum_server::Handle;
use connections::Bounds;
use context::{Demo, Site};
use paying::Paying;
use platform::{
    clock::{SharedClock, SystemClock},
    db::Db,
    outbox::{Live, Nats},
    redis_client::Redis,
    secrets, security, telemetry,
    write_probe::WriteProbe,
};
use secrecy::ExposeSecret;
use shop::{Parts, Shop};
use shop::{
    events::ListenersMax,
    letters::Mailer,
    mail::{Folder, Letterhead, Smtp, Transport},
    orders::Holds,
    payments::{CALLS_AT_ONCE, Engine, PAY_WAIT},
};
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// How long what is under way may take once no new requests are taken.
const DRAIN: Duration = Duration::from_secs(20);

/// Serves until asked to stop.
#[expect(clippy::too_many_lines, reason = "puts a whole process together")]
pub async fn serve(config: Config, role: Role, files: Option<Files>) -> anyhow::Result<()> {
    let figures = telemetry::start_figures().context("the figures could not be started")?;
    let listener = bind(config.addr)?;
    let _serving = opening::serving(&config).await?;
    let db = opening::open_for_serving(&config).await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let paying = Paying::open(&config, clock.clone()).await?;
    announce(&config, role);
    paying.announce(role);
    hash_addresses(&db, &clock).await?;
    let bounds = bounds(&config);
    let redis = redis(&config)?;
    let nats = nats(&config).await?;
    let site = Arc::new(paying.site(&config));
    let shop = Shop::new(Parts {
        db: db.clone(),
        clock: clock.clone(),
        gateway: paying.gateway,
        webhook_verifier: paying.webhook_verifier,
        holds: config.holds,
        hold_limits: config.hold_limits,
        listings_per_day: config.listings_per_day,
        public_url: config.public_url.clone(),
        pay_wait: PAY_WAIT,
        calls_at_once: CALLS_AT_ONCE,
        rate_limits: config.rate_limits,
        operators: config.operators,
        listeners: listeners(&config, bounds.total),
        redis: redis.clone(),
        nats: nats.clone(),
        mail: Some(mail(&config)?),
    })?;
    let draining = Arc::new(AtomicBool::new(false));
    let probe = WriteProbe::new();
    let health = Health {
        db: db.clone(),
        redis,
        nats,
        clock,
        probe: probe.clone(),
        worker: role == Role::Worker,
        swept: shop.sweeper.swept(),
        draining: draining.clone(),
        data_dir: config.data_dir.clone(),
        metrics: Some(figures),
    };
    let queue = health.redis.as_ref().map(|redis| redis.client().clone());
    let app = if role == Role::Worker {
        crate::health::routes(health)
    } else {
        let web = web(&config, files, site, health, paying.browser)?;
        router(&shop, web)
    };
    let (live, engine, mailer) = (shop.live.clone(), shop.engine.clone(), shop.mailer.clone());
    let process = jobs::Process {
        is_worker: role != Role::Web,
        redis: queue,
        probe: Some(probe),
    };
    let jobs = jobs::start(shop, process);
    let drain = config.drain;
    let stopping = Stopping {
        draining,
        live,
        drain,
    };
    let until = listen(listener, app, bounds, stopping).await?;
    settle(&engine, mailer.as_deref(), until).await;
    drop(jobs);
    if timeout_at(until, db.close()).await.is_err() {
        tracing::warn!("the database does not answer; leaving all the same");
    }
    tracing::info!("stopped");
    Ok(())
}

/// What the router of a process that serves pages needs.
fn web(
    config: &Config,
    files: Option<Files>,
    site: Arc<Site>,
    health: Health,
    double: Option<Router>,
) -> anyhow::Result<Web> {
    let options = leptos_options(config.addr)?;
    let files = files.unwrap_or_else(|| Files::Folder(options.site_root.to_string()));
    Ok(Web {
        options,
        files,
        site,
        health,
        double,
        trusted_proxies: config.trusted_proxies.clone().into(),
        uploads_per_address: config.edge.uploads_per_address,
        transport_security: config.edge.transport_security.clone(),
    })
}

/// All processes of a shop name an address alike in the security log.
async fn hash_addresses(db: &Db, clock: &SharedClock) -> anyhow::Result<()> {
    let secret = secrets::shared_secret(db, clock.now()).await?;
    security::hash_by(secret.expose_secret().as_bytes());
    Ok(())
}

/// Lets the calls to Stripe and the mails that are out come to their end, so that no other process
/// has to wait for their leases, nor sends a mail again.
async fn settle(engine: &Engine, mailer: Option<&Mailer>, until: Instant) {
    let mails = async {
        if let Some(mailer) = mailer {
            mailer.close().await;
        }
    };
    let (calls, mails) = tokio::join!(timeout_at(until, engine.close()), timeout_at(until, mails));
    if calls.is_err() {
        tracing::warn!("a call to Stripe is still out; it is made again once its lease is over");
    }
    if mails.is_err() {
        tracing::warn!("a mail is still out; it is sent again once its lease is over");
    }
}

fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addr)
        .with_context(|| format!("STAGEDOOR_ADDR: {addr} cannot be listened on"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What is to be told once the process is asked to stop, and how long it goes on all the same.
struct Stopping {
    draining: Arc<AtomicBool>,
    live: Arc<Live>,
    drain: Duration,
}

/// Serves `app` until SIGTERM or SIGINT; then says that it will stop, takes what still comes for a
/// while, refuses new connections, and lets what is under way come to its end. Returns until when
/// whatever else is under way may do so.
async fn listen(
    listener: TcpListener,
    app: Router,
    bounds: Bounds,
    stopping: Stopping,
) -> anyhow::Result<Instant> {
    let handle = Handle::new();
    let stopper = handle.clone();
    let stopped = tokio::spawn(async move {
        shutdown::requested().await;
        tracing::info!("asked to stop: finishing what is under way");
        stopping.draining.store(true, Ordering::SeqCst);
        tokio::time::sleep(stopping.drain).await;
        stopping.live.close();
        stopper.graceful_shutdown(Some(DRAIN));
        Instant::now() + DRAIN
    });
    connections::server(listener, bounds)?
        .handle(handle)
        .serve(app.into_make_service_with_connect_info::<SocketAddr>())
        .await
        .context("the server failed")?;
    stopped.await.context("nobody has asked the server to stop")
}

/// What bounds the connections of this process. Rehearsals come from one address, with limits off.
fn bounds(config: &Config) -> Bounds {
    let edge = &config.edge;
    let per_address = config.rate_limits.then_some(edge.connections_per_address);
    let total = connections::room_for(edge.connections);
    Bounds::new(total, per_address, config.trusted_proxies.clone().into())
}

/// A quarter of the connections is left to everything that is no stream.
fn listeners(config: &Config, connections: usize) -> ListenersMax {
    ListenersMax {
        total: connections / 4 * 3,
        per_network: config.edge.streams_per_address,
        trusted_proxies: config.trusted_proxies.clone().into(),
    }
}

/// What processes share, if they do.
fn redis(config: &Config) -> anyhow::Result<Option<Redis>> {
    let url = config.redis_url.as_deref();
    let redis = url.map(|url| Redis::new(url, &config.trust)).transpose();
    redis.context("REDIS_URL")
}

/// Where domain events go, if they do.
async fn nats(config: &Config) -> anyhow::Result<Option<Nats>> {
    let Some(url) = &config.nats_url else {
        return Ok(None);
    };
    Ok(Some(
        Nats::connect(url.expose_secret(), &config.trust)
            .await
            .context("NATS_URL")?,
    ))
}

/// How mails leave, and what they have in common.
fn mail(config: &Config) -> anyhow::Result<(Arc<dyn Transport>, Letterhead)> {
    let head = Letterhead::new(config.mail.from.clone(), &config.public_url);
    let transport: Arc<dyn Transport> = match &config.mail.smtp_url {
        Some(url) => Arc::new(
            Smtp::new(url.expose_secret(), head.domain(), &config.trust).context("SMTP_URL")?,
        ),
        None => Arc::new(Folder::new(config.data_dir.join("mail"))),
    };
    Ok((transport, head))
}

/// What the pages of a demo shop know.
pub fn demo_site(public_url: String, holds: Holds) -> Site {
    Site {
        public_url,
        hold_seconds: holds.hold_seconds,
        more_seconds: holds.more_seconds(),
        stripe_script_url: paying::DOUBLE_SCRIPT.to_owned(),
        stripe_publishable_key: paying::DOUBLE_KEY.to_owned(),
        demo: Some(Demo {
            accounts: seed::accounts(),
        }),
    }
}

fn announce(config: &Config, role: Role) {
    let engine = if config.database_url.starts_with("sqlite") {
        "SQLite"
    } else {
        "PostgreSQL"
    };
    tracing::info!(
        hold_seconds = config.holds.hold_seconds,
        queue = if config.redis_url.is_some() {
            "Redis"
        } else {
            "in process"
        },
        "Stagedoor {} on {engine}, {role:?}: {}",
        env!("CARGO_PKG_VERSION"),
        config.public_url
    );
    if config.mail.smtp_url.is_none() {
        let folder = config.data_dir.join("mail");
        tracing::info!(
            "no SMTP_URL is set, so mails are written to {}",
            folder.display()
        );
    }
    if !config.rate_limits {
        tracing::warn!("RATE LIMITS ARE OFF: anybody may guess passwords as fast as they can");
    }
}
