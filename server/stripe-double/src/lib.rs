//! A Stripe that runs on loopback, for demo mode and tests.
//!
//! Owns PaymentIntents, PaymentMethods and ConfirmationTokens of Stripe's documented test cards,
//! refunds, idempotency keys, signed webhooks, the bank's page of 3-D Secure and a stand-in for
//! Stripe.js. It answers in Stripe's shapes and keeps Stripe's rules where Stagedoor relies on
//! them: what may follow what, what a key replays, what a webhook's signature covers.
//!
//! It does not move money, and knows nothing of Stagedoor.

mod api;
mod browser;
mod cards;
mod faults;
mod model;
mod state;
mod store;
mod webhooks;

use axum::Router;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

pub use faults::{Fault, FaultKind};
pub use model::JournalLine;

/// Tells the time, in seconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The double. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Double {
    inner: Arc<Inner>,
}

struct Inner {
    now: Now,
    state: Mutex<state::State>,
    webhooks_wake: Notify,
    webhooks_quiet: Notify,
}

/// Where webhooks are sent, and the secret that they are signed with.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// The receiver's address.
    pub url: String,
    /// `whsec_…`
    pub secret: String,
}

impl Double {
    /// A double that keeps its state in `data_dir`, or in memory if there is none.
    ///
    /// Errors: the folder cannot be read or written.
    pub fn open(data_dir: Option<PathBuf>, now: Now) -> std::io::Result<Self> {
        let state = state::State::open(data_dir)?;
        Ok(Self {
            inner: Arc::new(Inner {
                now,
                state: Mutex::new(state),
                webhooks_wake: Notify::new(),
                webhooks_quiet: Notify::new(),
            }),
        })
    }

    /// Stripe's API (`/v1/…`), the journal and the faults (`/double/…`). For programs: every
    /// call under `/v1` needs a secret key.
    pub fn api_router(&self) -> Router {
        api::router(self.clone())
    }

    /// What a buyer's browser meets: the Stripe.js stand-in and the bank's page.
    pub fn browser_router(&self) -> Router {
        browser::router(self.clone())
    }

    /// Where a browser finds [`Double::browser_router`]: the bank's page is linked there.
    pub fn set_browser_url(&self, url: &str) {
        url.trim_end_matches('/')
            .clone_into(&mut self.state().browser_url);
    }

    /// Where webhooks go from now on.
    pub fn set_webhooks(&self, target: WebhookTarget) {
        self.state().webhooks = Some(target);
        self.inner.webhooks_wake.notify_one();
    }

    /// Delivers webhooks for ever, and again those that were not taken.
    pub async fn run_webhooks(self) {
        webhooks::run(self).await;
    }

    /// Waits until every webhook has been taken.
    pub async fn webhooks_taken(&self) {
        loop {
            let quiet = self.inner.webhooks_quiet.notified();
            if !self.state().has_undelivered() {
                return;
            }
            quiet.await;
        }
    }

    /// What a bank would show: every payment, oldest first.
    pub fn journal(&self) -> Vec<JournalLine> {
        self.state().journal()
    }

    /// Lets something go wrong.
    pub fn add_fault(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// The buyer has approved (or refused) the payment on their bank's page. False: the intent
    /// waits for no such thing.
    pub fn answer_at_bank(&self, intent: &str, approve: bool) -> bool {
        let now = self.now();
        let done = self.state().answer_at_bank(intent, approve, now);
        self.inner.webhooks_wake.notify_one();
        done
    }

    /// A delivery of `event` about `intent`, signed at `at`: header and body. For tests of what
    /// arrives late, twice or forged.
    pub fn sign_event(&self, event: &str, intent: &str, secret: &str, at: i64) -> (String, String) {
        let payload = self.state().event_payload(event, intent, at);
        (webhooks::signature(secret, at, &payload), payload)
    }

    fn state(&self) -> MutexGuard<'_, state::State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        (self.inner.now)()
    }
}

impl std::fmt::Debug for Double {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Double")
    }
}
