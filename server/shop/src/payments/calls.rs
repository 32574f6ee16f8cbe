//! One call to Stripe: made as it was written down, looked for before it is made again, and its
//! answer understood. Nothing here writes to the database but what a look finds out.

use super::{
    Engine,
    effects::{self, Came, EffectKind, EffectRow},
    gateway::{Confirm, Create, GatewayError, GivingBack, Intent, IntentStatus, Refunded},
    store::{PaymentRow, State},
};
use std::time::Duration;

/// Our clock and Stripe's may differ by so much.
const LIST_MARGIN: Duration = Duration::from_mins(5);
/// From this try on, Stripe is asked where the intent stands before the call is repeated.
const LOOK_FROM_TRY: i64 = 3;
/// Under how many keys a refund is asked for in one try.
const REFUND_KEYS_MAX: u32 = 4;

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
pub(super) enum Outcome {
    /// Where the intent stands.
    Known(Intent),
    /// How far the refund has come.
    GivenBack(Refunded),
    /// The call changed nothing and never will, for what it said.
    Refused { why: Why, error: String },
    /// There was nothing to call for: Stripe never heard of the payment.
    NeverMade,
    /// Unknown: again later.
    Later(String),
}

/// Why a call was refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// The card was declined, for this reason.
    Declined(String),
    /// What the buyer pays with is not something to pay with.
    BadToken,
    /// Stripe takes no such call: the shop's fault.
    Invalid,
}

impl Outcome {
    /// What came of a call that charges a card, as it is written down with it.
    pub(super) fn came(&self) -> Option<Came> {
        match self {
            Self::Known(intent)
                if intent.status == IntentStatus::RequiresPaymentMethod
                    && intent.declined.is_some() =>
            {
                Some(Came::Declined)
            }
            Self::Known(_) | Self::GivenBack(_) => Some(Came::Made),
            Self::Refused { why, .. } => Some(match why {
                Why::Declined(_) => Came::Declined,
                Why::BadToken => Came::BadToken,
                Why::Invalid => Came::Refused,
            }),
            Self::NeverMade | Self::Later(_) => None,
        }
    }

    /// For the log.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::Known(intent) => match &intent.decline_code {
                Some(code) => format!("{:?}: {code}", intent.status),
                None => format!("{:?}", intent.status),
            },
            Self::GivenBack(refund) => format!("{:?}", refund.status),
            Self::Refused { error, .. } => format!("refused: {error}"),
            Self::NeverMade => "not needed".to_owned(),
            Self::Later(why) => format!("unknown: {why}"),
        }
    }
}

