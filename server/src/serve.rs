//! `stagedoor serve`: starts the shop, serves until asked to stop, and finishes what is under way. The
//! payment provider is set up in `serve/payment_provider.rs`.

mod connections;
mod payment_provider;
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
use connections::ConnectionLimits;
use context::{Demo, Site};
use payment_provider::PaymentProvider;
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

/// How long work under way may take once new requests are refused.
const DRAIN: Duration = Duration::from_secs(20);

/// Serves until asked to stop.
#[expect(clippy::too_many_lines, reason = "assembles the whole process")]
pub async fn serve(config: Config, role: Role, files: Option<Files>) -> anyhow::Result<()> {
    let metrics = telemetry::start_metrics().context("the metrics could not be started")?;
    let listener = bind(config.addr)?;
    let _lock = opening::lock(&config).await?;
    let db = opening::open_for_serving(&config).await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let provider = PaymentProvider::open(&config, clock.clone()).await?;
    announce(&config, role);
    provider.announce(role);
    hash_addresses(&db, &clock).await?;
    let limits = connection_limits(&config);
    let redis = redis(&config)?;
    let nats = nats(&config).await?;
    let site = Arc::new(provider.site(&config));
    let shop = Shop::new(Parts {
        db: db.clone(),
        clock: clock.clone(),
        gateway: provider.gateway,
        webhook_verifier: provider.webhook_verifier,
        holds: config.holds,
        hold_limits: config.hold_limits,
        listings_per_day: config.listings_per_day,
        public_url: config.public_url.clone(),
        pay_wait: PAY_WAIT,
        calls_at_once: CALLS_AT_ONCE,
        rate_limits: config.rate_limits,
        operators: config.operators,
        listeners: listeners(&config, limits.total),
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
        last_sweep: shop.sweeper.last_sweep(),
        draining: draining.clone(),
        data_dir: config.data_dir.clone(),
        metrics: Some(metrics),
    };
    let queue = health.redis.as_ref().map(|redis| redis.client().clone());
    let app = if role == Role::Worker {
        crate::health::routes(health)
    } else {
        let web = web(&config, files, site, health, provider.browser_routes)?;
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
    let shutdown = Shutdown {
        draining,
        live,
        drain,
    };
    let deadline = listen(listener, app, limits, shutdown).await?;
    finish_work(&engine, mailer.as_deref(), deadline).await;
    drop(jobs);
    if timeout_at(deadline, db.close()).await.is_err() {
        tracing::warn!("the database connections could not be closed in time; stopping anyway");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The parts of the router of a process that serves pages.
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

/// Sets the key of the security log to one that all processes of the shop share.
async fn hash_addresses(db: &Db, clock: &SharedClock) -> anyhow::Result<()> {
    let secret = secrets::shared_secret(db, clock.now()).await?;
    security::set_hash_key(secret.expose_secret().as_bytes());
    Ok(())
}

/// Finishes the calls to Stripe and the mails under way, so that other processes need not wait for their
/// leases or send a mail again.
async fn finish_work(engine: &Engine, mailer: Option<&Mailer>, deadline: Instant) {
    let mails = async {
        if let Some(mailer) = mailer {
            mailer.close().await;
        }
    };
    let (calls, mails) = tokio::join!(
        timeout_at(deadline, engine.close()),
        timeout_at(deadline, mails)
    );
    if calls.is_err() {
        tracing::warn!(
            "a call to Stripe was not finished; it is repeated once its lease has ended"
        );
    }
    if mails.is_err() {
        tracing::warn!("a mail was not finished; it is sent again once its lease has ended");
    }
}

fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addr)
        .with_context(|| format!("STAGEDOOR_ADDR: cannot listen on {addr}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What to notify once the process is asked to stop, and how long to accept requests after that.
struct Shutdown {
    draining: Arc<AtomicBool>,
    live: Arc<Live>,
    drain: Duration,
}

/// Serves `app` until SIGTERM or SIGINT. Then it reports that it is not ready, still accepts requests for
/// the drain period, and finally refuses new connections and finishes requests under way. Returns the
/// deadline for other work under way.
async fn listen(
    listener: TcpListener,
    app: Router,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) -> anyhow::Result<Instant> {
    let handle = Handle::new();
    let stopper = handle.clone();
    let stopped = tokio::spawn(async move {
        shutdown::requested().await;
        tracing::info!("asked to stop: finishing the work under way");
        shutdown.draining.store(true, Ordering::SeqCst);
        tokio::time::sleep(shutdown.drain).await;
        shutdown.live.close();
        stopper.graceful_shutdown(Some(DRAIN));
        Instant::now() + DRAIN
    });
    connections::server(listener, limits)?
        .handle(handle)
        .serve(app.into_make_service_with_connect_info::<SocketAddr>())
        .await
        .context("the server failed")?;
    stopped.await.context("the shutdown task failed")
}

/// With rate limits off there is no limit per address: rehearsals come from one address.
fn connection_limits(config: &Config) -> ConnectionLimits {
    let edge = &config.edge;
    let per_address = config.rate_limits.then_some(edge.connections_per_address);
    let total = connections::fit_to_open_files(edge.connections);
    ConnectionLimits::new(total, per_address, config.trusted_proxies.clone().into())
}

/// Leaves a quarter of the connections to requests other than event streams.
fn listeners(config: &Config, connections: usize) -> ListenersMax {
    ListenersMax {
        total: connections / 4 * 3,
        per_network: config.edge.streams_per_address,
        trusted_proxies: config.trusted_proxies.clone().into(),
    }
}

fn redis(config: &Config) -> anyhow::Result<Option<Redis>> {
    let url = config.redis_url.as_deref();
    let redis = url.map(|url| Redis::new(url, &config.trust)).transpose();
    redis.context("REDIS_URL")
}

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

/// The transport of mails, and what all mails have in common.
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

/// The site of a demo shop.
pub fn demo_site(public_url: String, holds: Holds) -> Site {
    Site {
        public_url,
        hold_seconds: holds.hold_seconds,
        more_seconds: holds.extension_seconds(),
        stripe_script_url: payment_provider::DOUBLE_SCRIPT.to_owned(),
        stripe_publishable_key: payment_provider::DOUBLE_KEY.to_owned(),
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
            "SMTP_URL is not set, so mails are written to {}",
            folder.display()
        );
    }
    if !config.rate_limits {
        tracing::warn!("RATE LIMITS ARE OFF: passwords can be guessed without limit");
    }
}
