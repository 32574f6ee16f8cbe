//! The payment provider of a serving process: Stripe, the double in this process, or a double in another
//! process. With a double the shop is a demo, and browsers reach the double under `/stripe-double`.

use super::Role;
use super::demo_site;
use crate::config::{Config, StripeConfig, StripeKeys, reachable};
use anyhow::Context;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        StatusCode, Uri,
        header::{AUTHORIZATION, COOKIE, HOST},
    },
    response::{IntoResponse, Response},
    routing::on,
};
use context::Site;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use platform::{clock::SharedClock, unguessable::unguessable};
use shop::payments::{Gateway, WebhookVerifier};
use std::sync::Arc;
use stripe_double::{BROWSER_ROUTES, Double, WebhookTarget};
use stripe_gateway::{StripeGateway, WebhookSecrets};

const STRIPE_SCRIPT: &str = "https://js.stripe.com/clover/stripe.js";
/// The double's replacement of Stripe's script.
pub(super) const DOUBLE_SCRIPT: &str = "/stripe-double/stripe.js";
/// The publishable key of a double, which does not check it.
pub(super) const DOUBLE_KEY: &str = "pk_test_double";

/// The payment provider and its parts.
pub(super) struct PaymentProvider {
    pub gateway: Arc<dyn Gateway>,
    pub webhook_verifier: Arc<dyn WebhookVerifier>,
    /// The routes of the double that browsers use.
    pub browser_routes: Option<Router>,
    kind: Kind,
}

enum Kind {
    Stripe {
        publishable: String,
    },
    BuiltInDouble,
    /// The URL of a double in another process.
    ExternalDouble(String),
}

impl PaymentProvider {
    /// Sets up the configured provider. Errors: the double cannot store its state, or the keys are invalid.
    pub(super) async fn open(config: &Config, clock: SharedClock) -> anyhow::Result<Self> {
        match &config.stripe {
            StripeConfig::Demo => start_double(config, clock).await,
            StripeConfig::Live(keys) => Self::with_keys(keys),
        }
    }

    fn with_keys(keys: &StripeKeys) -> anyhow::Result<Self> {
        let double = keys.api_url.clone();
        let double = double.filter(|_| keys.publishable == DOUBLE_KEY);
        Ok(Self {
            gateway: Arc::new(StripeGateway::new(&keys.secret, keys.api_url.as_deref())?),
            webhook_verifier: Arc::new(keys.webhooks.clone()),
            browser_routes: double.as_deref().map(proxy_routes),
            kind: match double {
                Some(url) => Kind::ExternalDouble(url),
                None => Kind::Stripe {
                    publishable: keys.publishable.clone(),
                },
            },
        })
    }

    pub(super) fn site(&self, config: &Config) -> Site {
        let demo = demo_site(config.public_url.clone(), config.holds);
        match &self.kind {
            Kind::BuiltInDouble | Kind::ExternalDouble(_) => demo,
            Kind::Stripe { publishable } => Site {
                stripe_script_url: STRIPE_SCRIPT.to_owned(),
                stripe_publishable_key: publishable.clone(),
                demo: None,
                ..demo
            },
        }
    }

    /// Logs a warning if no money moves.
    pub(super) fn announce(&self, role: Role) {
        match &self.kind {
            Kind::Stripe { .. } => {}
            Kind::BuiltInDouble => {
                tracing::warn!(
                    "DEMO MODE: no Stripe keys are set, so payments go to the built-in double and no money moves"
                );
                if role != Role::All {
                    tracing::warn!(
                        "the built-in double knows only the payments of this process: with several processes, run `stagedoor stripe-double` and set STRIPE_API_URL"
                    );
                }
            }
            Kind::ExternalDouble(url) => {
                tracing::warn!("DEMO MODE: payments go to the double at {url} and no money moves");
            }
        }
    }
}

/// Starts the built-in double on a random loopback port. It stores its state in the data folder and sends
/// webhooks to this process.
async fn start_double(config: &Config, clock: SharedClock) -> anyhow::Result<PaymentProvider> {
    let double = Double::open(
        Some(config.data_dir.clone()),
        Arc::new(move || clock.now().seconds()),
    )
    .context("STAGEDOOR_DATA_DIR: the Stripe double cannot store its state there")?;
    double.set_browser_url(&format!("{}/stripe-double", config.public_url));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let api_url = format!("http://{}", listener.local_addr()?);
    let secret = format!("whsec_{}", unguessable::<32>());
    double.set_webhooks(WebhookTarget {
        url: format!("http://{}/api/webhooks/stripe", reachable(config.addr)),
        secret: secret.clone(),
    });
    let api = double.api_router();
    tokio::spawn(async move { axum::serve(listener, api).await });
    tokio::spawn(double.clone().run_webhooks());
    Ok(PaymentProvider {
        gateway: Arc::new(
            StripeGateway::new(&"sk_test_double".to_owned().into(), Some(&api_url))?.for_demo(),
        ),
        webhook_verifier: Arc::new(WebhookSecrets {
            secrets: vec![secret.into()],
            live: false,
        }),
        browser_routes: Some(double.browser_router()),
        kind: Kind::BuiltInDouble,
    })
}

/// A proxy for the routes of an external double that browsers use. Its API, journal and faults are not
/// reachable through the shop.
fn proxy_routes(double: &str) -> Router {
    let target = ProxyTarget {
        url: double.trim_end_matches('/').into(),
        client: Client::builder(TokioExecutor::new()).build_http(),
    };
    BROWSER_ROUTES
        .iter()
        .fold(Router::new(), |router, (path, method)| {
            router.route(path, on(*method, proxy))
        })
        .method_not_allowed_fallback(not_found)
        .with_state(target)
}

async fn not_found() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// Whether every segment of a path is a plain name. The double could decode or resolve other segments to
/// a path that was not matched here.
fn is_plain(path: &str) -> bool {
    path.split('/').skip(1).all(|part| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    })
}

#[derive(Clone)]
struct ProxyTarget {
    url: Arc<str>,
    client: Client<HttpConnector, Body>,
}

async fn proxy(State(target): State<ProxyTarget>, mut request: Request) -> Response {
    if !is_plain(request.uri().path()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = format!("{}{path}", target.url).parse::<Uri>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    *request.uri_mut() = uri;
    // The client sets the double's host. The shop's credentials must not reach the double.
    for name in [HOST, COOKIE, AUTHORIZATION] {
        request.headers_mut().remove(name);
    }
    match target.client.request(request).await {
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the Stripe double does not answer");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn a_path_that_leads_elsewhere_is_not_plain() {
        for plain in ["/stripe.js", "/bank/pi_1", "/intents/pi_1-2"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "/bank/..%2Fdouble%2Fjournal",
            "/bank/..",
            "/bank//x",
            "/bank/%70i",
            "/bank/",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
