//! Lists all of Stripe's intents page by page, for the audit.
//!
//! Only reads. Separate from the gateway, whose calls concern one payment. Exposes none of async-stripe's
//! types.

use futures::{Stream, stream};
use model::{charges::from_provider, money::MinorUnits};
use secrecy::{ExposeSecret, SecretString};
use shop::payments::gateway::GatewayError;
use std::time::Duration;
use stripe::{Client, ClientBuilder, RequestStrategy, StripeError, StripeRequest};
use stripe_core::payment_intent::ListPaymentIntent;
use stripe_shared::PaymentIntent;
use stripe_types::{Expandable, RangeQueryTs};

/// Intents per page: Stripe's maximum.
const PAGE_SIZE: i64 = 100;
/// Time limit of one page, for which Stripe looks up a charge per intent.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries per page, with exponential back-off.
const TRIES: u32 = 4;

/// The amounts of one `PaymentIntent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedIntent {
    /// `pi_…`
    pub id: String,
    /// As Stripe names it.
    pub status: String,
    /// Captured amount.
    pub received_minor: MinorUnits,
    pub refunded_minor: MinorUnits,
    /// Our payment, from the metadata.
    pub payment_id: Option<String>,
    /// Seconds since 1970.
    pub created: i64,
}

/// A client that only lists intents.
pub struct StripeList {
    client: Client,
}

impl StripeList {
    /// A client that sends `key` to `api_url`, or to Stripe if there is none.
    pub fn new(key: &SecretString, api_url: Option<&str>) -> Result<Self, StripeError> {
        let mut builder = ClientBuilder::new(key.expose_secret()).timeout(PAGE_TIMEOUT);
        if let Some(url) = api_url {
            builder = builder.url(url.trim_end_matches('/'));
        }
        Ok(Self {
            client: builder.build()?,
        })
    }

    /// Lists intents created since then, newest first, a page at a time. Ends with the first error.
    pub fn list_intents_since(
        self,
        since_seconds: i64,
    ) -> impl Stream<Item = Result<Vec<ListedIntent>, GatewayError>> + Send + 'static {
        stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
            let client = self.client.clone();
            async move {
                let Some(after) = next else { return Ok(None) };
                let page = Box::pin(fetch_page(&client, since_seconds, after)).await?;
                Ok(Some(page))
            }
        })
    }
}

/// Fetches one page. Also returns the id after which the next one begins; none after the last page.
async fn fetch_page(
    client: &Client,
    since_seconds: i64,
    after: Option<String>,
) -> Result<(Vec<ListedIntent>, Option<Option<String>>), GatewayError> {
    let mut request = ListPaymentIntent::new()
        .created(RangeQueryTs::gte(since_seconds))
        .limit(PAGE_SIZE)
        .expand(["data.latest_charge".to_owned()]);
    if let Some(after) = after {
        request = request.starting_after(after);
    }
    let answer = request
        .customize()
        .request_strategy(RequestStrategy::ExponentialBackoff(TRIES))
        .timeout(PAGE_TIMEOUT)
        .send(client)
        .await
        .map_err(|error| match error {
            StripeError::Stripe(errors, 401 | 403) => {
                GatewayError::Credentials(errors.message.clone().unwrap_or_default())
            }
            error => GatewayError::Unknown(error.to_string()),
        })?;
    let page = answer
        .data
        .iter()
        .map(read_intent)
        .collect::<Result<Vec<_>, _>>()?;
    let last = page.last().map(|last| last.id.clone());
    let next = last.filter(|_| answer.has_more).map(Some);
    Ok((page, next))
}

/// Errors: money was captured, but the charge with the refunded amount was not expanded.
fn read_intent(intent: &PaymentIntent) -> Result<ListedIntent, GatewayError> {
    let currency = intent.currency.to_string();
    let to_shop = |amount| MinorUnits::new(from_provider(&currency, amount));
    let refunded_minor = match &intent.latest_charge {
        Some(Expandable::Object(charge)) => to_shop(charge.amount_refunded),
        Some(Expandable::Id(charge)) if intent.amount_received > 0 => {
            let message = format!("Stripe did not expand the charge {charge}");
            return Err(GatewayError::Unknown(message));
        }
        _ => MinorUnits::ZERO,
    };
    Ok(ListedIntent {
        id: intent.id.to_string(),
        status: intent.status.as_str().to_owned(),
        received_minor: to_shop(intent.amount_received),
        refunded_minor,
        payment_id: intent.metadata.get("payment_id").cloned(),
        created: intent.created,
    })
}
