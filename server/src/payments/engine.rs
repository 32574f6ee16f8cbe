//! Makes the calls that effects stand for, and settles them by what Stripe answers.
//!
//! An effect is claimed (leased) in one transaction, called outside of any, and settled in
//! another, together with what its answer does to the payment. Whoever crashes in between leaves
//! a lease that runs out; the call is then made again with the same key. Two engines on one
//! effect are harmless.

use super::{
    gateway::{
        Confirm, Create, Gateway, GatewayError, GivingBack, Intent, IntentStatus, Refunded, Voiding,
    },
    store::{self, EffectKind, EffectRow, PaymentRow, State},
    transitions,
};
use crate::{
    clock::SharedClock,
    crash,
    db::{Conn, Db},
    fault::{Fault, FaultResult, chain},
    refunds,
};
use app::ids::{PaymentId, RefundId};
use futures::{StreamExt, stream};
use std::sync::Arc;
use tokio::sync::Notify;

/// How long a claimed call is left to whoever claimed it: longer than a call can take.
const LEASE_MICROS: i64 = 30 * 1_000_000;
/// The longest pause between two tries.
const BACK_OFF_MAX_SECONDS: i64 = 60;
/// From this try on, Stripe is asked where the intent stands before the call is repeated.
const LOOK_FROM_TRY: i64 = 3;
/// Our clock and Stripe's may differ by so much.
const LIST_MARGIN_SECONDS: i64 = 300;
/// Create, capture and a void: no payment has more calls in a row than this.
const CALLS_MAX: usize = 8;
/// What one round of draining takes on.
const BATCH: i64 = 100;
/// How many payments a shop looks after at once: a slow answer for one holds nobody else up.
pub const CALLS_AT_ONCE: usize = 8;

/// What a buyer is told about the call that they caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing beyond the payment's state.
    Nothing,
    /// What they pay with was refused as it is written.
    BadToken,
}

/// Drives payments forward.
pub struct Engine {
    db: Db,
    clock: SharedClock,
    gateway: Arc<dyn Gateway>,
    wake: Arc<Notify>,
    calls_at_once: usize,
}

/// What a look before a repeated call shows.
enum Look {
    /// The call has happened.
    Done(Outcome),
    /// It has not.
    NotDone,
    /// Nobody answered.
    Unclear,
}

/// What is known after a call.
enum Outcome {
    /// Where the intent stands.
    Known(Intent),
    /// How far the refund has come.
    GivenBack(Refunded),
    /// The call changed nothing and never will, for what it said.
    Refused {
        token: bool,
        declined: Option<String>,
        error: String,
    },
    /// There was nothing to call for: Stripe never heard of the payment.
    NeverMade,
    /// Unknown: again later.
    Later(String),
}

impl Engine {
    /// An engine that calls `gateway`, for at most `calls_at_once` payments at a time where it
    /// drains, which it does when `wake` is notified.
    pub fn new(
        db: Db,
        clock: SharedClock,
        gateway: Arc<dyn Gateway>,
        wake: Arc<Notify>,
        calls_at_once: usize,
    ) -> Self {
        Self {
            db,
            clock,
            gateway,
            wake,
            calls_at_once,
        }
    }

    /// Asks whoever drains to do so now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until somebody asks for draining.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Makes the calls of this payment that are due, one after the other.
    pub async fn drive(&self, payment: PaymentId) -> FaultResult<Told> {
        let mut told = Told::Nothing;
        for _ in 0..CALLS_MAX {
            let now = self.clock.now_micros();
            let Some(effect) = self.claim(payment, now).await? else {
                return Ok(told);
            };
            let Some(row) = store::payment_find(self.db.reads(), payment).await? else {
                return Ok(told);
            };
            crash::point("effect_claimed").await;
            let outcome = self.call(&row, &effect).await;
            crash::point("call_answered").await;
            if let Outcome::Refused { token: true, .. } = outcome {
                told = Told::BadToken;
            }
            self.settle(payment, effect, outcome).await?;
            crash::point("settled").await;
        }
        Ok(told)
    }

