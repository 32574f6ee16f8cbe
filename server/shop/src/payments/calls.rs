//! Makes one stored call to Stripe and interprets the answer.
//!
//! Before a call is repeated, checks whether an earlier try has taken effect. Writes to the database
//! only what such a check finds; the outcome of the call is written by `engine.rs`.

use super::{
    Engine,
    effects::{self, EffectKind, EffectOutcome, EffectRow},
    gateway::{
        ConfirmIntent, CreateIntent, GatewayError, Intent, IntentStatus, ProviderRefund,
        RefundRequest,
    },
    store::{PaymentRow, State},
};
use std::time::Duration;

/// Maximum difference between our clock and Stripe's.
const LIST_MARGIN: Duration = Duration::from_mins(5);
/// From this try on, Stripe is asked whether an earlier try has taken effect.
const CHECK_FROM_TRY: i64 = 3;
/// Idempotency keys that one try of a refund may use.
const REFUND_KEYS_MAX: u32 = 4;

/// Whether an earlier try of a call has taken effect.
enum PriorCall {
    Happened(Outcome),
    DidNotHappen,
    /// Stripe could not be asked.
    Unknown,
}

/// What is known after a call.
pub(super) enum Outcome {
    /// The present state of the intent.
    Known(Intent),
    /// The present state of the refund.
    Refund(ProviderRefund),
    /// Refused for its parameters: the call changed nothing, and repeating it is useless.
    Refused { refusal: Refusal, error: String },
    /// No call was made: Stripe has no intent for the payment.
    NotNeeded,
    /// To be repeated later, for this reason.
    Unknown(String),
}

/// Why repeating a refused call is useless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The card was declined, with this message.
    Declined(String),
    /// The buyer's token is not a usable payment method.
    BadToken,
    /// Stripe rejects the parameters: a fault of the shop.
    Invalid,
}

impl Outcome {
    /// The outcome to store with the effect; none while unknown or not needed.
    pub(super) fn effect_outcome(&self) -> Option<EffectOutcome> {
        match self {
            Self::Known(intent)
                if intent.status == IntentStatus::RequiresPaymentMethod
                    && intent.declined.is_some() =>
            {
                Some(EffectOutcome::Declined)
            }
            Self::Known(_) | Self::Refund(_) => Some(EffectOutcome::Made),
            Self::Refused { refusal, .. } => Some(match refusal {
                Refusal::Declined(_) => EffectOutcome::Declined,
                Refusal::BadToken => EffectOutcome::BadToken,
                Refusal::Invalid => EffectOutcome::Refused,
            }),
            Self::NotNeeded | Self::Unknown(_) => None,
        }
    }

    /// For the log.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Known(intent) => match &intent.decline_code {
                Some(code) => format!("{:?}: {code}", intent.status),
                None => format!("{:?}", intent.status),
            },
            Self::Refund(refund) => format!("{:?}", refund.status),
            Self::Refused { error, .. } => format!("refused: {error}"),
            Self::NotNeeded => "not needed".to_owned(),
            Self::Unknown(reason) => format!("unknown: {reason}"),
        }
    }
}

