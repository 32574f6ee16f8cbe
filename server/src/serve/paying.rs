//! Who charges cards where the shop is served: Stripe, the double inside this process, or a double
//! that is a process of its own. With either double the shop is a demo, and browsers reach it under
//! `/stripe-double`.

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
/// The double's stand-in for it.
pub(super) const DOUBLE_SCRIPT: &str = "/stripe-double/stripe.js";
/// The publishable key of a double: it asks the browser for no other.
pub(super) const DOUBLE_KEY: &str = "pk_test_double";

/// Who charges cards, and what comes with them.
pub(super) struct Paying {
    pub gateway: Arc<dyn Gateway>,
    pub webhook_verifier: Arc<dyn WebhookVerifier>,
    /// The double's side that browsers meet.
    pub browser: Option<Router>,
    who: Who,
}

enum Who {
    Stripe { publishable: String },
    DoubleInside,
    DoubleAt(String),
}

impl Paying {
    /// As the settings say. Errors: the double cannot keep its state, or there is no calling Stripe
    /// with these keys.
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
            browser: double.as_deref().map(passing_on),
            who: match double {
                Some(url) => Who::DoubleAt(url),
                None => Who::Stripe {
                    publishable: keys.publishable.clone(),
                },
            },
        })
    }

    /// What every page may know.
    pub(super) fn site(&self, config: &Config) -> Site {
        let demo = demo_site(config.public_url.clone(), config.holds);
        match &self.who {
            Who::DoubleInside | Who::DoubleAt(_) => demo,
            Who::Stripe { publishable } => Site {
                stripe_script_url: STRIPE_SCRIPT.to_owned(),
                stripe_publishable_key: publishable.clone(),
                demo: None,
                ..demo
            },
        }
    }

    /// Says loudly that no money moves, where that is so.
    pub(super) fn announce(&self, role: Role) {
        match &self.who {
            Who::Stripe { .. } => {}
            Who::DoubleInside => {
                tracing::warn!(
                    "DEMO MODE: no Stripe keys are set, so payments go to the built-in double and no money moves"
                );
                if role != Role::All {
                    tracing::warn!(
                        "the built-in double knows the payments of this process alone: where there are several, let `stagedoor stripe-double` run beside them and set STRIPE_API_URL"
                    );
                }
            }
            Who::DoubleAt(url) => {
                tracing::warn!("DEMO MODE: payments go to the double at {url} and no money moves");
            }
        }
    }
}

/// Demo mode: the double answers on a loopback port that nobody is told of, keeps its state in the
/// data folder, and sends its webhooks here like Stripe would.
async fn start_double(config: &Config, clock: SharedClock) -> anyhow::Result<Paying> {
    let double = Double::open(
        Some(config.data_dir.clone()),
        Arc::new(move || clock.now().seconds()),
    )
    .context("STAGEDOOR_DATA_DIR: the Stripe double cannot keep its state there")?;
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
    Ok(Paying {
        gateway: Arc::new(
            StripeGateway::new(&"sk_test_double".to_owned().into(), Some(&api_url))?.for_demo(),
        ),
        webhook_verifier: Arc::new(WebhookSecrets {
            secrets: vec![secret.into()],
            live: false,
        }),
        browser: Some(double.browser_router()),
        who: Who::DoubleInside,
    })
}

/// Passes what browsers ask of a double on to where it runs, and nothing else: its API, journal and
/// faults are for programs that reach the double itself.
fn passing_on(double: &str) -> Router {
    let there = Elsewhere {
        url: double.trim_end_matches('/').into(),
        client: Client::builder(TokioExecutor::new()).build_http(),
    };
    BROWSER_ROUTES
        .iter()
        .fold(Router::new(), |router, (path, method)| {
            router.route(path, on(*method, pass_on))
        })
        .method_not_allowed_fallback(not_found)
        .with_state(there)
}

async fn not_found() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// Whether every part of a path is a plain name. An encoded or relative part could lead to another
/// path at the double than the one that was matched here.
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
struct Elsewhere {
    url: Arc<str>,
    client: Client<HttpConnector, Body>,
}

async fn pass_on(State(there): State<Elsewhere>, mut request: Request) -> Response {
    if !is_plain(request.uri().path()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = format!("{}{path}", there.url).parse::<Uri>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    *request.uri_mut() = uri;
    // The host is the shop's: the double's is put in by who connects. What proves who somebody is
    // at the shop is none of the double's business.
    for name in [HOST, COOKIE, AUTHORIZATION] {
        request.headers_mut().remove(name);
    }
    match there.client.request(request).await {
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
