//! The commands of the binary, and what each does. What an operator asks for on the command line
//! is in `cli/`.

mod health;
mod incidents;
mod operator;
mod provider;
mod sessions;
mod story;

use crate::{
    audit::{self, Audit},
    config::{self, Settings},
    files::Files,
    moving::{self, Move},
    opening::{open_existing, open_for_seeding, open_patiently},
    seed,
    serve::{self, Role},
    shutdown,
};
use anyhow::Context;
use clap::{Parser, Subcommand};
use platform::{
    clock::{Clock, SystemClock},
    db::Db,
    telemetry,
};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};
use stripe_double::{Double, WebhookTarget};

const EXAMPLES: &str = "\
Examples:
  stagedoor seed && stagedoor serve               a demo shop on http://127.0.0.1:3000
  stagedoor serve --addr 0.0.0.0:8080             the same, for the whole network
  DATABASE_URL=postgres://… stagedoor serve       on PostgreSQL
  stagedoor serve --role worker                   only the jobs, beside `--role web` elsewhere
  stagedoor operator ann@example.com              Ann may refund, and is told what goes wrong
  stagedoor operator ann@example.com --reset-second-factor   Ann has lost app and recovery codes
  stagedoor sessions end ann@example.com          Ann is signed out everywhere
  stagedoor story ann@example.com                 what happened to Ann's orders, cards and mails
  stagedoor audit --json                          does everything hold? for a cron job
  stagedoor move --from sqlite://data/stagedoor.db --to postgres://…   from one machine to many
";

const SETTINGS: &str = "\
Settings (environment; flags of the same name win; .env is read):
  STAGEDOOR_ADDR                127.0.0.1:3000     where it listens
  STAGEDOOR_PUBLIC_URL          http://ADDR        its own origin, for links, cookies, the origin check
  STAGEDOOR_DATA_DIR            ./data             where the SQLite file and the mails are
  DATABASE_URL                  SQLite in the data folder; sqlite://…, or postgres://…?sslmode=verify-full
  STAGEDOOR_DATABASE_WAIT_SECONDS
                                60                 how long a start waits for a database that is away
  STAGEDOOR_CA_FILE             none               PEM: authorities that other servers' certificates are from
  STAGEDOOR_CLEARTEXT_HOSTS     none               redis,db,…: passwords may go there without TLS
  REDIS_URL                     none               redis://… or rediss://…; what several processes share: the expiry jobs' queue,
                                                   sessions, rate limits, changes on open pages
  NATS_URL                      none               nats://… or tls://…; where domain events go
  STAGEDOOR_HOLD_SECONDS        900                how long a reservation holds its tickets
  STAGEDOOR_HOLD_GRACE_SECONDS  60                 added once a payment has begun
  STAGEDOOR_HOLDS_PER_BUYER     8                  unpaid tickets that a buyer may hold of an event
  STAGEDOOR_HOLDS_PER_ADDRESS   64                 and all buyers at one network address; 0: any number
  STAGEDOOR_LISTINGS_PER_DAY    100000             tickets that a seller may list from midnight to midnight UTC
  STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY, STRIPE_WEBHOOK_SECRET
                                none               unset: demo mode, no money moves
  STAGEDOOR_DEMO                none               1: demo mode also at a public URL
  STRIPE_API_URL                Stripe's           where the Stripe client sends its calls
  SMTP_URL                      none               smtps://user:password@host, or smtp://…:587 with
                                                   STARTTLS (in the clear to this machine only);
                                                   unset: mails are files in DATA_DIR/mail
  STAGEDOOR_MAIL_FROM           Stagedoor <tickets@HOST>, of the public URL; whom mails are from
  STAGEDOOR_RATE_LIMITS         on                 off for tests and rehearsals
  STAGEDOOR_OPERATOR_TWO_FACTOR required with Stripe's live keys, else optional: operators without
                                                   a second factor cannot use operator functions
  STAGEDOOR_TRUSTED_PROXIES     none               10.0.0.0/8,…; whose X-Forwarded-For is believed
  STAGEDOOR_CONNECTIONS         10000              how many connections it takes at once
  STAGEDOOR_CONNECTIONS_PER_ADDRESS
                                1000               how many of them from one address, proxies aside
  STAGEDOOR_STREAMS_PER_ADDRESS 500                how many pages of one address are kept up to date
  STAGEDOOR_UPLOADS_PER_ADDRESS 4                  how many pictures come from one address at once
  STAGEDOOR_HSTS                max-age=31536000   Strict-Transport-Security over https, or off
  STAGEDOOR_DRAIN_SECONDS       0                  how long it takes requests once asked to stop
  STAGEDOOR_LOG                 pretty on a terminal, else json; RUST_LOG says how much
  OTEL_EXPORTER_OTLP_ENDPOINT   none               http://collector:4318, which traces go to; the other
                                                   OTEL_… that count are in `stagedoor serve --help`
