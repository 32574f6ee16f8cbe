//! A Stripe that runs on loopback, for demo mode and tests.
//!
//! Owns PaymentIntents, PaymentMethods and ConfirmationTokens of Stripe's documented test cards,
//! refunds, idempotency keys, signed webhooks, the bank's page of 3-D Secure and a stand-in for
//! Stripe.js. It answers in Stripe's shapes and keeps Stripe's rules where Stagedoor relies on
//! them: what may follow what, what a key replays, what a webhook's signature covers.
//!
//! It does not move money, and knows nothing of Stagedoor.
//!
//! # What survives
//!
//! With a folder, everything but faults: intents, cards, refunds, keys with their answers, and
//! webhooks that nobody has taken. A step (a call with its events and the answer for its key) is
//! written by one append before anybody hears of it, so `kill -9` leaves all of it or nothing.
//! [`Double::read_journal`] reads what is written while another process writes it.
//!
//! # Currencies
//!
//! Charges and refunds keep Stripe's rules for amounts (`currencies.rs`): `amount_too_small`,
//! `amount_too_large`, steps of 100 for ISK and UGX, a last digit of 0 where there are three decimals.
//!
//! # Refunds
//!
//! Most cards take a refund at once. `pm_card_pendingRefund` (4000 0000 0000 7726) takes two seconds
//! of the double's clock: `pending`, then `succeeded`. `pm_card_refundFail` (4000 0000 0000 5126)
//! says `succeeded`, and two seconds later `failed`, which gives the amount back to the payment.
//! There is no timer: whoever looks next, be it the deliveries of webhooks, ends what is due. A
//! test ends a refund itself by [`Double::settle_refund`].
//!
//! # On top of Stripe
//!
//! - `GET /double/journal`: `{"payments": [ … ]}`, each a [`JournalLine`].
//! - `POST /double/disputes` with `{"payment_intent", "reason"?}` has the cardholder dispute a payment, and
//!   is answered with its `id`; `POST /double/disputes/{id}` with `{"status"}` (`under_review`, `won`,
//!   `lost`) has the bank decide it.
//! - `POST /double/faults`: what goes wrong next with calls (`timeout_before`, `timeout_after`,
//!   `error_before`, `error_after`, `reset_before`, `reset_after`, `rate_limited`, `invalid`, `slow`,
//!   `declined`, `requires_action`) or, under the call name `webhooks`, with deliveries
//!   (`duplicate`, `reorder`, `drop`, `bad_signature`): [`FaultKind`] says what each does, and the
//!   top of `faults.rs` what a key replays afterwards. `DELETE /double/faults` ends them.

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

/// Tells the time, in seconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The double. Cheap to clone; all clones are one.
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

    /// Waits until every webhook has been taken, except those that a fault holds back.
    pub async fn webhooks_taken(&self) {
        loop {
            let quiet = self.inner.webhooks_quiet.notified();
            if self.step(|state, _| state.has_undelivered()) == Some(false) {
                return;
            }
            quiet.await;
        }
    }

    /// What a bank would show: every payment, oldest first.
    pub fn journal(&self) -> Vec<JournalLine> {
        self.step(|state, _| state.journal()).unwrap_or_default()
    }

    /// The journal of the double that keeps its state in `data_dir`, as far as it is written: the
    /// double may be running, or have been killed in mid-write. Refunds that are due but that
    /// nobody has looked at since stand as they did.
    ///
    /// Errors: there is no such double, or its file cannot be read.
    pub fn read_journal(data_dir: &Path) -> std::io::Result<Vec<JournalLine>> {
        state::recorded_journal(data_dir)
    }

    /// How often this call has come in since the double was opened, by its name among the faults.
    pub fn calls_made(&self, call: &str) -> u64 {
        self.state().calls.get(call).copied().unwrap_or(0)
    }

    /// Lets something go wrong.
    pub fn add_fault(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Nothing goes wrong any more, and webhooks that were held back go out.
    pub fn clear_faults(&self) {
        self.state().clear_faults();
        self.inner.webhooks_wake.notify_one();
    }

    /// The buyer has approved (or refused) the payment on their bank's page. False: the intent
    /// waits for no such thing.
    pub fn answer_at_bank(&self, intent: &str, approve: bool) -> bool {
        self.step(|state, now| state.answer_at_bank(intent, approve, now))
            .unwrap_or(false)
    }

    /// Ends a pending or succeeded refund, now and for good if it failed. False: there is no such
    /// refund, or it has failed before.
    pub fn settle_refund(&self, refund_id: &str, succeed: bool) -> bool {
        self.step(|state, now| state.settle_refund(refund_id, succeed, now))
            .unwrap_or(false)
    }

    /// Somebody refunds this much in Stripe's Dashboard: no call asked for it, and it has no
    /// metadata. Its id; or nothing, if not so much is left of the payment.
    pub fn refund_at_dashboard(&self, intent: &str, amount: i64) -> Option<String> {
        self.step(|state, now| state.refund_at_dashboard(intent, amount, now))
            .flatten()
    }

    /// A cardholder disputes what is left of a payment, for this reason. The dispute's id; or nothing, if
    /// nothing is left, or a dispute is under way.
    pub fn open_dispute(&self, intent: &str, reason: &str) -> Option<String> {
        self.step(|state, now| state.dispute(intent, reason, now))
            .flatten()
    }

    /// The bank decides a dispute, or goes on deciding. False: there is no such dispute.
    pub fn decide_dispute(&self, dispute: &str, status: DisputeStatus) -> bool {
        self.step(|state, now| state.decide_dispute(dispute, status, now))
            .unwrap_or(false)
    }

    /// Somebody presses Capture in Stripe's Dashboard. False: the intent is not in
    /// `requires_capture`.
    pub fn capture_at_dashboard(&self, intent: &str) -> bool {
        self.step(|state, now| state.capture_at_dashboard(intent, now))
            .unwrap_or(false)
    }

    /// Tampers with an intent: it is for another amount from now on, and if its money was taken,
    /// that amount was. Nobody is told. False: it is canceled, or there can be no such amount.
    pub fn set_amount(&self, intent: &str, amount: i64) -> bool {
        self.step(|state, _| state.set_amount(intent, amount))
            .unwrap_or(false)
    }

    /// A delivery of `event` about `intent`, signed at `at`: header and body. For tests of what
    /// arrives late, twice or forged.
    ///
    /// `event` is its id. Its type is `event` as well, if that begins with `payment_intent.`,
    /// `charge.` or `refund.` (what follows a `#` tells deliveries of one type apart:
    /// `refund.failed#2`), and else `payment_intent.succeeded`. The object is the intent, its
    /// charge, or the newest of its refunds.
    pub fn sign_event(&self, event: &str, intent: &str, secret: &str, at: i64) -> (String, String) {
        let payload = self.state().event_payload(event, intent, at);
        (webhooks::signature(secret, at, &payload), payload)
    }

    /// One step: all that `act` changes, and what time has done to refunds meanwhile, is written
    /// down together before anybody hears of it. Nothing is returned if it could not be written.
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

    /// For what changes no object.
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
