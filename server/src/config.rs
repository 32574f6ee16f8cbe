//! The settings: read from flags and the environment, and checked before anything starts. Stagedoor does not
//! start with an invalid setting; the error names it.

mod documents;
mod edge;
mod names;
mod services;
mod stripe;
mod traces;
mod values;

pub use documents::{env_file, help_table, markdown};
pub use edge::EdgeConfig;
pub use stripe::{StripeConfig, StripeKeys};

use clap::Args;
use ipnet::IpNet;
use leptos::config::{LeptosOptions, errors::LeptosConfigError};
use lettre::message::Mailbox;
use platform::{
    crash, private,
    telemetry::{LogFormat, TracesConfig},
    trust::Trust,
};
use secrecy::SecretString;
use services::{check_database, check_http, check_mail, check_nats, check_redis, check_trust};
use shop::{
    accounts::Operators,
    orders::{HoldLimits, Holds},
    payments::ProviderMode,
};
use std::{borrow::Cow, net::SocketAddr, path::PathBuf, time::Duration};
use stripe::{check_demo, check_stripe};
use values::{
    check_addr, check_hold_limits, check_log, check_operators, check_origin, check_proxies,
    check_rate_limits, is_loopback, number, seconds,
};

/// The settings before they are checked. The first paragraph of each is its summary in `stagedoor --help`; all of
/// it is in `.env.example` and docs/settings.md (see `documents`).
#[derive(Debug, Args)]
#[command(next_help_heading = "The shop")]
pub struct Settings {
    /// The address and port that it listens on
    #[arg(
        long,
        env = "STAGEDOOR_ADDR",
        default_value = "127.0.0.1:3000",
        alias = "stagedoor-addr"
    )]
    addr: String,
    /// The shop's own origin, for links, cookies and the origin check [default: `http://ADDR`]
    ///
    /// Exactly as the browser shows it, for example `https://tickets.example`
    #[arg(long, env = "STAGEDOOR_PUBLIC_URL", alias = "stagedoor-public-url")]
    public_url: Option<String>,
    /// How many seconds a reservation holds its tickets
    #[arg(
        long,
        env = "STAGEDOOR_HOLD_SECONDS",
        default_value = "900",
        alias = "stagedoor-hold-seconds"
    )]
    hold_seconds: String,
    /// How many seconds are added once a payment has begun
    #[arg(
        long,
        env = "STAGEDOOR_HOLD_GRACE_SECONDS",
        default_value = "60",
        alias = "stagedoor-hold-grace-seconds"
    )]
    hold_grace_seconds: String,
    /// How many unpaid tickets of one event a buyer may hold at once
    #[arg(
        long,
        env = "STAGEDOOR_HOLDS_PER_BUYER",
        default_value = "8",
        alias = "stagedoor-holds-per-buyer"
    )]
    holds_per_buyer: String,
    /// How many unpaid tickets of one event may be held at once from one network address (IPv6: one /64); 0: any
    /// number
    ///
    /// Raise it if many buyers share an address
    #[arg(
        long,
        env = "STAGEDOOR_HOLDS_PER_ADDRESS",
        default_value = "64",
        alias = "stagedoor-holds-per-address"
    )]
    holds_per_address: String,
    /// How many tickets a seller may list per day (UTC)
    #[arg(
        long,
        env = "STAGEDOOR_LISTINGS_PER_DAY",
        default_value = "100000",
        alias = "stagedoor-listings-per-day"
    )]
    listings_per_day: String,
    /// Whether rate limits apply: `on`, or `off` for tests and rehearsals
    ///
    /// docs/deploy.md lists the limits
    #[arg(
        long,
        env = "STAGEDOOR_RATE_LIMITS",
        default_value = "on",
        alias = "stagedoor-rate-limits"
    )]
    rate_limits: String,
    /// Whether operators need a second factor, `required` or `optional` [default: required with Stripe's live keys,
    /// else optional]
    ///
    /// With `required`, operators without a second factor cannot act as operators
    #[arg(
        long,
        env = "STAGEDOOR_OPERATOR_TWO_FACTOR",
        alias = "stagedoor-operator-two-factor"
    )]
    operator_two_factor: Option<String>,
    #[command(flatten)]
    data: services::DataSettings,
    #[command(flatten)]
    stripe: stripe::StripeSettings,
    #[command(flatten)]
    mail: services::MailSettings,
    /// Proxies whose `X-Forwarded-For` and `X-Request-Id` are believed: addresses and networks like 10.0.0.0/8,
    /// separated by commas
    ///
    /// Without it, all visitors who come through a proxy share the limits of its address
    #[arg(
        long,
        env = "STAGEDOOR_TRUSTED_PROXIES",
        alias = "stagedoor-trusted-proxies",
        help_heading = "Requests and limits of this process"
    )]
    trusted_proxies: Option<String>,
    /// How many seconds it still accepts requests once asked to stop, while /readyz reports it as not ready, so
    /// that load balancers can react
    #[arg(
        long,
        env = "STAGEDOOR_DRAIN_SECONDS",
        default_value = "0",
        alias = "stagedoor-drain-seconds",
        help_heading = "Requests and limits of this process"
    )]
    drain_seconds: String,
    #[command(flatten)]
    edge: edge::EdgeSettings,
    /// `pretty` or `json` [default: pretty on a terminal, else json]
    #[arg(
        long,
        env = "STAGEDOOR_LOG",
        alias = "stagedoor-log",
        help_heading = "Log and traces"
    )]
    log: Option<String>,
    #[command(flatten)]
    traces: traces::TraceSettings,
}

