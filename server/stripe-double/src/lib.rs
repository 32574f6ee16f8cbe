//! The Stripe double: a server on loopback that behaves like Stripe, for demo mode and tests.
//!
//! Owns PaymentIntents, PaymentMethods and ConfirmationTokens of Stripe's documented test cards,
//! refunds, idempotency keys, signed webhooks, the bank's page of 3-D Secure and a stand-in for
//! Stripe.js. It uses Stripe's JSON and follows Stripe's rules where Stagedoor relies on them: transitions
//! of states, replays of idempotency keys, signatures of webhooks.
//!
//! It moves no money and does not depend on Stagedoor.
//!
//! # Persistence
//!
//! With a folder, everything but faults is kept: intents, cards, refunds, keys with their answers, and
//! undelivered webhooks. A step (a call with its events and the answer for its key) is written by one
//! append before it is answered, so `kill -9` leaves all of it or nothing. [`Double::read_journal`] can read
//! the file while another process writes it.
//!
//! # Currencies
//!
//! Charges and refunds follow Stripe's rules for amounts (`currencies.rs`): `amount_too_small`,
//! `amount_too_large`, steps of 100 for ISK and UGX, a last digit of 0 for currencies with three decimals.
//!
//! # Refunds
//!
//! Refunds to most cards succeed at once. With `pm_card_pendingRefund` (4000 0000 0000 7726) they are
//! `pending` for two seconds of the double's clock, then `succeeded`; with `pm_card_refundFail`
//! (4000 0000 0000 5126) `succeeded`, and two seconds later `failed`. There is no timer: the next call or
//! webhook delivery ends refunds that are due. A test can end one by [`Double::settle_refund`].
//!
//! # Additional routes
//!
//! - `GET /double/journal`: `{"payments": [ … ]}`, each a [`JournalLine`].
//! - `POST /double/disputes` with `{"payment_intent", "reason"?}` has the cardholder dispute a payment, and
//!   returns its `id`; `POST /double/disputes/{id}` with `{"status"}` (`under_review`, `won`, `lost`) has the
//!   bank decide it.
//! - `POST /double/faults` sets faults of the next calls (`timeout_before`, `timeout_after`,
//!   `error_before`, `error_after`, `reset_before`, `reset_after`, `rate_limited`, `invalid`, `slow`,
//!   `declined`, `requires_action`) or, under the call name `webhooks`, with deliveries
//!   (`duplicate`, `reorder`, `drop`, `bad_signature`): see [`FaultKind`], and `faults.rs` for what a key
//!   replays afterwards. `DELETE /double/faults` removes them.

mod api;
mod browser;
mod cards;
mod currencies;
mod faults;
mod model;
mod reply;
mod state;
mod store;
mod webhooks;

use axum::Router;
use state::State;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

pub use browser::BROWSER_ROUTES;
pub use faults::{Fault, FaultKind};
pub use model::{DisputeStatus, JournalLine};
pub use webhooks::signature;

/// Returns the time in seconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The double. Clones share its state.
#[derive(Clone)]
pub struct Double {
    inner: Arc<Inner>,
}

