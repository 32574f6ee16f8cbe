//! Executes effects: makes the calls to Stripe and settles them with the answers.
//!
//! An effect is leased in one transaction, called outside of any, and settled in another, together with
//! the resulting changes of the payment. After a crash in between, the lease expires and the call is
//! repeated with the same key. Two engines may work on one effect without harm.

use super::{
    ProviderMode,
    calls::{Outcome, is_final, parse_params},
    disputes,
    effects::{self, EffectKind, EffectOutcome, EffectRow},
    gateway::{DisputeFilter, Gateway, GatewayError, Intent, RefundRequest},
    inbox, provider,
    refund_transitions::RefundTransitions,
    store::{self, PaymentRow},
    transitions, trials,
};
use crate::incidents;
use futures::{StreamExt, stream};
use model::{
    Moment,
    ids::{OrderId, PaymentId, RefundId},
};
use platform::{
    clock::SharedClock,
    crash,
    db::{Conn, Db},
    fault::{Fault, FaultResult, chain},
    telemetry::spans,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, RwLock};
use tracing::Instrument;

/// Lease of a call; longer than a call can take.
const LEASE: Duration = Duration::from_secs(30);
/// Maximum pause between two tries.
const BACK_OFF_MAX: Duration = Duration::from_mins(1);
/// Calls that one run makes for a payment at most; create, capture and void need three.
const CALLS_MAX: usize = 8;
/// Maximum number of webhooks, and of payments, in one round.
const BATCH: i64 = 100;
/// Payments processed concurrently, so that a slow answer for one does not delay the others.
pub const CALLS_AT_ONCE: usize = 8;

/// A capture that takes longer opens an incident.
const SLOW_AFTER: Duration = Duration::from_mins(10);

/// Makes the pending calls of payments and applies the answers.
pub struct Engine {
    pub(super) db: Db,
    clock: SharedClock,
    pub(super) gateway: Arc<dyn Gateway>,
    pub(super) refunds: Arc<dyn RefundTransitions>,
    wake: Arc<Notify>,
    calls_at_once: usize,
    /// Read-locked during each call; `close` takes the write lock.
    calls_out: RwLock<()>,
    closed: AtomicBool,
}

impl Engine {
    /// `refunds` applies answers about refunds. `wake` ends [`Engine::wait_for_wake`]. Calls are made for at
    /// most `calls_at_once` payments at a time.
    pub(crate) fn new(
        db: Db,
        clock: SharedClock,
        gateway: Arc<dyn Gateway>,
        refunds: Arc<dyn RefundTransitions>,
        wake: Arc<Notify>,
        calls_at_once: usize,
    ) -> Self {
        Self {
            db,
            clock,
            gateway,
            refunds,
            wake,
            calls_at_once,
            calls_out: RwLock::new(()),
            closed: AtomicBool::new(false),
        }
    }

