//! Makes the calls that effects stand for, and settles them by what Stripe answers.
//!
//! An effect is claimed (leased) in one transaction, called outside of any, and settled in
//! another, together with what its answer does to the payment. Whoever crashes in between leaves
//! a lease that runs out; the call is then made again with the same key. Two engines on one
//! effect are harmless.

use super::{
    ProviderMode,
    calls::{Outcome, is_end, read},
    disputes,
    effects::{self, Came, EffectKind, EffectRow},
    gateway::{DisputesOf, Gateway, GatewayError, GivingBack, Intent},
    inbox, provider,
    refunding::Refunding,
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

/// How long a claimed call is left to whoever claimed it: longer than a call can take.
const LEASE: Duration = Duration::from_secs(30);
/// The longest pause between two tries.
const BACK_OFF_MAX: Duration = Duration::from_mins(1);
/// Create, capture and a void: no payment has more calls in a row than this.
const CALLS_MAX: usize = 8;
/// What one round of draining takes on.
const BATCH: i64 = 100;
/// How many payments a shop looks after at once: a slow answer for one holds nobody else up.
pub const CALLS_AT_ONCE: usize = 8;

/// Money that is on its way for longer than this is looked at by a person.
const SLOW_AFTER: Duration = Duration::from_mins(10);

/// Drives payments forward.
pub struct Engine {
    pub(super) db: Db,
    clock: SharedClock,
    pub(super) gateway: Arc<dyn Gateway>,
    pub(super) refunds: Arc<dyn Refunding>,
    wake: Arc<Notify>,
    calls_at_once: usize,
    /// Read by whoever has a call out.
    calls_out: RwLock<()>,
    closed: AtomicBool,
}

impl Engine {
    /// An engine that calls `gateway` and applies to `refunds` what follows from the answers. When `wake`
    /// is notified, it makes all calls that are due, for at most `calls_at_once` payments at a time.
    pub(crate) fn new(
        db: Db,
        clock: SharedClock,
        gateway: Arc<dyn Gateway>,
        refunds: Arc<dyn Refunding>,
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

    /// Makes no more calls, and waits until those that are out have been answered and settled: else
    /// nobody would make them again before their lease is over.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.calls_out.write().await);
    }

    /// Which provider is called.
    pub(super) fn provider(&self) -> ProviderMode {
        self.gateway.mode()
    }

    /// Asks whoever drains to do so now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until somebody asks for draining.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Makes the calls of this payment that are due, one after the other.
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
            let Some(row) = store::payment_find(self.db.reads(), payment).await? else {
                return Ok(());
            };
            crash::point("effect_claimed").await;
            let outcome = self.call(&row, &effect).await;
            crash::point("call_answered").await;
            note(&row, &effect, &outcome);
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
                    Ok(effects::effect_claim(conn, payment, now, now + LEASE).await?)
                })
            })
            .await
    }

    /// Asks Stripe where the payment stands and brings our side up to it; then makes the calls
    /// that follow from it. False: Stripe did not answer.
    pub async fn look(&self, payment: PaymentId) -> FaultResult<bool> {
        let row = store::payment_find(self.db.reads(), payment).await?;
        match row.and_then(|row| row.stripe_id) {
            Some(intent) => self.look_at(payment, &intent).await,
            None => {
                self.drive(payment).await?;
                Ok(true)
            }
        }
    }

    /// As [`Engine::look`], by the intent's id.
    pub(crate) async fn look_at(&self, payment: PaymentId, intent: &str) -> FaultResult<bool> {
        match self.gateway.retrieve(intent).await {
            Ok(intent) => {
                self.apply(payment, intent).await?;
                self.drive(payment).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(%payment, %error, "Stripe did not say where a payment stands");
                Ok(false)
            }
        }
    }

    /// Asks Stripe how far the refunds of an intent have come. False: Stripe did not answer.
    pub(crate) async fn look_at_refunds(
        &self,
        payment: PaymentId,
        intent: &str,
    ) -> FaultResult<bool> {
        match self.gateway.refunds(intent).await {
            Ok(found) => {
                let (refunds, now) = (Arc::clone(&self.refunds), self.clock.now());
                self.db
                    .write(move |conn| {
                        Box::pin(async move {
                            if let Some(row) = transitions::lock(conn, payment).await? {
                                // Oldest first, as they happened.
                                for said in found.iter().rev() {
                                    refunds.apply(conn, &row, said, now).await?;
                                }
                            }
                            Ok(true)
                        })
                    })
                    .await
            }
            Err(error) => {
                tracing::warn!(%payment, %error, "Stripe did not say how a refund stands");
                Ok(false)
            }
        }
    }

    /// Asks Stripe whether the payment of an intent is disputed. False: Stripe did not answer.
    pub(crate) async fn look_at_disputes(
        &self,
        payment: PaymentId,
        intent: &str,
    ) -> FaultResult<bool> {
        let found = match self.gateway.disputes(DisputesOf::Intent(intent)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%payment, %error, "Stripe did not say whether a payment is disputed");
                return Ok(false);
            }
        };
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if let Some(row) = transitions::lock(conn, payment).await? {
                        for said in found.iter().rev() {
                            disputes::apply(conn, &row, said, now).await?;
                        }
                    }
                    Ok(true)
                })
            })
            .await
    }

    /// Makes every call that is due, acts on every webhook that waits, and looks at what should
    /// have moved. Returns how many it looked after; what fails is logged and left for later.
    pub async fn drain(&self) -> FaultResult<usize> {
        let webhooks = inbox::inbox_waiting(self.db.reads(), BATCH).await?;
        let acted = stream::iter(webhooks)
            .map(|waiting| {
                let span = spans::webhook(&waiting.event_id);
                async { counted(self.act_on(waiting).await) }.instrument(span)
            })
            .buffer_unordered(self.calls_at_once)
            .fold(0, |done, acted| async move { done + acted })
            .await;
        let now = self.clock.now();
        let due = effects::payments_due(self.db.reads(), now, BATCH).await?;
        let driven = stream::iter(due)
            .map(|payment| {
                let driving = async move { counted(self.make_calls(payment).await.map(|()| true)) };
                driving.instrument(spans::payment(payment))
            })
            .buffer_unordered(self.calls_at_once)
            .fold(0, |done, driven| async move { done + driven })
            .await;
        Ok(acted + driven)
    }

    /// The last look at what is being paid while its hold ends, and at what should have moved by
    /// itself: it makes up for webhooks that never came.
    pub async fn look_after(&self) -> FaultResult<()> {
        let now = self.clock.now();
        let found = store::payments_to_look_at(self.db.reads(), now, BATCH).await?;
        stream::iter(found)
            .map(|payment| {
                let looking = async move { counted(self.look(payment).await) };
                looking.instrument(spans::payment(payment))
            })
            .buffer_unordered(self.calls_at_once)
            .for_each(|_| async {})
            .await;
        let slow = store::payments_capturing_since(self.db.reads(), now - SLOW_AFTER).await?;
        if slow.is_empty() {
            return Ok(());
        }
        self.db
            .write(move |conn| Box::pin(async move { report_slow_captures(conn, slow, now).await }))
            .await
    }

    /// A webhook says that an intent has changed: ask where it stands now. What the webhook says
    /// itself does not count, so it may be late, doubled or out of order.
    async fn act_on(&self, waiting: inbox::Waiting) -> FaultResult<bool> {
        if let Some(intent) = &waiting.stripe_id {
            let payment = match store::payment_find_by_intent(self.db.reads(), intent).await? {
                Some(row) => Some(row.id),
                // The answer that would have told us the intent's id was lost.
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
                let heard = self.look_at(payment, intent).await?
                    && (!waiting.is_about_refunds()
                        || self.look_at_refunds(payment, intent).await?)
                    && (!waiting.is_about_disputes()
                        || self.look_at_disputes(payment, intent).await?);
                if !heard {
                    return Ok(false);
                }
            }
        }
        let now = self.clock.now();
        let event = waiting.event_id;
        self.db
            .write(move |conn| {
                Box::pin(async move { Ok(inbox::inbox_processed(conn, &event, now).await?) })
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

    /// Writes the outcome down, together with what it does.
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
                    settle_in_txn(conn, &*refunds, payment, &effect, outcome, now).await
                })
            })
            .await
    }
}

