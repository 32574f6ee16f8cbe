//! The settings of the payment provider: Stripe's keys, which must fit together, and whether a demo
//! is meant.

use super::{ConfigError, wrong};
use secrecy::SecretString;
use shop::payments::{
    ProviderMode,
    provider::{is_live_key, is_test_key},
};
use stripe_gateway::WebhookSecrets;

/// Who charges cards.
#[derive(Debug, Clone)]
pub enum StripeConfig {
    /// The built-in double: no money moves.
    Demo,
    /// Stripe, or something that speaks like it.
    Live(StripeKeys),
}

impl StripeConfig {
    /// Which provider that is.
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
    /// What webhooks are signed with, and whether they tell of real money.
    pub webhooks: WebhookSecrets,
    /// Stripe's own, if missing.
    pub api_url: Option<String>,
}

/// Whoever charges cards, by the four settings.
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
                return Err(wrong(
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
        return Err(wrong(
            "STRIPE_WEBHOOK_SECRET",
            "it must be set where STRIPE_SECRET_KEY is",
        ));
    }
    if let Some(url) = &api_url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(wrong(
            "STRIPE_API_URL",
            format!("\"{url}\" is no http address"),
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

/// The server's key. What answers `elsewhere` than Stripe takes keys of neither mode.
fn check_secret_key(key: &str, elsewhere: bool) -> Result<(), ConfigError> {
    let is_secret = key.starts_with("sk_") || key.starts_with("rk_");
    let reason = if !is_secret {
        "it does not begin with sk_ or rk_"
    } else if !elsewhere && !is_live_key(key) && !is_test_key(key) {
        "it begins with none of sk_test_, rk_test_, sk_live_ and rk_live_"
    } else {
        return Ok(());
    };
    Err(wrong("STRIPE_SECRET_KEY", reason))
}

/// Whether a demo may be served at a public URL.
pub(super) fn check_demo(text: Option<&str>, stripe: &StripeConfig) -> Result<bool, ConfigError> {
    const NAME: &str = "STAGEDOOR_DEMO";
    match text {
        None | Some("0") => Ok(false),
        Some("1") if stripe.mode() == ProviderMode::Live => Err(wrong(
            NAME,
            "it is 1, but STRIPE_SECRET_KEY is a live key; unset one of them",
        )),
        Some("1") => Ok(true),
        Some(other) => Err(wrong(NAME, format!("\"{other}\" is neither 1 nor 0"))),
    }
}

/// The browser's key. What answers `elsewhere` than Stripe asks for none.
fn check_publishable(
    key: Option<String>,
    secret: &str,
    elsewhere: bool,
) -> Result<String, ConfigError> {
    let refuse = |reason| Err(wrong("STRIPE_PUBLISHABLE_KEY", reason));
    match key {
        None if elsewhere && !is_live_key(secret) => Ok("pk_test_double".to_owned()),
        None => refuse("it must be set where STRIPE_SECRET_KEY is"),
        Some(key) if !key.starts_with("pk_") => refuse("it does not begin with pk_"),
        Some(key) if is_live_key(&key) != is_live_key(secret) => {
            refuse("one of it and STRIPE_SECRET_KEY is a live key, and the other is not")
        }
        Some(key) if !elsewhere && !is_live_key(&key) && !is_test_key(&key) => {
            refuse("it begins with neither pk_test_ nor pk_live_")
        }
        Some(key) => Ok(key),
    }
}