    /// Stops making calls, and waits until current calls are settled; an unsettled one could be repeated
    /// only after its lease.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.calls_out.write().await);
    }

    pub(super) fn provider(&self) -> ProviderMode {
        self.gateway.mode()
    }

    /// Ends [`Engine::wait_for_wake`].
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits for [`Engine::wake`], after which the caller should [`Engine::drain`].
    pub async fn wait_for_wake(&self) {
        self.wake.notified().await;
    }

    /// Makes this payment's due calls one after the other.
    pub async fn drive(&self, payment: PaymentId) -> FaultResult<()> {
        let calling = self.make_calls(payment);
        calling.instrument(spans::payment(payment)).await
    }

    async fn make_calls(&self, payment: PaymentId) -> FaultResult<()> {
        for _ in 0..CALLS_MAX {
            let _out = self.calls_out.read().await;
            if self.closed.load(Ordering::SeqCst) {
                return Ok(());
            }
            let now = self.clock.now();
            let Some(effect) = self.claim(payment, now).await? else {
                return Ok(());
            };
            let Some(row) = store::find(self.db.reads(), payment).await? else {
                return Ok(());
            };
            crash::point("effect_claimed").await;
            let outcome = self.call(&row, &effect).await;
            crash::point("call_answered").await;
            log_call(&row, &effect, &outcome);
            self.settle(payment, effect, outcome).await?;
            crash::point("settled").await;
        }
        Ok(())
    }

    async fn claim(&self, payment: PaymentId, now: Moment) -> FaultResult<Option<EffectRow>> {
        let mode = self.provider();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    provider::assert_recorded(&mut *conn, mode).await?;
                    Ok(effects::claim(conn, payment, now, now + LEASE).await?)
                })
            })
            .await
    }

    /// Applies the intent's present state at Stripe, then makes the due calls. Returns false if Stripe
    /// did not answer.
    pub async fn refresh(&self, payment: PaymentId) -> FaultResult<bool> {
        let row = store::find(self.db.reads(), payment).await?;
        match row.and_then(|row| row.stripe_id) {
            Some(intent) => self.refresh_intent(payment, &intent).await,
            None => {
                self.drive(payment).await?;
                Ok(true)
            }
        }
    }

    /// As [`Engine::refresh`], by the intent's id.
    pub(crate) async fn refresh_intent(
        &self,
        payment: PaymentId,
        intent: &str,
    ) -> FaultResult<bool> {
        match self.gateway.retrieve(intent).await {
            Ok(intent) => {
                self.apply(payment, intent).await?;
                self.drive(payment).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(%payment, %error, "cannot retrieve a payment intent from Stripe");
                Ok(false)
            }
        }
    }

    /// Applies Stripe's list of refunds of an intent. Returns false if Stripe did not answer.
    pub(crate) async fn refresh_refunds(
        &self,
        payment: PaymentId,
        intent: &str,
    ) -> FaultResult<bool> {
        match self.gateway.list_refunds(intent).await {
            Ok(found) => {
                let (refunds, now) = (Arc::clone(&self.refunds), self.clock.now());
                self.db
                    .write(move |conn| {
                        Box::pin(async move {
                            if let Some(row) = transitions::lock(conn, payment).await? {
                                // Oldest first.
                                for reported in found.iter().rev() {
                                    refunds.apply(conn, &row, reported, now).await?;
                                }
                            }
                            Ok(true)
                        })
                    })
                    .await
            }
            Err(error) => {
                tracing::warn!(%payment, %error, "cannot list refunds at Stripe");
                Ok(false)
            }
        }
    }

    /// Applies Stripe's list of disputes of an intent. Returns false if Stripe did not answer.
    pub(crate) async fn refresh_disputes(
        &self,
        payment: PaymentId,
        intent: &str,
    ) -> FaultResult<bool> {
        let found = match self
            .gateway
            .list_disputes(DisputeFilter::Intent(intent))
            .await
        {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%payment, %error, "cannot list disputes at Stripe");
                return Ok(false);
            }
        };
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if let Some(row) = transitions::lock(conn, payment).await? {
                        for reported in found.iter().rev() {
                            disputes::apply(conn, &row, reported, now).await?;
                        }
                    }
                    Ok(true)
                })
            })
            .await
    }

    /// Processes waiting webhooks and makes due calls, a batch of each. Returns the number of webhooks and
    /// payments processed. Failures are logged and retried in a later round.
    pub async fn drain(&self) -> FaultResult<usize> {
        let webhooks = inbox::list_unprocessed(self.db.reads(), BATCH).await?;
        let acted = stream::iter(webhooks)
            .map(|waiting| {
                let span = spans::webhook(&waiting.event_id);
                async { count_or_log(self.process_webhook(waiting).await) }.instrument(span)
            })
            .buffer_unordered(self.calls_at_once)
            .fold(0, |done, acted| async move { done + acted })
            .await;
        let now = self.clock.now();
        let due = effects::list_due_payments(self.db.reads(), now, BATCH).await?;
        let driven = stream::iter(due)
            .map(|payment| {
                let driving =
                    async move { count_or_log(self.make_calls(payment).await.map(|()| true)) };
                driving.instrument(spans::payment(payment))
            })
            .buffer_unordered(self.calls_at_once)
            .fold(0, |done, driven| async move { done + driven })
            .await;
        Ok(acted + driven)
    }

    /// Refreshes payments of orders in their grace period, and stalled payments without a pending call, in
    /// case a webhook was lost. Opens incidents for slow captures.
    pub async fn refresh_stalled(&self) -> FaultResult<()> {
        let now = self.clock.now();
        let found = store::list_to_refresh(self.db.reads(), now, BATCH).await?;
        stream::iter(found)
            .map(|payment| {
                let looking = async move { count_or_log(self.refresh(payment).await) };
                looking.instrument(spans::payment(payment))
            })
            .buffer_unordered(self.calls_at_once)
            .for_each(|_| async {})
            .await;
        let slow = store::list_capturing_since(self.db.reads(), now - SLOW_AFTER).await?;
        if slow.is_empty() {
            return Ok(());
        }
        self.db
            .write(move |conn| Box::pin(async move { report_slow_captures(conn, slow, now).await }))
            .await
    }

    /// Retrieves the present state of the intent that a webhook names. The contents of the webhook are not
    /// used, so it may be late, duplicated or out of order. Returns false if Stripe did not answer.
    async fn process_webhook(&self, waiting: inbox::UnprocessedEvent) -> FaultResult<bool> {
        if let Some(intent) = &waiting.stripe_id {
            let payment = match store::find_by_intent(self.db.reads(), intent).await? {
                Some(row) => Some(row.id),
                // The answer with the intent's id was lost.
                None => match self.gateway.retrieve(intent).await {
                    Ok(found) => found.payment,
                    Err(
                        GatewayError::Failed(_)
                        | GatewayError::Unknown(_)
                        | GatewayError::Credentials(_),
                    ) => return Ok(false),
                    Err(_) => None,
                },
            };
            if let Some(payment) = payment {
                let answered = self.refresh_intent(payment, intent).await?
                    && (!waiting.is_about_refunds()
                        || self.refresh_refunds(payment, intent).await?)
                    && (!waiting.is_about_disputes()
                        || self.refresh_disputes(payment, intent).await?);
                if !answered {
                    return Ok(false);
                }
            }
        }
        let now = self.clock.now();
        let event = waiting.event_id;
        self.db
            .write(move |conn| {
                Box::pin(async move { Ok(inbox::mark_processed(conn, &event, now).await?) })
            })
            .await
            .map(|()| true)
    }

    pub(super) async fn apply(&self, payment: PaymentId, intent: Intent) -> FaultResult<()> {
        let (refunds, now) = (Arc::clone(&self.refunds), self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(
                    async move { transitions::apply(conn, &*refunds, payment, &intent, now).await },
                )
            })
            .await
    }

    /// Stores the outcome and applies it to the payment in one transaction.
    async fn settle(
        &self,
        payment: PaymentId,
        effect: EffectRow,
        outcome: Outcome,
    ) -> FaultResult<()> {
        let (refunds, now) = (Arc::clone(&self.refunds), self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    settle_in_transaction(conn, &*refunds, payment, &effect, outcome, now).await
                })
            })
            .await
    }
}