/// One line for each call: what was asked of Stripe for which order, and what came of it.
fn note(row: &PaymentRow, effect: &EffectRow, outcome: &Outcome) {
    let (order, tries) = (row.order, effect.tries);
    let call: &'static str = effect.kind.into();
    let short = outcome.in_short();
    if matches!(outcome, Outcome::Later(_)) {
        tracing::warn!(%order, call, tries, outcome = short, "Stripe was called in vain");
    } else {
        tracing::info!(%order, call, tries, outcome = short, "Stripe was called");
    }
}

/// Writes an incident for each payment whose money has been on its way for too long.
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

/// One more looked after, or none; what failed is logged, and the others go on.
fn counted(done: FaultResult<bool>) -> usize {
    match done {
        Ok(done) => usize::from(done),
        Err(fault) => {
            tracing::error!(error = chain(&fault), "a payment was not looked after");
            0
        }
    }
}

async fn settle_in_txn(
    conn: &mut Conn,
    refunds: &dyn Refunding,
    payment: PaymentId,
    effect: &EffectRow,
    outcome: Outcome,
    now: Moment,
) -> FaultResult<()> {
    // The tickets first, as everywhere.
    let Some(row) = transitions::lock(conn, payment).await? else {
        return Ok(());
    };
    let came = outcome.came();
    if came != Some(Came::Declined) && !matches!(outcome, Outcome::Later(_)) {
        trials::trial_give_back(conn, effect.id).await?;
    }
    match outcome {
        // Cancelled in vain: Stripe is at it. The intent is not given up until it says so.
        Outcome::Known(intent) if effect.kind == EffectKind::Void && !is_end(&intent) => {
            transitions::apply_locked(conn, refunds, &row, &intent, now).await?;
            postpone(conn, effect, &format!("it is {:?}", intent.status), now).await
        }
        Outcome::Known(intent) => {
            // Who comes second knows nothing newer.
            if !effects::effect_settle(conn, effect.id, came, None).await? {
                return Ok(());
            }
            transitions::apply_locked(conn, refunds, &row, &intent, now).await
        }
        Outcome::GivenBack(refund) => {
            effects::effect_settle(conn, effect.id, came, None).await?;
            refunds.apply(conn, &row, &refund, now).await
        }
        Outcome::Refused { why, error } => {
            if !effects::effect_settle(conn, effect.id, came, Some(&error)).await? {
                return Ok(());
            }
            if let Some(refund) = refund_of(effect) {
                return refunds.refused(conn, &row, refund, &error, now).await;
            }
            transitions::refused(conn, &row, effect.kind, &why, &error, now).await
        }
        Outcome::NeverMade => {
            effects::effect_settle(conn, effect.id, None, None).await?;
            transitions::never_made(conn, payment).await
        }
        Outcome::Later(error) => postpone(conn, effect, &error, now).await,
    }
}

/// Again later, and later each time.
async fn postpone(conn: &mut Conn, effect: &EffectRow, why: &str, now: Moment) -> FaultResult<()> {
    let pause = Duration::from_secs(1 << effect.tries.clamp(1, 6)).min(BACK_OFF_MAX);
    effects::effect_postpone(conn, effect.id, now + pause, why)
        .await
        .map_err(Fault::from)
}

fn refund_of(effect: &EffectRow) -> Option<RefundId> {
    (effect.kind == EffectKind::Refund)
        .then(|| read::<GivingBack>(effect).ok())?
        .map(|giving| giving.refund)
}