impl Engine {
    pub(super) async fn call(&self, row: &PaymentRow, effect: &EffectRow) -> Outcome {
        let known = row.stripe_id.as_deref();
        if effect.kind == EffectKind::Create && row.state == State::Voiding && effect.tries == 1 {
            return Outcome::NotNeeded;
        }
        let mut key = effect.key.clone();
        // If the intent is known (from a webhook), it has been created, even if the answer was lost
        // or is an error that Stripe replays.
        let made = effect.kind == EffectKind::Create && known.is_some();
        if made || effect.tries >= CHECK_FROM_TRY {
            match self.find_prior_call(row, effect).await {
                PriorCall::Happened(outcome) => return outcome,
                PriorCall::DidNotHappen
                    if effect.kind == EffectKind::Create && row.state == State::Voiding =>
                {
                    return Outcome::NotNeeded;
                }
                // Stripe would execute two partial refunds, so a new key is used only once the
                // earlier call is known to have ended.
                PriorCall::DidNotHappen if effect.kind == EffectKind::Refund => {}
                // Stripe replays an error under the same key, so use a new one. If both calls
                // create an intent after all, the second one is a stray.
                PriorCall::DidNotHappen => key = format!("{key}:r{}", effect.tries),
                PriorCall::Unknown => {}
            }
        }
        let answer = match effect.kind {
            EffectKind::Create => match parse_params::<CreateIntent>(effect) {
                Ok(create) => self.gateway.create(&key, &create).await,
                Err(error) => return unreadable_params(&error),
            },
            EffectKind::Confirm => match (known, parse_params::<ConfirmIntent>(effect)) {
                (Some(known), Ok(confirm)) => self.gateway.confirm(&key, known, &confirm).await,
                (None, _) => return Outcome::NotNeeded,
                (_, Err(error)) => return unreadable_params(&error),
            },
            EffectKind::Capture => match known {
                Some(known) => self.gateway.capture(&key, known).await,
                None => return Outcome::Unknown("capture of an unknown intent".to_owned()),
            },
            EffectKind::Void => return self.void(row, &key, effect).await,
            EffectKind::Refund => return self.refund(known, &key, effect).await,
        };
        self.interpret(answer, known).await
    }

    /// Checks whether an earlier try succeeded and only its answer was lost.
    async fn find_prior_call(&self, row: &PaymentRow, effect: &EffectRow) -> PriorCall {
        let Some(known) = row.stripe_id.as_deref() else {
            if effect.kind != EffectKind::Create {
                return PriorCall::Unknown;
            }
            return match self.find_intent(row).await {
                Ok(Some(intent)) => PriorCall::Happened(Outcome::Known(intent)),
                Ok(None) => PriorCall::DidNotHappen,
                Err(_) => PriorCall::Unknown,
            };
        };
        if effect.kind == EffectKind::Refund {
            return self.find_refund(known, effect).await;
        }
        let Ok(intent) = self.gateway.retrieve(known).await else {
            return PriorCall::Unknown;
        };
        let done = match effect.kind {
            EffectKind::Capture => intent.status != IntentStatus::RequiresCapture,
            EffectKind::Void => is_final(&intent),
            EffectKind::Create => true,
            EffectKind::Confirm => match intent.status {
                // Stripe waits for a card: this one has not been tried.
                IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => false,
                // The same URL belongs to the previous card's bank.
                IntentStatus::RequiresAction => intent.bank_url != row.bank_url,
                _ => true,
            },
            EffectKind::Refund => false,
        };
        if done {
            PriorCall::Happened(Outcome::Known(intent))
        } else {
            PriorCall::DidNotHappen
        }
    }

