//! The `Content-Security-Policy` of responses, and the nonce that it allows scripts and styles by.

use super::MiddlewareState;
use base64::{Engine, engine::general_purpose::STANDARD};
use platform::unguessable::unguessable;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The policy of `/api/docs`: the page of Swagger UI loads its scripts and styles from files.
const API_DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     form-action 'none'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// The hash of the only style that is written in the document itself.
static FADE_HASH: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode(Sha256::digest(app::app::FADE.as_bytes())));

/// The nonce of one response's scripts.
#[derive(Debug, Clone)]
pub(crate) struct CspNonce(pub String);

impl CspNonce {
    pub(super) fn random() -> Self {
        Self(unguessable::<16>())
    }
}

/// The policy of the response to a request for `path`.
pub(super) fn policy(path: &str, nonce: &CspNonce, state: &MiddlewareState) -> String {
    if path.starts_with("/api/docs") {
        return API_DOCS_POLICY.to_owned();
    }
    let CspNonce(nonce) = nonce;
    let watch = if state.watched { " ws:" } else { "" };
    let (scripts, calls, frames, forms) = if state.stripe_hosts {
        (
            " https://js.stripe.com https://*.js.stripe.com",
            " https://api.stripe.com",
            "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
            // Without JavaScript, a payment redirects to the bank's page and back.
            " https://hooks.stripe.com",
        )
    } else {
        ("", "", "'none'", "")
    };
    let fade = FADE_HASH.as_str();
    format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'{scripts}; \
         style-src 'self' 'nonce-{nonce}' 'sha256-{fade}'; img-src 'self' data: blob:; font-src 'self'; \
         connect-src 'self'{calls}{watch}; frame-src {frames}; manifest-src 'self'; form-action 'self'{forms}; \
         base-uri 'none'; frame-ancestors 'none'"
    )
}
