//! The settings of the payment provider: Stripe's keys, which must be of the same mode, and
//! `STAGEDOOR_DEMO`.

use super::{ConfigError, invalid};
use clap::Args;
use secrecy::SecretString;
use shop::payments::{
    ProviderMode,
    provider::{is_live_key, is_test_key},
};
use stripe_gateway::WebhookSecrets;

/// The settings of payments before they are checked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Payments and mail")]
pub(super) struct StripeSettings {
    /// Stripe's secret key; without Stripe's three keys, payments go to the built-in double and no money moves
    #[arg(long, env = "STRIPE_SECRET_KEY", hide_env_values = true)]
    pub(super) stripe_secret_key: Option<String>,
    /// Stripe's publishable key, which browsers use
    #[arg(long, env = "STRIPE_PUBLISHABLE_KEY")]
    pub(super) stripe_publishable_key: Option<String>,
    /// The secret that Stripe signs webhooks with; two, separated by a comma, while one replaces the other
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", hide_env_values = true)]
    pub(super) stripe_webhook_secret: Option<String>,
    /// `1`: a demo shop, whose tickets cost nothing, may be served at a public URL
    ///
    /// Otherwise a public URL needs Stripe's keys
    #[arg(long, env = "STAGEDOOR_DEMO", alias = "stagedoor-demo")]
    pub(super) demo: Option<String>,
    /// The URL that the Stripe client calls [default: Stripe's]
    #[arg(long, env = "STRIPE_API_URL")]
    pub(super) stripe_api_url: Option<String>,
}

/// The payment provider.
#[derive(Debug, Clone)]
pub enum StripeConfig {
    /// The built-in double: no money moves.
    Demo,
    /// Stripe, or a server with the same API.
    Live(StripeKeys),
}

impl StripeConfig {
    pub fn mode(&self) -> ProviderMode {
        match self {
            Self::Demo => ProviderMode::Demo,
            Self::Live(keys) => ProviderMode::of_key(&keys.secret, keys.api_url.is_some()),
        }
    }
}

/// Stripe's keys.
#[derive(Debug, Clone)]
pub struct StripeKeys {
    /// `sk_…`
    pub secret: SecretString,
    /// `pk_…`
    pub publishable: String,
    /// The secrets that webhooks are signed with, and whether they are live.
    pub webhooks: WebhookSecrets,
    /// `None`: Stripe's own.
    pub api_url: Option<String>,
}

/// Checks Stripe's four settings together.
pub(super) fn check_stripe(
    secret: Option<String>,
    publishable: Option<String>,
    webhook: Option<&str>,
    api_url: Option<String>,
) -> Result<StripeConfig, ConfigError> {
    let Some(secret) = secret else {
        for (name, set) in [
            ("STRIPE_PUBLISHABLE_KEY", publishable.is_some()),
            ("STRIPE_WEBHOOK_SECRET", webhook.is_some()),
            ("STRIPE_API_URL", api_url.is_some()),
        ] {
            if set {
                return Err(invalid(
                    name,
                    "it is set, but STRIPE_SECRET_KEY is not; set all of them, or none for demo mode",
                ));
            }
        }
        return Ok(StripeConfig::Demo);
    };
    check_secret_key(&secret, api_url.is_some())?;
    let secrets: Vec<SecretString> = webhook
        .iter()
        .flat_map(|secrets| secrets.split(','))
        .map(str::trim)
        .filter(|secret| !secret.is_empty())
        .map(SecretString::from)
        .collect();
    if secrets.is_empty() {
        return Err(invalid(
            "STRIPE_WEBHOOK_SECRET",
            "it must be set where STRIPE_SECRET_KEY is",
        ));
    }
    if let Some(url) = &api_url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(invalid(
            "STRIPE_API_URL",
            format!("\"{url}\" is not an http address"),
        ));
    }
    let publishable = check_publishable(publishable, &secret, api_url.is_some())?;
    let live = api_url.is_none() && is_live_key(&secret);
    Ok(StripeConfig::Live(StripeKeys {
        secret: secret.into(),
        publishable,
        webhooks: WebhookSecrets { secrets, live },
        api_url,
    }))
}

/// Checks the secret key. With an `api_url` of another server it need not have a mode.
fn check_secret_key(key: &str, is_other_server: bool) -> Result<(), ConfigError> {
    let is_secret = key.starts_with("sk_") || key.starts_with("rk_");
    let reason = if !is_secret {
        "it does not begin with sk_ or rk_"
    } else if !is_other_server && !is_live_key(key) && !is_test_key(key) {
        "it does not begin with sk_test_, rk_test_, sk_live_ or rk_live_"
    } else {
        return Ok(());
    };
    Err(invalid("STRIPE_SECRET_KEY", reason))
}

/// Checks `STAGEDOOR_DEMO`: whether a demo may be served at a public URL.
pub(super) fn check_demo(text: Option<&str>, stripe: &StripeConfig) -> Result<bool, ConfigError> {
    const NAME: &str = "STAGEDOOR_DEMO";
    match text {
        None | Some("0") => Ok(false),
        Some("1") if stripe.mode() == ProviderMode::Live => Err(invalid(
            NAME,
            "it is 1, but STRIPE_SECRET_KEY is a live key; unset one of them",
        )),
        Some("1") => Ok(true),
        Some(other) => Err(invalid(NAME, format!("\"{other}\" is neither 1 nor 0"))),
    }
}

/// Checks the publishable key. With another server than Stripe it may be missing.
fn check_publishable(
    key: Option<String>,
    secret: &str,
    is_other_server: bool,
) -> Result<String, ConfigError> {
    let refuse = |reason| Err(invalid("STRIPE_PUBLISHABLE_KEY", reason));
    match key {
        None if is_other_server && !is_live_key(secret) => Ok("pk_test_double".to_owned()),
        None => refuse("it must be set where STRIPE_SECRET_KEY is"),
        Some(key) if !key.starts_with("pk_") => refuse("it does not begin with pk_"),
        Some(key) if is_live_key(&key) != is_live_key(secret) => {
            refuse("it and STRIPE_SECRET_KEY must both be live keys or both be test keys")
        }
        Some(key) if !is_other_server && !is_live_key(&key) && !is_test_key(&key) => {
            refuse("it does not begin with pk_test_ or pk_live_")
        }
        Some(key) => Ok(key),
    }
}