    /// Finds the payment's intent by metadata in Stripe's list since the payment began.
    async fn find_intent(&self, row: &PaymentRow) -> Result<Option<Intent>, GatewayError> {
        let since = (row.created_at - LIST_MARGIN).seconds();
        let mut after: Option<String> = None;
        loop {
            let page = self.gateway.list_intents(since, after.as_deref()).await?;
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

    async fn find_refund(&self, known: &str, effect: &EffectRow) -> PriorCall {
        let Ok(request) = parse_params::<RefundRequest>(effect) else {
            return PriorCall::Unknown;
        };
        match self.gateway.list_refunds(known).await {
            Ok(found) => found
                .into_iter()
                .find(|refund| refund.refund == Some(request.refund))
                .map_or(PriorCall::DidNotHappen, |refund| {
                    PriorCall::Happened(Outcome::Refund(refund))
                }),
            Err(_) => PriorCall::Unknown,
        }
    }

    /// Refunds captured money. A refund that Stripe reports as failed is looked up, and requested under
    /// the next key if it does not exist: the earlier calls have ended by then.
    async fn refund(&self, known: Option<&str>, key: &str, effect: &EffectRow) -> Outcome {
        let request = match parse_params::<RefundRequest>(effect) {
            Ok(request) => request,
            Err(error) => return unreadable_params(&error),
        };
        let Some(known) = known else {
            return Outcome::Unknown("refund of an unknown intent".to_owned());
        };
        for again in 0..REFUND_KEYS_MAX {
            let key = match again {
                0 => key.to_owned(),
                again => format!("{key}:r{again}"),
            };
            let (failed, message) = match self.gateway.refund(&key, known, &request).await {
                Ok(refund) => return Outcome::Refund(refund),
                Err(GatewayError::Failed(message)) if effect.tries >= CHECK_FROM_TRY => {
                    (true, message)
                }
                // Perhaps refused because it has already happened.
                Err(
                    GatewayError::Invalid { message, .. } | GatewayError::Declined { message, .. },
                ) => (false, message),
                Err(error) => return Outcome::Unknown(error.to_string()),
            };
            match self.find_refund(known, effect).await {
                PriorCall::Happened(outcome) => return outcome,
                PriorCall::Unknown => return Outcome::Unknown(message),
                PriorCall::DidNotHappen if failed => {}
                PriorCall::DidNotHappen => {
                    return Outcome::Refused {
                        refusal: Refusal::Invalid,
                        error: message,
                    };
                }
            }
        }
        Outcome::Unknown("Stripe fails under every key".to_owned())
    }

    /// Cancels the intent. If Stripe shows on the first try that it has been authorised, the fence
    /// decides again before that.
    async fn void(&self, row: &PaymentRow, key: &str, effect: &EffectRow) -> Outcome {
        let Some(known) = row.stripe_id.as_deref() else {
            return Outcome::NotNeeded;
        };
        if effect.tries == 1 {
            match self.gateway.retrieve(known).await {
                Ok(intent) if intent.status == IntentStatus::Canceled => {
                    return Outcome::Known(intent);
                }
                // Authorised after all: `apply` revives the order and drops this call if the tickets
                // are free, and otherwise leaves the call pending.
                Ok(intent) if intent.status == IntentStatus::RequiresCapture => {
                    if let Err(error) = self.apply(row.id, intent).await {
                        return Outcome::Unknown(error.to_string());
                    }
                    match effects::is_pending(self.db.reads(), effect.id).await {
                        Ok(true) => {}
                        Ok(false) => return Outcome::Unknown("the order revived".to_owned()),
                        Err(error) => return Outcome::Unknown(error.to_string()),
                    }
                }
                _ => {}
            }
        }
        let answer = self.gateway.cancel(key, known).await;
        self.interpret(answer, Some(known)).await
    }

    /// Converts an answer to an outcome; asks for the intent's state where the answer lacks it.
    async fn interpret(
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
                Some(known) => self.retrieve(known).await,
                None => Outcome::Refused {
                    error: message.clone(),
                    refusal: Refusal::Declined(message),
                },
            },
            Err(GatewayError::Moved) => match known {
                Some(known) => self.retrieve(known).await,
                None => Outcome::Unknown("unexpected state of an unknown intent".to_owned()),
            },
            Err(GatewayError::Invalid { param, message }) => {
                tracing::warn!(param, message, "Stripe refused a call as invalid");
                let refusal = match param.as_str() {
                    "payment_method" | "confirmation_token" | "payment_method_data" => {
                        Refusal::BadToken
                    }
                    _ => Refusal::Invalid,
                };
                Outcome::Refused {
                    refusal,
                    error: message,
                }
            }
            Err(GatewayError::Credentials(message)) => {
                tracing::error!(message, "Stripe refuses our keys");
                Outcome::Unknown(message)
            }
            Err(GatewayError::Failed(message) | GatewayError::Unknown(message)) => {
                Outcome::Unknown(message)
            }
        }
    }

    async fn retrieve(&self, known: &str) -> Outcome {
        match self.gateway.retrieve(known).await {
            Ok(intent) => Outcome::Known(intent),
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }
}

/// The stored parameters of a call.
pub(super) fn parse_params<T: serde::de::DeserializeOwned>(
    effect: &EffectRow,
) -> Result<T, serde_json::Error> {
    serde_json::from_str(&effect.params)
}

fn unreadable_params(error: &serde_json::Error) -> Outcome {
    Outcome::Refused {
        refusal: Refusal::Invalid,
        error: format!("cannot parse stored parameters: {error}"),
    }
}

/// Whether the intent can change no further, except by refunds.
pub(super) fn is_final(intent: &Intent) -> bool {
    matches!(
        intent.status,
        IntentStatus::Canceled | IntentStatus::Succeeded
    )
}
