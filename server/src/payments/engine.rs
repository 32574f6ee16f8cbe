//! Makes the calls that effects stand for, and settles them by what Stripe answers.
//!
//! An effect is claimed (leased) in one transaction, called outside of any, and settled in
//! another, together with what its answer does to the payment. Whoever crashes in between leaves
//! a lease that runs out; the call is then made again with the same key. Two engines on one
//! effect are harmless.

use super::{
    gateway::{Confirm, Create, Gateway, GatewayError, Intent, IntentStatus},
    store::{self, EffectKind, EffectRow, PaymentRow, State},
    transitions,
};
use crate::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
};
use app::ids::PaymentId;
use std::sync::Arc;
use tokio::sync::Notify;

/// How long a claimed call is left to whoever claimed it: longer than a call can take.
const LEASE_MICROS: i64 = 30 * 1_000_000;
/// The longest pause between two tries.
const BACK_OFF_MAX_SECONDS: i64 = 60;
/// From this try on, Stripe is asked where the intent stands before the call is repeated.
const LOOK_FROM_TRY: i64 = 3;
/// Create, capture and a void: no payment has more calls in a row than this.
const CALLS_MAX: usize = 8;
/// What one round of draining takes on.
const BATCH: i64 = 100;

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
    wake: Notify,
}

/// What is known after a call.
enum Outcome {
    /// Where the intent stands.
    Known(Intent),
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
    /// An engine that calls `gateway`.
    pub fn new(db: Db, clock: SharedClock, gateway: Arc<dyn Gateway>) -> Self {
        Self {
            db,
            clock,
            gateway,
            wake: Notify::new(),
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
            let outcome = self.call(&row, &effect).await;
            if let Outcome::Refused { token: true, .. } = outcome {
                told = Told::BadToken;
            }
            self.settle(payment, effect, outcome).await?;
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
        let Some(intent) = row.and_then(|row| row.stripe_id) else {
            self.drive(payment).await?;
            return Ok(true);
        };
        match self.gateway.retrieve(&intent).await {
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

    /// Makes every call that is due and acts on every webhook that waits. Returns how many
    /// payments it looked after.
    pub async fn drain(&self) -> FaultResult<usize> {
        let mut done = 0;
        for (event, intent) in store::inbox_waiting(self.db.reads(), BATCH).await? {
            done += usize::from(self.act_on(event, intent).await?);
        }
        let now = self.clock.now_micros();
        for payment in store::payments_due(self.db.reads(), now, BATCH).await? {
            self.drive(payment).await?;
            done += 1;
        }
        Ok(done)
    }

    /// A webhook says that an intent has changed: ask where it stands now. What the webhook says
    /// itself does not count, so it may be late, doubled or out of order.
    async fn act_on(&self, event: String, intent: Option<String>) -> FaultResult<bool> {
        if let Some(intent) = intent {
            let payment = match store::payment_find_by_intent(self.db.reads(), &intent).await? {
                Some(row) => Some(row.id),
                // The answer that would have told us the intent's id was lost.
                None => match self.gateway.retrieve(&intent).await {
                    Ok(found) => found.payment,
                    Err(GatewayError::Unknown(_) | GatewayError::Credentials(_)) => {
                        return Ok(false);
                    }
                    Err(_) => None,
                },
            };
            if let Some(payment) = payment
                && !self.look_at(payment, &intent).await?
            {
                return Ok(false);
            }
        }
        let now = self.clock.now_micros();
        self.db
            .write(move |conn| {
                Box::pin(async move { Ok(store::inbox_processed(conn, &event, now).await?) })
            })
            .await
            .map(|()| true)
    }

    async fn look_at(&self, payment: PaymentId, intent: &str) -> FaultResult<bool> {
        match self.gateway.retrieve(intent).await {
            Ok(intent) => {
                self.apply(payment, intent).await?;
                self.drive(payment).await?;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
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
        // A creation whose intent is known has happened: a webhook told us, where the answer was
        // lost or is an error that Stripe replays.
        let made = effect.kind == EffectKind::Create && known.is_some();
        if (made || effect.tries >= LOOK_FROM_TRY)
            && let Some(settled) = self.look_first(known, effect.kind).await
        {
            return settled;
        }
        let answer = match effect.kind {
            EffectKind::Create if row.state == State::Voiding && effect.tries == 1 => {
                return Outcome::NeverMade;
            }
            EffectKind::Create => match serde_json::from_str::<Create>(&effect.params) {
                Ok(create) => self.gateway.create(&effect.key, &create).await,
                Err(error) => return broken(&error),
            },
            EffectKind::Confirm => match (known, serde_json::from_str::<Confirm>(&effect.params)) {
                (Some(known), Ok(confirm)) => {
                    self.gateway.confirm(&effect.key, known, &confirm).await
                }
                (None, _) => return Outcome::NeverMade,
                (_, Err(error)) => return broken(&error),
            },
            EffectKind::Capture => match known {
                Some(known) => self.gateway.capture(&effect.key, known).await,
                None => return Outcome::Later("captured before it was made".to_owned()),
            },
            EffectKind::Void => return self.void(known, effect).await,
        };
        self.understand(answer, known).await
    }

    /// Before a call is repeated once more: perhaps it happened, and only its answer is lost.
    async fn look_first(&self, known: Option<&str>, kind: EffectKind) -> Option<Outcome> {
        let intent = self.gateway.retrieve(known?).await.ok()?;
        let settled = match kind {
            EffectKind::Capture => intent.status != IntentStatus::RequiresCapture,
            EffectKind::Void => {
                matches!(
                    intent.status,
                    IntentStatus::Canceled | IntentStatus::Succeeded
                )
            }
            EffectKind::Create => true,
            EffectKind::Confirm => false,
        };
        settled.then_some(Outcome::Known(intent))
    }

    /// Gives an authorisation back, unless a look shows that it has come to something: then the
    /// fence decides once more.
    async fn void(&self, known: Option<&str>, effect: &EffectRow) -> Outcome {
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
        let answer = self.gateway.cancel(&effect.key, known).await;
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

fn broken(error: &serde_json::Error) -> Outcome {
    Outcome::Refused {
        token: false,
        declined: None,
        error: format!("stored parameters do not read: {error}"),
    }
}

async fn settle_in_txn(
    conn: &mut Conn,
    payment: PaymentId,
    effect: &EffectRow,
    outcome: Outcome,
    now: i64,
) -> FaultResult<()> {
    match outcome {
        Outcome::Known(intent) => {
            store::effect_settle(conn, &effect.id, None).await?;
            transitions::apply(conn, payment, &intent, now).await
        }
        Outcome::Refused {
            declined, error, ..
        } => {
            if store::effect_settle(conn, &effect.id, Some(&error)).await? {
                transitions::refused(conn, payment, effect.kind, declined.as_deref()).await?;
            }
            Ok(())
        }
        Outcome::NeverMade => {
            store::effect_settle(conn, &effect.id, None).await?;
            transitions::never_made(conn, payment).await
        }
        Outcome::Later(error) => {
            let pause = (1_i64 << effect.tries.clamp(1, 6)).min(BACK_OFF_MAX_SECONDS);
            let next_at = now + pause * 1_000_000;
            store::effect_postpone(conn, &effect.id, next_at, &error)
                .await
                .map_err(Fault::from)
        }
    }
}
