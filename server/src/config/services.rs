//! The settings of other servers: database, Redis, NATS, mail server, and their certificate authorities.
//!
//! Owns the rule that no password crosses a network in the clear: a connection with a password uses TLS,
//! stays within this machine, or goes to a host in `STAGEDOOR_CLEARTEXT_HOSTS`.

use super::{ConfigError, MailConfig, invalid};
use clap::Args;
use platform::{db::Engine, outbox, trust::Trust};
use secrecy::SecretString;
use shop::mail;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};
use url::Url;

/// Appended to errors.
const OR_NAME_IT: &str =
    "or name the host in STAGEDOOR_CLEARTEXT_HOSTS if the network to it is private";

/// The settings of data and other servers before they are checked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data and services")]
pub(super) struct DataSettings {
    /// The folder of the SQLite file and of other files
    ///
    /// Also the mails of a shop without a mail server, and the demo's payments
    #[arg(
        long,
        env = "STAGEDOOR_DATA_DIR",
        default_value = "./data",
        alias = "stagedoor-data-dir"
    )]
    pub(super) data_dir: PathBuf,
    /// `sqlite://…`, or `postgres://…` with `?sslmode=verify-full` across a network [default: SQLite in the data
    /// folder]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(super) database_url: Option<String>,
    /// How many seconds `serve` and `migrate` wait for a database that does not answer yet
    #[arg(
        long,
        env = "STAGEDOOR_DATABASE_WAIT_SECONDS",
        default_value = "60",
        alias = "stagedoor-database-wait-seconds"
    )]
    pub(super) database_wait_seconds: String,
    /// Redis, which several processes share for the expiry queue, limits, sessions and live pages: `redis://…`, or
    /// `rediss://…` for TLS
    ///
    /// Without it, each process has its own queue and counts attempts on its own
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub(super) redis_url: Option<String>,
    /// NATS servers that domain events are sent to, `nats://…` or `tls://…`, separated by commas
    ///
    /// Events go to the JetStream stream STAGEDOOR (docs/events.md). Write special characters of user and password
    /// as `%XX`. Without it, events stay in the database; all of them are sent once it is set
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub(super) nats_url: Option<String>,
    /// A PEM file with additional certificate authorities for connections to mail server, database, Redis, NATS and
    /// trace collector
    ///
    /// Public authorities, and those that this machine trusts, remain valid
    #[arg(long, env = "STAGEDOOR_CA_FILE", alias = "stagedoor-ca-file")]
    pub(super) ca_file: Option<String>,
    /// Hosts that passwords may be sent to without TLS, separated by commas: hosts in a private network
    ///
    /// This machine is always included
    #[arg(
        long,
        env = "STAGEDOOR_CLEARTEXT_HOSTS",
        alias = "stagedoor-cleartext-hosts"
    )]
    pub(super) cleartext_hosts: Option<String>,
}

/// The settings of mails before they are checked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Payments and mail")]
pub(super) struct MailSettings {
    /// The mail server, `smtps://user:password@host`; without it, mails are written to files in the data folder
    ///
    /// `smtps://` uses TLS from the first byte. `smtp://` requires STARTTLS, except on this machine;
    /// `smtp://…?tls=opportunistic`, without a password, uses TLS only if it is offered. Write special characters
    /// of user and password as `%XX`
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub(super) smtp_url: Option<String>,
    /// The sender of mails [default: Stagedoor, with the address tickets at the host of the public URL]
    #[arg(long, env = "STAGEDOOR_MAIL_FROM", alias = "stagedoor-mail-from")]
    pub(super) mail_from: Option<String>,
}

