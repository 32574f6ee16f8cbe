//! Checks of single settings that belong to no group.

use super::{ConfigError, StripeConfig, invalid};
use ipnet::IpNet;
use platform::{telemetry::LogFormat, trust::is_this_machine};
use shop::{accounts::Operators, orders::HoldLimits, payments::ProviderMode};
use std::{
    io::IsTerminal,
    net::{IpAddr, SocketAddr},
};

pub(super) fn check_addr(text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| {
        let reason = format!("\"{text}\" is not an address and port like 127.0.0.1:3000");
        invalid("STAGEDOOR_ADDR", reason)
    })
}

pub(super) fn check_rate_limits(text: &str) -> Result<bool, ConfigError> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => {
            let reason = format!("\"{other}\" is neither on nor off");
            Err(invalid("STAGEDOOR_RATE_LIMITS", reason))
        }
    }
}

/// By default, operators need a second factor if real money can be refunded.
pub(super) fn check_operators(
    text: Option<&str>,
    stripe: &StripeConfig,
) -> Result<Operators, ConfigError> {
    let need_second_factor = match text {
        Some("required") => true,
        Some("optional") => false,
        None => stripe.mode() == ProviderMode::Live,
        Some(other) => {
            let reason = format!("\"{other}\" is neither required nor optional");
            return Err(invalid("STAGEDOOR_OPERATOR_TWO_FACTOR", reason));
        }
    };
    Ok(Operators { need_second_factor })
}

pub(super) fn check_log(text: Option<&str>) -> Result<LogFormat, ConfigError> {
    match text {
        Some("pretty") => Ok(LogFormat::Pretty),
        Some("json") => Ok(LogFormat::Json),
        None if std::io::stderr().is_terminal() => Ok(LogFormat::Pretty),
        None => Ok(LogFormat::Json),
        Some(other) => {
            let reason = format!("\"{other}\" is neither pretty nor json");
            Err(invalid("STAGEDOOR_LOG", reason))
        }
    }
}

pub(super) fn seconds(name: &'static str, text: &str, least: i64) -> Result<i64, ConfigError> {
    const DAY: i64 = 24 * 3600;
    let seconds: Option<i64> = text.trim().parse().ok();
    seconds
        .filter(|seconds| (least..=DAY).contains(seconds))
        .ok_or_else(|| {
            invalid(
                name,
                format!("\"{text}\" is not a number of seconds from {least} to {DAY}"),
            )
        })
}

pub(super) fn number(name: &'static str, text: &str, least: i64) -> Result<i64, ConfigError> {
    const MOST: i64 = 1_000_000_000;
    let number: Option<i64> = text.trim().parse().ok();
    let number = number.filter(|number| (least..=MOST).contains(number));
    number.ok_or_else(|| {
        let reason = format!("\"{text}\" is not a number from {least} to {MOST}");
        invalid(name, reason)
    })
}

pub(super) fn check_hold_limits(
    per_buyer: &str,
    per_address: &str,
) -> Result<HoldLimits, ConfigError> {
    let tickets_per_buyer = number("STAGEDOOR_HOLDS_PER_BUYER", per_buyer, 1)?;
    let per_address = number("STAGEDOOR_HOLDS_PER_ADDRESS", per_address, 0)?;
    if (1..tickets_per_buyer).contains(&per_address) {
        let reason =
            format!("{per_address} is less than STAGEDOOR_HOLDS_PER_BUYER, {tickets_per_buyer}");
        return Err(invalid("STAGEDOOR_HOLDS_PER_ADDRESS", reason));
    }
    Ok(HoldLimits {
        tickets_per_buyer,
        tickets_per_network: (per_address > 0).then_some(per_address),
    })
}

pub(super) fn check_proxies(text: Option<&str>) -> Result<Vec<IpNet>, ConfigError> {
    let named = text.unwrap_or_default().split(',').map(str::trim);
    named
        .filter(|proxy| !proxy.is_empty())
        .map(|proxy| {
            let network = proxy.parse();
            let network = network.or_else(|_| proxy.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                let reason = format!(
                    "\"{proxy}\" is neither an address like 10.1.2.3 nor a network like 10.0.0.0/8"
                );
                invalid("STAGEDOOR_TRUSTED_PROXIES", reason)
            })
        })
        .collect()
}

pub(super) fn check_origin(url: &str) -> Result<String, ConfigError> {
    let url = url.trim_end_matches('/');
    let parsed: Option<http::Uri> = url.parse().ok();
    let is_valid = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|path| path.as_str() == "/")
    });
    if is_valid {
        return Ok(url.to_owned());
    }
    let reason = format!("\"{url}\" is not an origin like https://tickets.example, without a path");
    Err(invalid("STAGEDOOR_PUBLIC_URL", reason))
}

/// Whether an origin can be reached from this machine only.
pub(super) fn is_loopback(origin: &str) -> bool {
    let uri: Option<http::Uri> = origin.parse().ok();
    uri.as_ref()
        .and_then(http::Uri::host)
        .is_some_and(is_this_machine)
}
