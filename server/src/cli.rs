//! The command line: parses the arguments and runs the command. The commands for operators are in
//! `cli/`.

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
use clap::{Parser, Subcommand, ValueEnum};
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
  stagedoor operator ann@example.com              Ann may refund orders, and is mailed incidents
  stagedoor operator ann@example.com --reset-second-factor   if Ann has lost app and recovery codes
  stagedoor sessions end ann@example.com          signs Ann out everywhere
  stagedoor story ann@example.com                 what happened to Ann's orders, cards and mails
  stagedoor audit --json                          checks every invariant, for a cron job
  stagedoor move --from sqlite://data/stagedoor.db --to postgres://…   from one machine to many
";

/// A ticket marketplace in one binary: tickets are held while their buyer pays, and sold once.
#[derive(Debug, Parser)]
#[command(name = "stagedoor", version, before_help = EXAMPLES, after_help = config::help_table())]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the shop; migrates its database first
    Serve {
        /// What this process runs
        #[arg(long, value_enum, default_value_t = Role::All)]
        role: Role,
        #[command(flatten)]
        settings: Settings,
    },
    /// Migrates the database to this version
    Migrate {
        #[command(flatten)]
        settings: Settings,
    },
    /// Adds demo events, sellers and tickets; a second run changes nothing
    Seed {
        /// Removes the demo accounts and their listings, before the shop takes real money
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Makes a user an operator, who may refund any order and receives mails about incidents; without an
    /// address, lists the operators
    Operator {
        /// The e-mail address that they sign in with
        email: Option<String>,
        /// Revokes this
        #[arg(long, requires = "email")]
        revoke: bool,
        /// Turns off the second factor of this account, an operator's or not, and ends its sessions: for
        /// someone who has lost both the app and the recovery codes
        #[arg(long, requires = "email", conflicts_with = "revoke")]
        reset_second_factor: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Manages users' sessions
    Sessions {
        #[command(subcommand)]
        action: SessionsAction,
    },
    /// Lists the open incidents, which a person should look at
    Incidents {
        /// Prints JSON
        #[arg(long, conflicts_with = "settle")]
        json: bool,
        /// Marks an incident as settled
        #[arg(long, value_name = "ID")]
        settle: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Shows the history of an order and its payment, or of the orders of an e-mail address: declined
    /// cards with their codes, calls to Stripe, refunds, mails, incidents. Changes nothing
    Story {
        /// An e-mail address, or the id of an order, a payment or a refund (Stripe's too)
        about: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Prints the payment provider that the shop's payments are made with: demo, double, test or live.
    /// A shop does not start with another one
    Provider {
        /// Declares that the payments made so far were made in this mode
        #[arg(long, value_enum, value_name = "MODE")]
        set: Option<provider::Settable>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Prints all settings with their defaults and meaning
    Settings {
        /// How they are printed
        #[arg(long, value_enum, default_value_t = SettingsFormat::Env)]
        format: SettingsFormat,
    },
    /// Checks all invariants, here and at the payment provider; changes nothing. Exits with 0 if all of
    /// them hold, 1 if one is broken, 2 if they could not be checked, 3 if calls to the provider are
    /// under way and it must be run again
    Audit(Box<Audit>),
    /// Moves a whole shop to an empty database, SQLite or PostgreSQL, while no server runs; if
    /// interrupted, run it again to continue. Exits with 0 if everything has arrived and all invariants
    /// hold, 1 if something differs or is broken, 2 if it was not moved or could not be checked
    Move(Box<Move>),
    /// Checks whether the shop at this address is ready; exits with 0 if it is
    Health {
        /// The address and port that it listens on
        #[arg(
            long,
            env = "STAGEDOOR_ADDR",
            default_value = "127.0.0.1:3000",
            alias = "stagedoor-addr"
        )]
        addr: SocketAddr,
    },
    /// Runs the Stripe double as a separate process, for tests and rehearsals
    StripeDouble {
        /// The address and port that it listens on
        #[arg(long, default_value = "127.0.0.1:12111")]
        addr: SocketAddr,
        /// A folder to keep its state in across restarts [default: none]
        #[arg(long)]
        data: Option<PathBuf>,
        /// The URL that webhooks are sent to
        #[arg(long, requires = "webhook_secret")]
        webhook_url: Option<String>,
        /// The secret that webhooks are signed with
        #[arg(long)]
        webhook_secret: Option<String>,
        /// The URL at which browsers find the bank's page [default: this process]: `SHOP/stripe-double`
        #[arg(long)]
        browser_url: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SettingsFormat {
    /// A file `.env` in which all lines are comments
    Env,
    /// A page of documentation
    Markdown,
}

impl SettingsFormat {
    fn document(self) -> String {
        match self {
            Self::Env => config::env_file(),
            Self::Markdown => config::markdown(),
        }
    }
}

#[derive(Debug, Subcommand)]
enum SessionsAction {
    /// Ends all sessions of an account, and forgets its known devices
    End {
        /// The address that they sign in with
        email: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// Parses the arguments. `cargo leptos watch` passes none; then the command is `serve`.
pub fn arguments() -> Cli {
    if config::is_watched() && std::env::args_os().len() == 1 {
        Cli::parse_from(["stagedoor", "serve"])
    } else {
        Cli::parse()
    }
}

/// Runs the command and returns the exit code. `files` are the embedded files of the pages, if any.
/// Errors: one sentence for the operator.
pub async fn run(cli: Cli, files: Option<Files>) -> anyhow::Result<ExitCode> {
    let result = match cli.command {
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
            let output = match email.as_deref().filter(|_| reset_second_factor) {
                Some(email) => operator::reset_second_factor(&db, &config, email).await,
                None => operator::run(&db, &config, email.as_deref(), revoke).await,
            };
            say(db, output).await
        }
        Command::Sessions {
            action: SessionsAction::End { email, settings },
        } => {
            let config = settings.check()?;
            telemetry::start_log(config.log);
            let db = open_existing(&config).await?;
            let output = sessions::end(&db, &config, &email).await;
            say(db, output).await
        }
        Command::Incidents {
            json,
            settle,
            settings,
        } => {
            let db = open_quietly(settings).await?;
            let output = incidents::run(&db, settle.as_deref(), json).await;
            say(db, output).await
        }
        Command::Story { about, settings } => {
            let db = open_quietly(settings).await?;
            let output = story::run(&db, &about).await;
            say(db, output).await
        }
        Command::Provider { set, settings } => {
            let db = open_quietly(settings).await?;
            let output = provider::run(&db, set).await;
            say(db, output).await
        }
        Command::Settings { format } => {
            print!("{}", format.document());
            Ok(())
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
    result.map(|()| ExitCode::SUCCESS)
}

/// Migrates the database and prints its version.
async fn migrate(settings: Settings) -> anyhow::Result<()> {
    let config = settings.check()?;
    telemetry::start_log(config.log);
    let db = open_patiently(&config).await?;
    let (applied, _) = platform::db::migration_counts(db.monitoring()).await?;
    say(db, Ok(format!("the database is at migration {applied}\n"))).await
}

/// Adds demo data to the shop, or removes it.
async fn run_seed(settings: Settings, remove: bool) -> anyhow::Result<()> {
    if remove {
        let db = open_quietly(settings).await?;
        let removed = seed::remove(&db, Arc::new(SystemClock)).await;
        return say(db, removed.map_err(Into::into)).await;
    }
    let config = settings.check()?;
    telemetry::start_log(config.log);
    let db = open_for_seeding(&config).await?;
    let added = seed::seed(&db, Arc::new(SystemClock)).await?;
    say(db, Ok(added)).await
}

/// Starts log and traces, and serves until asked to stop.
async fn run_shop(settings: Settings, role: Role, files: Option<Files>) -> anyhow::Result<()> {
    let config = settings.check()?;
    config.assert_demo_is_intended()?;
    let crash_point = config::arm_crash_point()?;
    let traces = telemetry::start(config.log, config.traces.clone(), role.name());
    if let Some(at) = crash_point {
        tracing::warn!("STAGEDOOR_CRASH_AT={at}: THIS PROCESS WILL ABORT ITSELF THERE");
    }
    let result = serve::serve(config, role, files).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    result
}

/// Opens the database for a command on an existing shop.
async fn open_quietly(settings: Settings) -> anyhow::Result<Db> {
    let config = settings.check()?;
    telemetry::start_log(config.log);
    open_existing(&config).await
}

/// Closes the database and prints the output of a command.
async fn say(db: Db, output: anyhow::Result<String>) -> anyhow::Result<()> {
    db.close().await;
    print!("{}", output?);
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