";

/// A ticket marketplace in one binary: tickets are held while their buyer pays, and sold once.
#[derive(Debug, Parser)]
#[command(name = "stagedoor", version, before_help = EXAMPLES, after_help = SETTINGS)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the shop; migrates its database first
    Serve {
        /// The part of the work that this process does
        #[arg(long, value_enum, default_value_t = Role::All)]
        role: Role,
        #[command(flatten)]
        settings: Settings,
    },
    /// Brings the database to this version
    Migrate {
        #[command(flatten)]
        settings: Settings,
    },
    /// Puts demo events, sellers and tickets in; a second time changes nothing
    Seed {
        /// Removes the demo accounts and their listings again, before the shop takes real money
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Makes somebody an operator, who may refund any order and is told what goes wrong; without an
    /// address, lists the operators
    Operator {
        /// The address that they sign in with
        email: Option<String>,
        /// Makes them an operator no longer
        #[arg(long, requires = "email")]
        revoke: bool,
        /// Turns off the second factor of this account, an operator's or not, and ends its sessions: for
        /// someone who has lost both the app and the recovery codes
        #[arg(long, requires = "email", conflicts_with = "revoke")]
        reset_second_factor: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Sessions of the people who use the shop
    Sessions {
        #[command(subcommand)]
        action: SessionsAction,
    },
    /// Lists what a person should look at
    Incidents {
        /// As JSON
        #[arg(long, conflicts_with = "settle")]
        json: bool,
        /// Marks one as looked after
        #[arg(long, value_name = "ID")]
        settle: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Tells what happened to an order and its payment, or to the orders of an address: refused cards
    /// with their codes, calls to Stripe, refunds, mails, incidents. Changes nothing
    Story {
        /// An e-mail address, or the id of an order, a payment or a refund (Stripe's too)
        about: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Says with which payment provider the shop's payments are made: demo, double, test or live.
    /// A shop does not start with another one
    Provider {
        /// Declares that the payments made so far are reached in this mode
        #[arg(long, value_enum, value_name = "MODE")]
        set: Option<provider::Settable>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Checks everything that must hold, here and at the payment provider; changes nothing. Exits
    /// with 0 if all of it holds, 1 if something is broken, 2 if it could not be checked, 3 if
    /// calls to the provider are under way and it must be run again
    Audit(Box<Audit>),
    /// Moves a whole shop to an empty database, SQLite or PostgreSQL, while no server runs; cut off, it
    /// goes on where it was. Exits with 0 if everything arrived and holds, 1 if something differs or
    /// is broken, 2 if it was not moved or could not be checked
    Move(Box<Move>),
    /// Asks the shop that runs with this address whether it is ready; exits with 0 if it is
    Health {
        /// Where it listens
        #[arg(
            long,
            env = "STAGEDOOR_ADDR",
            default_value = "127.0.0.1:3000",
            alias = "stagedoor-addr"
        )]
        addr: SocketAddr,
    },
    /// Runs the Stripe double as a process of its own, for tests and rehearsals
    StripeDouble {
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:12111")]
        addr: SocketAddr,
        /// Keeps its state across restarts; without it, it forgets
        #[arg(long)]
        data: Option<PathBuf>,
        /// Where webhooks go
        #[arg(long, requires = "webhook_secret")]
        webhook_url: Option<String>,
        /// What they are signed with
        #[arg(long)]
        webhook_secret: Option<String>,
        /// Where a browser finds the bank's page, if not here: `SHOP/stripe-double`
        #[arg(long)]
        browser_url: Option<String>,
    },
}

/// What is done about sessions.
#[derive(Debug, Subcommand)]
enum SessionsAction {
    /// Ends all sessions of an account; the devices that it knows are forgotten
    End {
        /// The address that they sign in with
        email: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// Reads the arguments. `cargo leptos watch` gives none, and means the shop.
pub fn arguments() -> Cli {
    if config::is_watched() && std::env::args_os().len() == 1 {
        Cli::parse_from(["stagedoor", "serve"])
    } else {
        Cli::parse()
    }
}

/// Runs the command that the arguments name, and says what to exit with. `files` are the pages'
/// files inside the binary, if they are. Errors: one sentence, for the end of the log.
pub async fn run(cli: Cli, files: Option<Files>) -> anyhow::Result<ExitCode> {
    let done = match cli.command {
        Command::Audit(args) => return Ok(audit::run(*args).await),
        Command::Move(args) => return Ok(moving::run(*args).await),
        Command::Serve { role, settings } => run_shop(settings, role, files).await,
        Command::Migrate { settings } => migrate(settings).await,
        Command::Seed { remove, settings } => run_seed(settings, remove).await,
        Command::Operator {
            email,
            revoke,
            reset_second_factor,
            settings,
        } => {
            let config = settings.check()?;
            telemetry::start_log(config.log);
            let db = open_existing(&config).await?;
            let said = match email.as_deref().filter(|_| reset_second_factor) {
                Some(email) => operator::reset_second_factor(&db, &config, email).await,
                None => operator::run(&db, &config, email.as_deref(), revoke).await,
            };
            say(db, said).await
        }
        Command::Sessions {
            action: SessionsAction::End { email, settings },
        } => {
            let config = settings.check()?;
            telemetry::start_log(config.log);
            let db = open_existing(&config).await?;
            let said = sessions::end(&db, &config, &email).await;
            say(db, said).await
        }
        Command::Incidents {
            json,
            settle,
            settings,
        } => {
            let db = open_quietly(settings).await?;
            let said = incidents::run(&db, settle.as_deref(), json).await;
            say(db, said).await
        }
        Command::Story { about, settings } => {
            let db = open_quietly(settings).await?;
            let said = story::run(&db, &about).await;
            say(db, said).await
        }
        Command::Provider { set, settings } => {
            let db = open_quietly(settings).await?;
            let said = provider::run(&db, set).await;
            say(db, said).await
        }
        Command::Health { addr } => health::run(addr).await,
        Command::StripeDouble {
            addr,
            data,
            webhook_url,
            webhook_secret,
            browser_url,
        } => {
            telemetry::start_log(telemetry::LogFormat::Pretty);
            let target = webhook_url.zip(webhook_secret);
            let target = target.map(|(url, secret)| WebhookTarget { url, secret });
            run_double(addr, data, target, browser_url).await
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Brings the database to this version, and says which that is.
async fn migrate(settings: Settings) -> anyhow::Result<()> {
    let config = settings.check()?;
    telemetry::start_log(config.log);
    let db = open_patiently(&config).await?;
    let (applied, _) = platform::db::applied_and_known(&db).await?;
    say(db, Ok(format!("the database is at migration {applied}\n"))).await
}

/// Fills the shop with demo data, or removes it again.
async fn run_seed(settings: Settings, remove: bool) -> anyhow::Result<()> {
    if remove {
        let db = open_quietly(settings).await?;
        let removed = seed::remove(&db, Arc::new(SystemClock)).await;
        return say(db, removed.map_err(Into::into)).await;
    }
    let config = settings.check()?;
    telemetry::start_log(config.log);
    let db = open_for_seeding(&config).await?;
    let sown = seed::seed(&db, Arc::new(SystemClock)).await?;
    say(db, Ok(sown)).await
}

/// Serves, with all that is to be heard of it.
async fn run_shop(settings: Settings, role: Role, files: Option<Files>) -> anyhow::Result<()> {
    let config = settings.check()?;
    config.assert_demo_is_meant()?;
    let fatal = config::arm_crash_point()?;
    let traces = telemetry::start(config.log, config.traces.clone(), role.name());
    if let Some(at) = fatal {
        tracing::warn!("STAGEDOOR_CRASH_AT={at}: THIS PROCESS WILL ABORT ITSELF THERE");
    }
    let served = serve::serve(config, role, files).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    served
}

/// The database of a command that says something about a shop, and ends. Errors: there is none.
async fn open_quietly(settings: Settings) -> anyhow::Result<Db> {
    let config = settings.check()?;
    telemetry::start_log(config.log);
    open_existing(&config).await
}

/// Ends such a command with what it found, or why it failed.
async fn say(db: Db, said: anyhow::Result<String>) -> anyhow::Result<()> {
    db.close().await;
    print!("{}", said?);
    Ok(())
}

async fn run_double(
    addr: SocketAddr,
    data: Option<PathBuf>,
    webhooks: Option<WebhookTarget>,
    browser_url: Option<String>,
) -> anyhow::Result<()> {
    let double = Double::open(data, Arc::new(|| SystemClock.now().seconds()))
        .context("--data cannot be used")?;
    let here = format!("http://{}", crate::config::reachable(addr));
    double.set_browser_url(&browser_url.unwrap_or(here));
    if let Some(target) = webhooks {
        double.set_webhooks(target);
    }
    let deliveries = tokio::spawn(double.clone().run_webhooks());
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .with_context(|| format!("--addr {addr}"))?;
    tracing::info!("the Stripe double listens on http://{addr}; no money moves");
    let app = double.api_router().merge(double.browser_router());
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown::requested())
        .await?;
    deliveries.abort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_make_sense_together() {
        Cli::command().debug_assert();
    }
}