/// The settings of mails.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// The mail server; without it, mails are written to files in the data folder.
    pub smtp_url: Option<SecretString>,
    /// The sender.
    pub from: Mailbox,
}

/// Valid settings.
#[derive(Debug, Clone)]
pub struct Config {
    pub addr: SocketAddr,
    /// The shop's own origin, without a trailing slash.
    pub public_url: String,
    /// May not exist yet; see [`Config::make_data_dir`].
    pub data_dir: PathBuf,
    pub database_url: String,
    /// How long a start waits for the database.
    pub database_wait: Duration,
    pub redis_url: Option<String>,
    pub nats_url: Option<SecretString>,
    pub holds: Holds,
    pub hold_limits: HoldLimits,
    /// How many tickets a seller may list per day.
    pub listings_per_day: i64,
    pub stripe: StripeConfig,
    /// Whether a demo may be served at a public URL.
    pub demo: bool,
    pub mail: MailConfig,
    /// Whether rate limits apply.
    pub rate_limits: bool,
    pub operators: Operators,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub edge: EdgeConfig,
    /// How long requests are still accepted once the process is asked to stop.
    pub drain: Duration,
    pub log: LogFormat,
    /// `None`: traces are not collected.
    pub traces: Option<TracesConfig>,
    pub trust: Trust,
}

/// An invalid setting.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct ConfigError {
    name: Cow<'static, str>,
    reason: String,
}