struct Inner {
    now: Now,
    state: Mutex<State>,
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
        let state = State::open(data_dir)?;
        Ok(Self {
            inner: Arc::new(Inner {
                now,
                state: Mutex::new(state),
                webhooks_wake: Notify::new(),
                webhooks_quiet: Notify::new(),
            }),
        })
    }

    /// Stripe's API (`/v1/…`, requires a secret key), the journal and the faults (`/double/…`).
    pub fn api_router(&self) -> Router {
        api::router(self.clone())
    }

    /// The routes for browsers: the Stripe.js stand-in and the bank's page.
    pub fn browser_router(&self) -> Router {
        browser::router(self.clone())
    }

    /// Sets the public URL of [`Double::browser_router`], for links to the bank's page.
    pub fn set_browser_url(&self, url: &str) {
        url.trim_end_matches('/')
            .clone_into(&mut self.state().browser_url);
    }

    /// Sets the receiver of webhooks.
    pub fn set_webhooks(&self, target: WebhookTarget) {
        self.state().webhooks = Some(target);
        self.inner.webhooks_wake.notify_one();
    }

    /// Delivers webhooks until cancelled, repeating those that were not accepted.
    pub async fn run_webhooks(self) {
        webhooks::run(self).await;
    }

    /// Waits until every webhook has been accepted, except those that a fault holds back.
    pub async fn webhooks_taken(&self) {
        loop {
            let quiet = self.inner.webhooks_quiet.notified();
            if self.step(|state, _| state.has_undelivered()) == Some(false) {
                return;
            }
            quiet.await;
        }
    }

    /// Lists all payments, oldest first.
    pub fn journal(&self) -> Vec<JournalLine> {
        self.step(|state, _| state.journal()).unwrap_or_default()
    }

    /// Reads the journal from `data_dir`. The double may be running or have been killed during a write.
    /// Refunds that are due have their last written state.
    ///
    /// Errors: there is no such double, or its file cannot be read.
    pub fn read_journal(data_dir: &Path) -> std::io::Result<Vec<JournalLine>> {
        state::recorded_journal(data_dir)
    }

    /// Counts this call since the double was opened; `call` is its name in [`Fault`].
    pub fn calls_made(&self, call: &str) -> u64 {
        self.state().calls.get(call).copied().unwrap_or(0)
    }

    /// Adds a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Removes all faults and releases webhooks that were held back.
    pub fn clear_faults(&self) {
        self.state().clear_faults();
        self.inner.webhooks_wake.notify_one();
    }

    /// Approves or refuses the payment on the bank's page. Returns false if the intent does not wait for
    /// that.
    pub fn answer_at_bank(&self, intent: &str, approve: bool) -> bool {
        self.step(|state, now| state.answer_at_bank(intent, approve, now))
            .unwrap_or(false)
    }

    /// Ends a pending or succeeded refund. Returns false if it does not exist or has failed before.
    pub fn settle_refund(&self, refund_id: &str, succeed: bool) -> bool {
        self.step(|state, now| state.settle_refund(refund_id, succeed, now))
            .unwrap_or(false)
    }

    /// Makes a refund as in Stripe's Dashboard, without metadata. Returns its id; none if the amount is not
    /// available.
    pub fn refund_at_dashboard(&self, intent: &str, amount: i64) -> Option<String> {
        self.step(|state, now| state.refund_at_dashboard(intent, amount, now))
            .flatten()
    }

    /// Opens a dispute of the remaining amount of a payment. Returns its id; none if nothing is left or a
    /// dispute is open.
    pub fn open_dispute(&self, intent: &str, reason: &str) -> Option<String> {
        self.step(|state, now| state.dispute(intent, reason, now))
            .flatten()
    }

    /// Sets the status of a dispute. Returns false if it does not exist.
    pub fn decide_dispute(&self, dispute: &str, status: DisputeStatus) -> bool {
        self.step(|state, now| state.decide_dispute(dispute, status, now))
            .unwrap_or(false)
    }

    /// Captures an intent as in Stripe's Dashboard. Returns false if it is not in `requires_capture`.
    pub fn capture_at_dashboard(&self, intent: &str) -> bool {
        self.step(|state, now| state.capture_at_dashboard(intent, now))
            .unwrap_or(false)
    }

    /// Changes the amount of an intent, and its received amount if captured, without an event. Returns false
    /// if it is canceled or the amount is impossible.
    pub fn set_amount(&self, intent: &str, amount: i64) -> bool {
        self.step(|state, _| state.set_amount(intent, amount))
            .unwrap_or(false)
    }

    /// Builds a delivery of `event` about `intent`, signed at `at`: header and body. For tests of late,
    /// duplicate and forged deliveries.
    ///
    /// `event` is its id, and also its type if it begins with `payment_intent.`, `charge.` or `refund.` (up to
    /// a `#`, which makes ids unique: `refund.failed#2`); otherwise the type is `payment_intent.succeeded`. The
    /// object is the intent, its charge, or the newest of its refunds.
    pub fn sign_event(&self, event: &str, intent: &str, secret: &str, at: i64) -> (String, String) {
        let payload = self.state().event_payload(event, intent, at);
        (webhooks::signature(secret, at, &payload), payload)
    }

    /// Runs one step: ends due refunds, runs `act` and writes all changes together. Returns none if they could
    /// not be written.
    fn step<T>(&self, act: impl FnOnce(&mut State, i64) -> T) -> Option<T> {
        let now = (self.inner.now)();
        let mut state = self.state();
        state.settle_due(now);
        let result = act(&mut state, now);
        match state.commit() {
            Ok(has_news) => {
                if has_news {
                    self.inner.webhooks_wake.notify_one();
                }
                Some(result)
            }
            Err(error) => {
                tracing::error!(%error, "the Stripe double could not write its state");
                None
            }
        }
    }

    /// For access that changes no object.
    fn state(&self) -> MutexGuard<'_, State> {
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