/// Checks `STAGEDOOR_CA_FILE` and `STAGEDOOR_CLEARTEXT_HOSTS`.
pub(super) fn check_trust(
    ca_file: Option<&str>,
    cleartext_hosts: Option<&str>,
) -> Result<Trust, ConfigError> {
    let hosts = cleartext_hosts
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    let hosts = hosts
        .filter(|host| !host.is_empty())
        .map(|host| {
            let is_address = host.parse::<IpAddr>().is_ok();
            let is_name = host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
            if is_address || is_name {
                Ok(host.to_ascii_lowercase())
            } else {
                let reason = format!(
                    "\"{host}\" is not a host like redis or 10.1.2.3, without scheme and port"
                );
                Err(invalid("STAGEDOOR_CLEARTEXT_HOSTS", reason))
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    Trust::new(ca_file.map(Path::new), hosts)
        .map_err(|error| invalid("STAGEDOOR_CA_FILE", error.to_string()))
}

/// Checks `DATABASE_URL`. If `ca_file` is set and the URL names no other authorities, it is added to a
/// PostgreSQL URL with TLS.
pub(super) fn check_database(
    url: Option<String>,
    data_dir: &Path,
    trust: &Trust,
    ca_file: Option<&str>,
) -> Result<String, ConfigError> {
    const NAME: &str = "DATABASE_URL";
    let url =
        url.unwrap_or_else(|| format!("sqlite://{}", data_dir.join("stagedoor.db").display()));
    match Engine::of(&url) {
        None => Err(invalid(NAME, "it must begin with sqlite:// or postgres://")),
        Some(Engine::Sqlite) => Ok(url),
        Some(Engine::Postgres) => check_postgres(url, trust, ca_file),
    }
}

fn check_postgres(
    url: String,
    trust: &Trust,
    ca_file: Option<&str>,
) -> Result<String, ConfigError> {
    const NAME: &str = "DATABASE_URL";
    let no_address = |_| {
        let reason = "this is not an address like postgres://user:password@db.example/stagedoor?sslmode=verify-full";
        invalid(NAME, reason)
    };
    let parsed = Url::parse(&url).map_err(|error| no_address(error.to_string()))?;
    let options =
        PgConnectOptions::from_str(&url).map_err(|error| no_address(error.to_string()))?;
    let by_tls = matches!(
        options.get_ssl_mode(),
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull
    );
    let has_password =
        parsed.password().is_some() || parsed.query_pairs().any(|(name, _)| name == "password");
    let host = options.get_host();
    let is_socket = options.get_socket().is_some() || host.starts_with('/');
    if has_password && !by_tls && !is_socket && !trust.allows_cleartext(host) {
        let reason = format!(
            "without sslmode=verify-full (or require) the password may cross the network to {host} in the clear: add it, {OR_NAME_IT}"
        );
        return Err(invalid(NAME, reason));
    }
    let names_authority = parsed
        .query_pairs()
        .any(|(name, _)| matches!(&*name, "sslrootcert" | "ssl-root-cert" | "ssl-ca"));
    match ca_file.filter(|_| by_tls && !names_authority) {
        None => Ok(url),
        Some(ca_file) => {
            let mut parsed = parsed;
            parsed.query_pairs_mut().append_pair("sslrootcert", ca_file);
            Ok(parsed.into())
        }
    }
}

/// Checks `REDIS_URL`.
pub(super) fn check_redis(
    url: Option<String>,
    trust: &Trust,
) -> Result<Option<String>, ConfigError> {
    const NAME: &str = "REDIS_URL";
    let Some(url) = url else {
        return Ok(None);
    };
    let client = trust.redis(&url).map_err(|_| {
        let reason =
            "this is not an address like redis://127.0.0.1:6379 or rediss://:password@redis.example";
        invalid(NAME, reason)
    })?;
    let info = client.get_connection_info();
    match info.addr() {
        redis::ConnectionAddr::Tcp(host, _)
            if info.redis_settings().password().is_some() && !trust.allows_cleartext(host) =>
        {
            let reason = format!(
                "the password would cross the network to {host} in the clear: write rediss://, {OR_NAME_IT}"
            );
            Err(invalid(NAME, reason))
        }
        redis::ConnectionAddr::TcpTls { insecure: true, .. } => {
            let reason = "with #insecure its certificate is not verified: remove that, and name its authority in STAGEDOOR_CA_FILE";
            Err(invalid(NAME, reason))
        }
        _ => Ok(Some(url)),
    }
}

/// Checks `NATS_URL`. `Nats::connect` ensures that passwords are sent over TLS.
pub(super) fn check_nats(url: Option<String>) -> Result<Option<SecretString>, ConfigError> {
    let fine = url.as_deref().is_none_or(outbox::is_nats_url);
    let reason = "this is not an address like nats://user:password@127.0.0.1:4222 or tls://…";
    fine.then(|| url.map(Into::into))
        .ok_or_else(|| invalid("NATS_URL", reason))
}

/// Checks `SMTP_URL` and `STAGEDOOR_MAIL_FROM`.
pub(super) fn check_mail(
    smtp_url: Option<String>,
    from: Option<String>,
    public_url: &str,
    trust: &Trust,
) -> Result<MailConfig, ConfigError> {
    let from = match from {
        Some(text) => mail::sender(&text).ok_or_else(|| {
            let reason =
                format!("\"{text}\" is not a sender like Stagedoor <tickets@tickets.example>");
            invalid("STAGEDOOR_MAIL_FROM", reason)
        })?,
        None => mail::default_sender(public_url).ok_or_else(|| {
            invalid(
                "STAGEDOOR_MAIL_FROM",
                "it must be set, because the host of STAGEDOOR_PUBLIC_URL cannot be the domain of a mail address",
            )
        })?,
    };
    if let Some(url) = &smtp_url {
        let head = mail::Letterhead::new(from.clone(), public_url);
        mail::Smtp::new(url, head.domain(), trust)
            .map_err(|error| invalid("SMTP_URL", error.to_string()))?;
    }
    Ok(MailConfig {
        smtp_url: smtp_url.map(Into::into),
        from,
    })
}

/// Refuses to send keys to an `http://` address across a network.
pub(super) fn check_http(name: &'static str, url: &str, trust: &Trust) -> Result<(), ConfigError> {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    let by_tls = parsed.as_ref().is_some_and(|url| url.scheme() == "https");
    if by_tls || trust.allows_cleartext(host) {
        return Ok(());
    }
    let reason = format!(
        "keys would cross the network to {host} in the clear: write https://, {OR_NAME_IT}"
    );
    Err(invalid(name, reason))
}
