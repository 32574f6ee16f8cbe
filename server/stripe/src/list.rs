//! All that Stripe knows of our payments, page by page, for the audit.
//!
//! Only reads. Apart from the gateway, whose calls are about one payment each; of async-stripe's
//! types it shows none.

use futures::{Stream, stream};
use model::{charges::from_provider, money::MinorUnits};
use secrecy::{ExposeSecret, SecretString};
use shop::payments::gateway::GatewayError;
use std::time::Duration;
use stripe::{Client, ClientBuilder, RequestStrategy, StripeError, StripeRequest};
use stripe_core::payment_intent::ListPaymentIntent;
use stripe_shared::PaymentIntent;
use stripe_types::{Expandable, RangeQueryTs};

/// As many as Stripe gives at once.
const PAGE: i64 = 100;
/// How long one page may take: Stripe looks up a charge for each of its lines.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a page is asked for, with growing pauses, before Stripe counts as away.
const TRIES: u32 = 4;

/// What Stripe says of one `PaymentIntent`, as far as money goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedIntent {
    /// `pi_…`
    pub id: String,
    /// Stripe's word for where it stands.
    pub status: String,
    /// What was taken.
    pub received_minor: MinorUnits,
    /// What was paid back.
    pub refunded_minor: MinorUnits,
    /// The payment that it was made for, as its metadata names it.
    pub payment_id: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// Stripe, or its double, to be listed.
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

    /// Every intent made since then, newest first, a page at a time. Ends with the first error.
    pub fn intents_since(
        self,
        since_seconds: i64,
    ) -> impl Stream<Item = Result<Vec<ListedIntent>, GatewayError>> + Send + 'static {
        stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
            let client = self.client.clone();
            async move {
                let Some(after) = next else { return Ok(None) };
                let page = Box::pin(page(&client, since_seconds, after)).await?;
                Ok(Some(page))
            }
        })
    }
}

/// One page, and the id behind which the next begins: `None`, if this is the last.
async fn page(
    client: &Client,
    since_seconds: i64,
    after: Option<String>,
) -> Result<(Vec<ListedIntent>, Option<Option<String>>), GatewayError> {
    let mut request = ListPaymentIntent::new()
        .created(RangeQueryTs::gte(since_seconds))
        .limit(PAGE)
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
        .map(listed)
        .collect::<Result<Vec<_>, _>>()?;
    let last = page.last().map(|last| last.id.clone());
    let next = last.filter(|_| answer.has_more).map(Some);
    Ok((page, next))
}

/// Errors: what was paid back cannot be seen, though something was taken.
fn listed(intent: &PaymentIntent) -> Result<ListedIntent, GatewayError> {
    let currency = intent.currency.to_string();
    let ours = |amount| MinorUnits::new(from_provider(&currency, amount));
    let refunded_minor = match &intent.latest_charge {
        Some(Expandable::Object(charge)) => ours(charge.amount_refunded),
        Some(Expandable::Id(charge)) if intent.amount_received > 0 => {
            let message = format!("the charge {charge} was named, but not shown");
            return Err(GatewayError::Unknown(message));
        }
        _ => MinorUnits::ZERO,
    };
    Ok(ListedIntent {
        id: intent.id.to_string(),
        status: intent.status.as_str().to_owned(),
        received_minor: ours(intent.amount_received),
        refunded_minor,
        payment_id: intent.metadata.get("payment_id").cloned(),
        created: intent.created,
    })
}