impl Engine {
    pub(super) async fn call(&self, row: &PaymentRow, effect: &EffectRow) -> Outcome {
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
                // Two refunds of a part would both go through: only once it is known that the call
                // is over, another key is used.
                Look::NotDone if effect.kind == EffectKind::Refund => {}
                // Stripe replays an error for its key, whatever becomes of it: ask anew. Should
                // both calls come to something after all, the second intent is a stray.
                Look::NotDone => key = format!("{key}:r{}", effect.tries),
                Look::Unclear => {}
            }
        }
        let answer = match effect.kind {
            EffectKind::Create => match read::<Create>(effect) {
                Ok(create) => self.gateway.create(&key, &create).await,
                Err(error) => return broken(&error),
            },
            EffectKind::Confirm => match (known, read::<Confirm>(effect)) {
                (Some(known), Ok(confirm)) => self.gateway.confirm(&key, known, &confirm).await,
                (None, _) => return Outcome::NeverMade,
                (_, Err(error)) => return broken(&error),
            },
            EffectKind::Capture => match known {
                Some(known) => self.gateway.capture(&key, known).await,
                None => return Outcome::Later("captured before it was made".to_owned()),
            },
            EffectKind::Void => return self.void(row, &key, effect).await,
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
        let Ok(intent) = self.gateway.retrieve(known).await else {
            return Look::Unclear;
        };
        let done = match effect.kind {
            EffectKind::Capture => intent.status != IntentStatus::RequiresCapture,
            EffectKind::Void => is_end(&intent),
            EffectKind::Create => true,
            EffectKind::Confirm => match intent.status {
                // Another card is wanted: this one has not been tried.
                IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => false,
                // The bank of the card before still waits.
                IntentStatus::RequiresAction => intent.bank_url != row.bank_url,
                _ => true,
            },
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
        let since = (row.created_at - LIST_MARGIN).seconds();
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

    /// Gives back what was taken. What Stripe says has failed is looked for, and asked for under
    /// the next key if it is not there: the calls before are over by then.
    async fn give_back(&self, known: Option<&str>, key: &str, effect: &EffectRow) -> Outcome {
        let giving = match read::<GivingBack>(effect) {
            Ok(giving) => giving,
            Err(error) => return broken(&error),
        };
        let Some(known) = known else {
            return Outcome::Later("refunded before it was made".to_owned());
        };
        for again in 0..REFUND_KEYS_MAX {
            let key = match again {
                0 => key.to_owned(),
                again => format!("{key}:r{again}"),
            };
            let (failed, message) = match self.gateway.refund(&key, known, &giving).await {
                Ok(refund) => return Outcome::GivenBack(refund),
                Err(GatewayError::Failed(message)) if effect.tries >= LOOK_FROM_TRY => {
                    (true, message)
                }
                // Refused, perhaps because it has happened already.
                Err(
                    GatewayError::Invalid { message, .. } | GatewayError::Declined { message, .. },
                ) => (false, message),
                Err(error) => return Outcome::Later(error.to_string()),
            };
            match self.look_for_refund(known, effect).await {
                Look::Done(outcome) => return outcome,
                Look::Unclear => return Outcome::Later(message),
                Look::NotDone if failed => {}
                Look::NotDone => {
                    return Outcome::Refused {
                        why: Why::Invalid,
                        error: message,
                    };
                }
            }
        }
        Outcome::Later("Stripe fails whatever the key".to_owned())
    }

    /// Gives an authorisation back, unless a look shows that it has come to something: then the
    /// fence decides once more.
    async fn void(&self, row: &PaymentRow, key: &str, effect: &EffectRow) -> Outcome {
        let Some(known) = row.stripe_id.as_deref() else {
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
                    if let Err(error) = self.apply(row.id, intent).await {
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
        effects::effect_is_pending(self.db.reads(), effect.id).await
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
                    error: message.clone(),
                    why: Why::Declined(message),
                },
            },
            Err(GatewayError::Moved) => match known {
                Some(known) => self.ask(known).await,
                None => Outcome::Later("moved before it was made".to_owned()),
            },
            Err(GatewayError::Invalid { param, message }) => {
                tracing::warn!(param, message, "Stripe refused a call as invalid");
                let why = match param.as_str() {
                    "payment_method" | "confirmation_token" | "payment_method_data" => {
                        Why::BadToken
                    }
                    _ => Why::Invalid,
                };
                Outcome::Refused {
                    why,
                    error: message,
                }
            }
            Err(GatewayError::Credentials(message)) => {
                tracing::error!(message, "Stripe refuses our keys");
                Outcome::Later(message)
            }
            Err(GatewayError::Failed(message) | GatewayError::Unknown(message)) => {
                Outcome::Later(message)
            }
        }
    }

    async fn ask(&self, known: &str) -> Outcome {
        match self.gateway.retrieve(known).await {
            Ok(intent) => Outcome::Known(intent),
            Err(error) => Outcome::Later(error.to_string()),
        }
    }
}

/// The stored parameters of a call.
pub(super) fn read<T: serde::de::DeserializeOwned>(
    effect: &EffectRow,
) -> Result<T, serde_json::Error> {
    serde_json::from_str(&effect.params)
}

fn broken(error: &serde_json::Error) -> Outcome {
    Outcome::Refused {
        why: Why::Invalid,
        error: format!("stored parameters do not read: {error}"),
    }
}

/// Nothing becomes of this intent any more but refunds.
pub(super) fn is_end(intent: &Intent) -> bool {
    matches!(
        intent.status,
        IntentStatus::Canceled | IntentStatus::Succeeded
    )
}