fn log_call(row: &PaymentRow, effect: &EffectRow, outcome: &Outcome) {
    let (order, tries) = (row.order, effect.tries);
    let call: &'static str = effect.kind.into();
    let short = outcome.summary();
    if matches!(outcome, Outcome::Unknown(_)) {
        tracing::warn!(%order, call, tries, outcome = short, "Stripe was called without a certain outcome");
    } else {
        tracing::info!(%order, call, tries, outcome = short, "Stripe was called");
    }
}

/// Opens an incident for each payment.
async fn report_slow_captures(
    conn: &mut Conn,
    slow: Vec<(PaymentId, OrderId)>,
    now: Moment,
) -> FaultResult<()> {
    for (payment, order) in slow {
        let detail = "the money has been on its way for more than ten minutes";
        let kind = incidents::Kind::CaptureSlow;
        incidents::open(conn, kind, payment, Some(order), detail, now).await?;
    }
    Ok(())
}

/// Returns 1 if processed, otherwise 0. Logs errors, so that one failure does not stop the others.
fn count_or_log(done: FaultResult<bool>) -> usize {
    match done {
        Ok(done) => usize::from(done),
        Err(fault) => {
            tracing::error!(error = chain(&fault), "cannot process a payment");
            0
        }
    }
}

async fn settle_in_transaction(
    conn: &mut Conn,
    refunds: &dyn RefundTransitions,
    payment: PaymentId,
    effect: &EffectRow,
    outcome: Outcome,
    now: Moment,
) -> FaultResult<()> {
    // Lock order: tickets first.
    let Some(row) = transitions::lock(conn, payment).await? else {
        return Ok(());
    };
    let effect_outcome = outcome.effect_outcome();
    if effect_outcome != Some(EffectOutcome::Declined) && !matches!(outcome, Outcome::Unknown(_)) {
        trials::uncount(conn, effect.id).await?;
    }
    match outcome {
        // Not cancelled yet, for example while processing: repeat until Stripe reports an end.
        Outcome::Known(intent) if effect.kind == EffectKind::Void && !is_final(&intent) => {
            transitions::apply_locked(conn, refunds, &row, &intent, now).await?;
            postpone(
                conn,
                effect,
                &format!("the intent is {:?}", intent.status),
                now,
            )
            .await
        }
        Outcome::Known(intent) => {
            // Already settled by another process, with an answer at least as new.
            if !effects::settle(conn, effect.id, effect_outcome, None).await? {
                return Ok(());
            }
            transitions::apply_locked(conn, refunds, &row, &intent, now).await
        }
        Outcome::Refund(refund) => {
            effects::settle(conn, effect.id, effect_outcome, None).await?;
            refunds.apply(conn, &row, &refund, now).await
        }
        Outcome::Refused { refusal, error } => {
            if !effects::settle(conn, effect.id, effect_outcome, Some(&error)).await? {
                return Ok(());
            }
            if let Some(refund) = refund_of(effect) {
                return refunds.fail_refused(conn, &row, refund, &error, now).await;
            }
            transitions::refused(conn, &row, effect.kind, &refusal, &error, now).await
        }
        Outcome::NotNeeded => {
            effects::settle(conn, effect.id, None, None).await?;
            transitions::void_unmade(conn, payment).await
        }
        Outcome::Unknown(error) => postpone(conn, effect, &error, now).await,
    }
}

/// Repeats the call later, with exponential back-off.
async fn postpone(
    conn: &mut Conn,
    effect: &EffectRow,
    reason: &str,
    now: Moment,
) -> FaultResult<()> {
    let pause = Duration::from_secs(1 << effect.tries.clamp(1, 6)).min(BACK_OFF_MAX);
    effects::postpone(conn, effect.id, now + pause, reason)
        .await
        .map_err(Fault::from)
}

fn refund_of(effect: &EffectRow) -> Option<RefundId> {
    (effect.kind == EffectKind::Refund)
        .then(|| parse_params::<RefundRequest>(effect).ok())?
        .map(|request| request.refund)
}