fn invalid(name: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> ConfigError {
    ConfigError {
        name: name.into(),
        reason: reason.into(),
    }
}

impl Config {
    /// Creates the data folder, accessible only to this user. Logs a warning if other users can access an
    /// existing one.
    pub fn make_data_dir(&self) -> Result<(), ConfigError> {
        let folder = &self.data_dir;
        private::make_folder(folder).map_err(|error| {
            let reason = format!("{} cannot be created: {error}", folder.display());
            invalid("STAGEDOOR_DATA_DIR", reason)
        })?;
        // With PostgreSQL and a mail server, nothing confidential is stored here.
        let is_confidential =
            self.database_url.starts_with("sqlite") || self.mail.smtp_url.is_none();
        if is_confidential && private::is_shared(folder) {
            let folder = folder.display();
            tracing::warn!("other users of this machine can access {folder}: chmod 700 it");
        }
        Ok(())
    }

    /// Errors: the shop is a demo at a public URL, and `STAGEDOOR_DEMO` is not set.
    pub fn assert_demo_is_intended(&self) -> Result<(), ConfigError> {
        let is_demo = matches!(self.stripe, StripeConfig::Demo);
        if !is_demo || self.demo || is_loopback(&self.public_url) {
            return Ok(());
        }
        let reason = format!(
            "{} is a public address, and without Stripe's keys everybody would get tickets for nothing: set STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY and STRIPE_WEBHOOK_SECRET, or STAGEDOOR_DEMO=1 for a demo",
            self.public_url
        );
        Err(invalid("STAGEDOOR_PUBLIC_URL", reason))
    }
}

impl Settings {
    /// Checks the settings. Creates nothing. Errors: the first invalid or unknown setting.
    pub fn check(self) -> Result<Config, ConfigError> {
        names::check()?;
        let addr = check_addr(&self.addr)?;
        let stripe = check_stripe(
            non_empty(self.stripe.stripe_secret_key),
            non_empty(self.stripe.stripe_publishable_key),
            non_empty(self.stripe.stripe_webhook_secret).as_deref(),
            non_empty(self.stripe.stripe_api_url),
        )?;
        let demo = check_demo(non_empty(self.stripe.demo).as_deref(), &stripe)?;
        let operators = check_operators(non_empty(self.operator_two_factor).as_deref(), &stripe)?;
        let hold_seconds = seconds("STAGEDOOR_HOLD_SECONDS", &self.hold_seconds, 1)?;
        let grace_seconds = seconds("STAGEDOOR_HOLD_GRACE_SECONDS", &self.hold_grace_seconds, 0)?;
        let wait_seconds = seconds(
            "STAGEDOOR_DATABASE_WAIT_SECONDS",
            &self.data.database_wait_seconds,
            0,
        )?;
        let drain_seconds = seconds("STAGEDOOR_DRAIN_SECONDS", &self.drain_seconds, 0)?;
        let public_url =
            non_empty(self.public_url).unwrap_or_else(|| format!("http://{}", reachable(addr)));
        let ca_file = non_empty(self.data.ca_file);
        let trust = check_trust(
            ca_file.as_deref(),
            non_empty(self.data.cleartext_hosts).as_deref(),
        )?;
        if let StripeConfig::Live(keys) = &stripe
            && let Some(url) = &keys.api_url
            && stripe.mode() == ProviderMode::Live
        {
            check_http("STRIPE_API_URL", url, &trust)?;
        }
        let database_url = check_database(
            non_empty(self.data.database_url),
            &self.data.data_dir,
            &trust,
            ca_file.as_deref(),
        )?;
        let public_url = check_origin(&public_url)?;
        Ok(Config {
            addr,
            mail: check_mail(
                non_empty(self.mail.smtp_url),
                non_empty(self.mail.mail_from),
                &public_url,
                &trust,
            )?,
            public_url,
            database_url,
            database_wait: Duration::from_secs(wait_seconds.unsigned_abs()),
            redis_url: check_redis(non_empty(self.data.redis_url), &trust)?,
            nats_url: check_nats(non_empty(self.data.nats_url))?,
            holds: Holds {
                hold_seconds,
                grace_seconds,
            },
            hold_limits: check_hold_limits(&self.holds_per_buyer, &self.holds_per_address)?,
            listings_per_day: number("STAGEDOOR_LISTINGS_PER_DAY", &self.listings_per_day, 1)?,
            stripe,
            demo,
            rate_limits: check_rate_limits(&self.rate_limits)?,
            operators,
            trusted_proxies: check_proxies(non_empty(self.trusted_proxies).as_deref())?,
            edge: self.edge.check()?,
            drain: Duration::from_secs(drain_seconds.unsigned_abs()),
            log: check_log(non_empty(self.log).as_deref())?,
            traces: self.traces.check(&trust)?,
            trust,
            data_dir: self.data.data_dir,
        })
    }
}

/// Treats an empty value as not set.
fn non_empty(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// The address at which programs on this machine reach a server that listens on `addr`.
pub fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => ([127, 0, 0, 1], v6.port()).into(),
        addr => addr,
    }
}

/// Whether `cargo leptos watch` runs this process, rebuilds it, and reloads open pages.
pub fn is_watched() -> bool {
    std::env::var_os("LEPTOS_WATCH").is_some()
}

/// Arms the crash point in `STAGEDOOR_CRASH_AT`, if set, and returns it. This variable is for tests only,
/// so it has no flag and is not in the help. Errors: it is invalid, or this build has no crash points.
pub fn arm_crash_point() -> Result<Option<String>, ConfigError> {
    const NAME: &str = "STAGEDOOR_CRASH_AT";
    let set = std::env::var_os(NAME).map(|at| at.to_string_lossy().into_owned());
    let Some(at) = non_empty(set) else {
        return Ok(None);
    };
    match crash::arm(&at) {
        Ok(()) => Ok(Some(at)),
        Err(crash::ArmError::Invalid) => {
            let reason = format!("\"{at}\": {}", crash::ArmError::Invalid);
            Err(invalid(NAME, reason))
        }
        Err(not_armed) => Err(invalid(NAME, not_armed.to_string())),
    }
}

/// The options in Leptos.toml, or under `cargo leptos watch` those in its environment.
pub fn leptos_options(addr: SocketAddr) -> Result<LeptosOptions, LeptosConfigError> {
    let mut options = if is_watched() {
        leptos::config::get_config_from_env()?.leptos_options
    } else {
        leptos::config::get_config_from_str(include_str!("../../Leptos.toml"))?
    };
    options.site_addr = addr;
    Ok(options)
}

#[cfg(test)]
mod tests;
