//! Settings for the open internet: limits per network address, and `Strict-Transport-Security`.

use super::{ConfigError, invalid, non_empty};
use clap::Args;
use http::HeaderValue;

const CONNECTIONS_MIN: usize = 16;
const COUNT_MAX: usize = 1_000_000;
const PRELOAD_SECONDS_MIN: u64 = 31_536_000;

/// The settings before they are checked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests and limits of this process")]
pub(super) struct EdgeSettings {
    /// How many connections it accepts at once, as far as the limit of open files allows
    ///
    /// If all are in use, connections without a request in progress are closed in favour of new ones; only if there
    /// are none is a new one refused (503)
    #[arg(
        long,
        env = "STAGEDOOR_CONNECTIONS",
        alias = "stagedoor-connections",
        default_value = "10000"
    )]
    connections: String,
    /// How many of them from one address (IPv6: one /64); does not apply to trusted proxies
    #[arg(
        long,
        env = "STAGEDOOR_CONNECTIONS_PER_ADDRESS",
        alias = "stagedoor-connections-per-address",
        default_value = "1000"
    )]
    connections_per_address: String,
    /// How many open pages of one address (IPv6: one /64) receive live updates
    ///
    /// Further ones are asked to retry later (429)
    #[arg(
        long,
        env = "STAGEDOOR_STREAMS_PER_ADDRESS",
        alias = "stagedoor-streams-per-address",
        default_value = "500"
    )]
    streams_per_address: String,
    /// How many pictures may be uploaded at once from one address (IPv6: one /64)
    ///
    /// An account may upload two at once
    #[arg(
        long,
        env = "STAGEDOOR_UPLOADS_PER_ADDRESS",
        alias = "stagedoor-uploads-per-address",
        default_value = "4"
    )]
    uploads_per_address: String,
    /// `Strict-Transport-Security` if the public URL is https: `max-age=…`, optionally with
    /// `; includeSubDomains` and `; preload`; `off` for none
    ///
    /// Add `preload` only once every subdomain is served over TLS
    #[arg(
        long,
        env = "STAGEDOOR_HSTS",
        alias = "stagedoor-hsts",
        default_value = "max-age=31536000"
    )]
    hsts: String,
}

/// Limits per network address, and `Strict-Transport-Security`.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// The most connections at once.
    pub connections: usize,
    /// The most connections from one network address.
    pub connections_per_address: usize,
    /// The most event streams to one network address.
    pub streams_per_address: usize,
    /// The most uploads of pictures at once from one network address.
    pub uploads_per_address: usize,
    /// The value of `Strict-Transport-Security`; `None` if it is off.
    pub transport_security: Option<HeaderValue>,
}

impl EdgeSettings {
    /// Errors: the first invalid setting.
    pub(super) fn check(self) -> Result<EdgeConfig, ConfigError> {
        Ok(EdgeConfig {
            connections: count("STAGEDOOR_CONNECTIONS", self.connections, CONNECTIONS_MIN)?,
            connections_per_address: count(
                "STAGEDOOR_CONNECTIONS_PER_ADDRESS",
                self.connections_per_address,
                1,
            )?,
            streams_per_address: count(
                "STAGEDOOR_STREAMS_PER_ADDRESS",
                self.streams_per_address,
                1,
            )?,
            uploads_per_address: count(
                "STAGEDOOR_UPLOADS_PER_ADDRESS",
                self.uploads_per_address,
                1,
            )?,
            transport_security: transport_security(&self.hsts)?,
        })
    }
}

fn count(name: &'static str, text: String, least: usize) -> Result<usize, ConfigError> {
    let text = non_empty(Some(text)).unwrap_or_default();
    let count: Option<usize> = text.parse().ok();
    count
        .filter(|count| (least..=COUNT_MAX).contains(count))
        .ok_or_else(|| {
            let reason = format!("\"{text}\" is not a number from {least} to {COUNT_MAX}");
            invalid(name, reason)
        })
}

/// Refuses values that browsers would ignore.
fn transport_security(text: &str) -> Result<Option<HeaderValue>, ConfigError> {
    let text = text.trim();
    if text == "off" {
        return Ok(None);
    }
    let (mut age, mut subdomains, mut preload, mut known) = (None, false, false, true);
    for part in text.split(';').map(str::trim) {
        match part.split_once('=') {
            Some(("max-age", seconds)) if age.is_none() => age = seconds.parse::<u64>().ok(),
            None if part.eq_ignore_ascii_case("includeSubDomains") => subdomains = true,
            None if part.eq_ignore_ascii_case("preload") => preload = true,
            _ => known = false,
        }
    }
    let may_preload = subdomains && age >= Some(PRELOAD_SECONDS_MIN);
    let fine = known && age.is_some() && (!preload || may_preload);
    let value = HeaderValue::from_str(text).ok().filter(|_| fine);
    value.map(Some).ok_or_else(|| {
        let reason = format!(
            "\"{text}\" is neither off nor like max-age=31536000, max-age=31536000; \
             includeSubDomains or max-age=63072000; includeSubDomains; preload"
        );
        invalid("STAGEDOOR_HSTS", reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(connections: &str, per_address: &str) -> Result<EdgeConfig, ConfigError> {
        let settings = EdgeSettings {
            connections: connections.to_owned(),
            connections_per_address: per_address.to_owned(),
            streams_per_address: "500".to_owned(),
            uploads_per_address: "4".to_owned(),
            hsts: "off".to_owned(),
        };
        settings.check()
    }

    #[test]
    fn a_header_that_browsers_pass_over_is_refused() {
        for fine in [
            "max-age=31536000",
            "max-age=0",
            "max-age=31536000; includeSubDomains",
            "max-age=63072000; includeSubDomains; preload",
        ] {
            assert!(transport_security(fine).unwrap().is_some(), "{fine}");
        }
        assert!(transport_security("off").unwrap().is_none());
        for wrong in [
            "",
            "on",
            "31536000",
            "max-age=a year",
            "max-age=1, includeSubDomains",
            "includeSubDomains",
            "max-age=63072000; preload",
            "max-age=3600; includeSubDomains; preload",
            "max-age=1\r\nset-cookie: a=b",
        ] {
            let sentence = transport_security(wrong).unwrap_err().to_string();
            assert!(sentence.starts_with("STAGEDOOR_HSTS:"), "{sentence}");
        }
    }

    #[test]
    fn limits_that_are_too_low_are_refused() {
        assert_eq!(settings(" 2000", "20").unwrap().connections, 2000);
        for (connections, per_address, name) in [
            ("15", "20", "STAGEDOOR_CONNECTIONS:"),
            ("many", "20", "STAGEDOOR_CONNECTIONS:"),
            ("-1", "20", "STAGEDOOR_CONNECTIONS:"),
            ("", "20", "STAGEDOOR_CONNECTIONS:"),
            ("2000", "0", "STAGEDOOR_CONNECTIONS_PER_ADDRESS:"),
            ("2000", "1000001", "STAGEDOOR_CONNECTIONS_PER_ADDRESS:"),
        ] {
            let sentence = settings(connections, per_address).unwrap_err().to_string();
            assert!(sentence.starts_with(name), "{sentence}");
        }
    }
}