    async fn claim(&self, payment: PaymentId, now: i64) -> FaultResult<Option<EffectRow>> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    Ok(store::effect_claim(conn, payment, now, now + LEASE_MICROS).await?)
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
    pub async fn look_at(&self, payment: PaymentId, intent: &str) -> FaultResult<bool> {
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
    pub async fn look_at_refunds(&self, payment: PaymentId, intent: &str) -> FaultResult<bool> {
        match self.gateway.refunds(intent).await {
            Ok(found) => {
                let now = self.clock.now_micros();
                self.db
                    .write(move |conn| {
                        Box::pin(async move {
                            if let Some(row) = transitions::lock(conn, payment).await? {
                                // Oldest first, as they happened.
                                for said in found.iter().rev() {
                                    refunds::transitions::apply(conn, &row, said, now).await?;
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

    /// Makes every call that is due, acts on every webhook that waits, and looks at what should
    /// have moved. Returns how many it looked after; what fails is logged and left for later.
    pub async fn drain(&self) -> FaultResult<usize> {
        let webhooks = store::inbox_waiting(self.db.reads(), BATCH).await?;
        let acted = stream::iter(webhooks)
            .map(|waiting| self.act_on(waiting))
            .buffer_unordered(self.calls_at_once)
            .fold(0, |done, acted| async move { done + counted(acted) })
            .await;
        let now = self.clock.now_micros();
        let due = store::payments_due(self.db.reads(), now, BATCH).await?;
        let driven = stream::iter(due)
            .map(|payment| async move { self.drive(payment).await.map(|_| true) })
            .buffer_unordered(self.calls_at_once)
            .fold(0, |done, driven| async move { done + counted(driven) })
            .await;
        Ok(acted + driven)
    }

    /// The last look at what is being paid while its hold ends, and at what should have moved by
    /// itself: it makes up for webhooks that never came.
    pub async fn look_after(&self) -> FaultResult<()> {
        let now = self.clock.now_micros();
        let found = store::payments_to_look_at(self.db.reads(), now, BATCH).await?;
        stream::iter(found)
            .map(|payment| self.look(payment))
            .buffer_unordered(self.calls_at_once)
            .for_each(|looked| async move {
                counted(looked);
            })
            .await;
        self.db
            .write(move |conn| Box::pin(transitions::report_slow_captures(conn, now)))
            .await
    }

    /// A webhook says that an intent has changed: ask where it stands now. What the webhook says
    /// itself does not count, so it may be late, doubled or out of order.
    async fn act_on(&self, waiting: store::Waiting) -> FaultResult<bool> {
        if let Some(intent) = &waiting.stripe_id {
            let payment = match store::payment_find_by_intent(self.db.reads(), intent).await? {
                Some(row) => Some(row.id),
                // The answer that would have told us the intent's id was lost.
                None => match self.gateway.retrieve(intent).await {
                    Ok(found) => found.payment,
                    Err(GatewayError::Unknown(_) | GatewayError::Credentials(_)) => {
                        return Ok(false);
                    }
                    Err(_) => None,
                },
            };
            if let Some(payment) = payment {
                let heard = self.look_at(payment, intent).await?
                    && (!waiting.is_about_refunds()
                        || self.look_at_refunds(payment, intent).await?);
                if !heard {
                    return Ok(false);
                }
            }
        }
        let now = self.clock.now_micros();
        let event = waiting.event_id;
        self.db
            .write(move |conn| {
                Box::pin(async move { Ok(store::inbox_processed(conn, &event, now).await?) })
            })
            .await
            .map(|()| true)
    }

    async fn apply(&self, payment: PaymentId, intent: Intent) -> FaultResult<()> {
        let now = self.clock.now_micros();
        self.db
            .write(move |conn| {
                Box::pin(async move { transitions::apply(conn, payment, &intent, now).await })
            })
            .await
    }

    async fn call(&self, row: &PaymentRow, effect: &EffectRow) -> Outcome {
        let known = row.stripe_id.as_deref();
        if effect.kind == EffectKind::Create && row.state == State::Voiding && effect.tries == 1 {
            return Outcome::NeverMade;
        }
        let mut key = effect.key.clone();
        // A creation whose intent is known has happened: a webhook told us, where the answer was
        // lost or is an error that Stripe replays.
        let made = effect.kind == EffectKind::Create && known.is_some();
        if made || effect.tries >= LOOK_FROM_TRY {
            match self.look_first(row, effect).await {
                Look::Done(outcome) => return outcome,
                Look::NotDone
                    if effect.kind == EffectKind::Create && row.state == State::Voiding =>
                {
                    return Outcome::NeverMade;
                }
                // Stripe replays an error for its key, whatever becomes of it: ask anew. Should
                // both calls come to something after all, the second intent is a stray.
                Look::NotDone => key = format!("{key}:r{}", effect.tries),
                Look::Unclear => {}
            }
        }
        let answer = match effect.kind {
            EffectKind::Create => match read::<Create>(effect) {
                Ok(create) => self.gateway.create(&key, &create).await,
                Err(broken) => return broken,
            },
            EffectKind::Confirm => match (known, read::<Confirm>(effect)) {
                (Some(known), Ok(confirm)) => self.gateway.confirm(&key, known, &confirm).await,
                (None, _) => return Outcome::NeverMade,
                (_, Err(broken)) => return broken,
            },
            EffectKind::Capture => match known {
                Some(known) => self.gateway.capture(&key, known).await,
                None => return Outcome::Later("captured before it was made".to_owned()),
            },
            EffectKind::Void => return self.void(known, &key, effect).await,
            EffectKind::Refund => return self.give_back(known, &key, effect).await,
        };
        self.understand(answer, known).await
    }

    /// Before a call is repeated once more: perhaps it happened, and only its answer is lost.
    async fn look_first(&self, row: &PaymentRow, effect: &EffectRow) -> Look {
        let Some(known) = row.stripe_id.as_deref() else {
            if effect.kind != EffectKind::Create {
                return Look::Unclear;
            }
            return match self.find_intent(row).await {
                Ok(Some(intent)) => Look::Done(Outcome::Known(intent)),
                Ok(None) => Look::NotDone,
                Err(_) => Look::Unclear,
            };
        };
        if effect.kind == EffectKind::Refund {
            return self.look_for_refund(known, effect).await;
        }
        if stray(effect).is_some() {
            return Look::Unclear;
        }
        let Ok(intent) = self.gateway.retrieve(known).await else {
            return Look::Unclear;
        };
        let done = match effect.kind {
            EffectKind::Capture => intent.status != IntentStatus::RequiresCapture,
            EffectKind::Void => is_end(&intent),
            EffectKind::Create => true,
            // Another card is wanted: it has not been tried.
            EffectKind::Confirm => intent.status != IntentStatus::RequiresPaymentMethod,
            EffectKind::Refund => false,
        };
        if done {
            Look::Done(Outcome::Known(intent))
        } else {
            Look::NotDone
        }
    }

    /// The intent that was made for this payment, among all that Stripe lists since it began.
    async fn find_intent(&self, row: &PaymentRow) -> Result<Option<Intent>, GatewayError> {
        let since = row.created_at / 1_000_000 - LIST_MARGIN_SECONDS;
        let mut after: Option<String> = None;
        loop {
            let page = self.gateway.list(since, after.as_deref()).await?;
            let last = page.intents.last().map(|intent| intent.id.clone());
            let found = page
                .intents
                .into_iter()
                .find(|intent| intent.payment == Some(row.id));
            if found.is_some() || !page.more || last.is_none() {
                return Ok(found);
            }
            after = last;
        }
    }

    async fn look_for_refund(&self, known: &str, effect: &EffectRow) -> Look {
        let Ok(giving) = read::<GivingBack>(effect) else {
            return Look::Unclear;
        };
        match self.gateway.refunds(known).await {
            Ok(found) => found
                .into_iter()
                .find(|refund| refund.refund == Some(giving.refund))
                .map_or(Look::NotDone, |refund| {
                    Look::Done(Outcome::GivenBack(refund))
                }),
            Err(_) => Look::Unclear,
        }
    }

    /// Gives back what was taken.
    async fn give_back(&self, known: Option<&str>, key: &str, effect: &EffectRow) -> Outcome {
        let giving = match read::<GivingBack>(effect) {
            Ok(giving) => giving,
            Err(broken) => return broken,
        };
        let Some(known) = known else {
            return Outcome::Later("refunded before it was made".to_owned());
        };
        match self.gateway.refund(key, known, &giving).await {
            Ok(refund) => Outcome::GivenBack(refund),
            // Refused, perhaps because it has happened already.
            Err(GatewayError::Invalid { message, .. } | GatewayError::Declined { message, .. }) => {
                match self.look_for_refund(known, effect).await {
                    Look::Done(outcome) => outcome,
                    Look::NotDone => Outcome::Refused {
                        token: false,
                        declined: None,
                        error: message,
                    },
                    Look::Unclear => Outcome::Later(message),
                }
            }
            Err(error) => Outcome::Later(error.to_string()),
        }
    }

    /// Gives an authorisation back, unless a look shows that it has come to something: then the
    /// fence decides once more.
    async fn void(&self, known: Option<&str>, key: &str, effect: &EffectRow) -> Outcome {
        if let Some(stray) = stray(effect) {
            let answer = self.gateway.cancel(key, &stray).await;
            return self.understand(answer, Some(&stray)).await;
        }
        let Some(known) = known else {
            return Outcome::NeverMade;
        };
        if effect.tries == 1 {
            match self.gateway.retrieve(known).await {
                Ok(intent) if intent.status == IntentStatus::Canceled => {
                    return Outcome::Known(intent);
                }
                // Authorised after all: our side may take it if the tickets are free, and leaves
                // this call pending if not.
                Ok(intent) if intent.status == IntentStatus::RequiresCapture => {
                    if let Some(id) = intent.payment
                        && let Err(error) = self.apply(id, intent).await
                    {
                        return Outcome::Later(error.to_string());
                    }
                    match self.still_voiding(effect).await {
                        Ok(true) => {}
                        Ok(false) => return Outcome::Later("the order revived".to_owned()),
                        Err(error) => return Outcome::Later(error.to_string()),
                    }
                }
                _ => {}
            }
        }
        let answer = self.gateway.cancel(key, known).await;
        self.understand(answer, Some(known)).await
    }

    async fn still_voiding(&self, effect: &EffectRow) -> Result<bool, sqlx::Error> {
        store::effect_is_pending(self.db.reads(), &effect.id).await
    }

    /// From an answer to what is known.
    async fn understand(
        &self,
        answer: Result<Intent, GatewayError>,
        known: Option<&str>,
    ) -> Outcome {
        match answer {
            Ok(intent) => Outcome::Known(intent),
            Err(GatewayError::Declined {
                intent: Some(intent),
                message,
            }) => Outcome::Known(Intent {
                declined: Some(message),
                ..*intent
            }),
            Err(GatewayError::Declined {
                intent: None,
                message,
            }) => match known {
                Some(known) => self.ask(known).await,
                None => Outcome::Refused {
                    token: false,
                    error: message.clone(),
                    declined: Some(message),
                },
            },
            Err(GatewayError::Moved) => match known {
                Some(known) => self.ask(known).await,
                None => Outcome::Later("moved before it was made".to_owned()),
            },
            Err(GatewayError::Invalid { param, message }) => {
                tracing::warn!(param, message, "Stripe refused a call as invalid");
                Outcome::Refused {
                    token: matches!(
                        param.as_str(),
                        "payment_method" | "confirmation_token" | "payment_method_data"
                    ),
                    declined: None,
                    error: message,
                }
            }
            Err(GatewayError::Credentials(message)) => {
                tracing::error!(message, "Stripe refuses our keys");
                Outcome::Later(message)
            }
            Err(GatewayError::Unknown(message)) => Outcome::Later(message),
        }
    }

    async fn ask(&self, known: &str) -> Outcome {
        match self.gateway.retrieve(known).await {
            Ok(intent) => Outcome::Known(intent),
            Err(error) => Outcome::Later(error.to_string()),
        }
    }

    /// Writes the outcome down, together with what it does.
    async fn settle(
        &self,
        payment: PaymentId,
        effect: EffectRow,
        outcome: Outcome,
    ) -> FaultResult<()> {
        let now = self.clock.now_micros();
        self.db
            .write(move |conn| {
                Box::pin(async move { settle_in_txn(conn, payment, &effect, outcome, now).await })
            })
            .await
    }
}

/// The stored parameters of a call; or what has become of it, if they don't read.
fn read<T: serde::de::DeserializeOwned>(effect: &EffectRow) -> Result<T, Outcome> {
    serde_json::from_str(&effect.params).map_err(|error| Outcome::Refused {
        token: false,
        declined: None,
        error: format!("stored parameters do not read: {error}"),
    })
}

/// The intent that a void is for, where it is not the payment's own.
fn stray(effect: &EffectRow) -> Option<String> {
    let voiding = (effect.kind == EffectKind::Void).then(|| read::<Voiding>(effect).ok())?;
    voiding?.stray
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
    payment: PaymentId,
    effect: &EffectRow,
    outcome: Outcome,
    now: i64,
) -> FaultResult<()> {
    // The tickets first, as everywhere.
    let Some(row) = transitions::lock(conn, payment).await? else {
        return Ok(());
    };
    match outcome {
        // Cancelled in vain: Stripe is at it. The intent is not given up until it says so.
        Outcome::Known(intent)
            if effect.kind == EffectKind::Void && stray(effect).is_none() && !is_end(&intent) =>
        {
            transitions::apply_locked(conn, &row, &intent, now).await?;
            postpone(conn, effect, &format!("it is {:?}", intent.status), now).await
        }
        Outcome::Known(intent) => {
            // Who comes second knows nothing newer.
            if !store::effect_settle(conn, &effect.id, None).await? {
                return Ok(());
            }
            transitions::apply_locked(conn, &row, &intent, now).await
        }
        Outcome::GivenBack(refund) => {
            store::effect_settle(conn, &effect.id, None).await?;
            refunds::transitions::apply(conn, &row, &refund, now).await
        }
        Outcome::Refused {
            declined, error, ..
        } => {
            if !store::effect_settle(conn, &effect.id, Some(&error)).await? {
                return Ok(());
            }
            if let Some(refund) = refund_of(effect) {
                return refunds::transitions::refused(conn, &row, refund, &error, now).await;
            }
            transitions::refused(conn, &row, effect.kind, declined.as_deref(), &error, now).await
        }
        Outcome::NeverMade => {
            store::effect_settle(conn, &effect.id, None).await?;
            transitions::never_made(conn, payment).await
        }
        Outcome::Later(error) => postpone(conn, effect, &error, now).await,
    }
}

/// Again later, and later each time.
async fn postpone(conn: &mut Conn, effect: &EffectRow, why: &str, now: i64) -> FaultResult<()> {
    let pause = (1_i64 << effect.tries.clamp(1, 6)).min(BACK_OFF_MAX_SECONDS);
    let next_at = now + pause * 1_000_000;
    store::effect_postpone(conn, &effect.id, next_at, why)
        .await
        .map_err(Fault::from)
}

/// Nothing becomes of this intent any more but refunds.
fn is_end(intent: &Intent) -> bool {
    matches!(
        intent.status,
        IntentStatus::Canceled | IntentStatus::Succeeded
    )
}

fn refund_of(effect: &EffectRow) -> Option<RefundId> {
    (effect.kind == EffectKind::Refund)
        .then(|| read::<GivingBack>(effect).ok())?
        .map(|giving| giving.refund)
}
