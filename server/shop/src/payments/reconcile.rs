//! The hourly comparison of the provider's payments with ours.
//!
//! Compares every intent of the last days that names one of our payments with that payment, and checks
//! that the provider has an intent for each payment that took money. A difference is first mended by
//! applying the provider's present state, and then recorded as an incident: settled if that was enough,
//! otherwise open. Payments with a pending call are not compared.

use super::{
    Engine, Gateway, disputes, effects,
    gateway::{DisputeFilter, Intent, IntentStatus},
    provider,
    store::{self, PaymentRow, State},
};
use crate::incidents::{self, Kind};
use model::{
    Moment,
    ids::{OrderId, PaymentId},
};
use platform::{clock::SharedClock, db::Db, fault::FaultResult};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Period that is compared; an authorisation is valid for seven days.
const PERIOD: Duration = Duration::from_hours(8 * 24);
const DAY: Duration = Duration::from_hours(24);
/// Payments younger than this count as under way.
const UNDER_WAY: Duration = Duration::from_mins(1);

/// Compares the provider's payments with ours.
pub struct Reconciler {
    db: Db,
    clock: SharedClock,
    gateway: Arc<dyn Gateway>,
    engine: Arc<Engine>,
}

/// The result of one comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Intents that the provider listed.
    pub intents: usize,
    /// Differences that were mended.
    pub mended: usize,
    /// Differences that an operator has to resolve.
    pub open: usize,
}

impl Reconciler {
    /// Asks `gateway` and mends differences by `engine`.
    pub fn new(db: Db, clock: SharedClock, gateway: Arc<dyn Gateway>, engine: Arc<Engine>) -> Self {
        Self {
            db,
            clock,
            gateway,
            engine,
        }
    }

    /// Compares once. Errors: the provider does not answer, or the database fails; incidents recorded
    /// before that remain.
    pub async fn reconcile(&self) -> FaultResult<ReconcileReport> {
        provider::assert_recorded(self.db.reads(), self.gateway.mode()).await?;
        let since = (self.clock.now() - PERIOD).seconds();
        let mut found = ReconcileReport::default();
        let mut listed = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.gateway.list_intents(since, after.as_deref()).await?;
            after = page.intents.last().map(|intent| intent.id.clone());
            for intent in page.intents {
                found.intents += 1;
                listed.insert(intent.id.clone());
                self.compare(intent, &mut found).await?;
            }
            if !page.more || after.is_none() {
                break;
            }
        }
        // A refund may take weeks.
        for row in store::list_with_open_refunds(self.db.reads()).await? {
            self.compare_refunds(&row, &mut found).await?;
        }
        self.compare_disputes(since, &mut found).await?;
        let before = self.clock.now() - UNDER_WAY;
        // A day of margin, because the provider's list begins by its own clock.
        let from = Moment::from_seconds(since) + DAY;
        for row in store::list_charged(self.db.reads(), from, before).await? {
            if row.stripe_id.as_ref().is_none_or(|id| !listed.contains(id)) {
                found.open += 1;
                let detail = format!(
                    "{:?} took {} and is not listed",
                    row.stripe_id, row.received_minor
                );
                self.open_incident(
                    Kind::MissingAtProvider,
                    row.id.to_string(),
                    Some(row.order),
                    detail,
                )
                .await?;
            }
        }
        Ok(found)
    }

    async fn compare(&self, intent: Intent, found: &mut ReconcileReport) -> FaultResult<()> {
        // A Stripe account may serve other shops too.
        let Some(payment) = intent.payment else {
            return Ok(());
        };
        let named = store::find(self.db.reads(), payment).await?;
        // A known second intent of a payment has a separate payment row.
        let own = store::find_by_intent(self.db.reads(), &intent.id).await?;
        let Some(row) = own.or(named) else {
            if intent.status != IntentStatus::Canceled {
                found.open += 1;
                let detail = format!("names payment {payment} and is {:?}", intent.status);
                self.open_incident(Kind::UnknownIntent, intent.id, None, detail)
                    .await?;
            }
            return Ok(());
        };
        let difference = match difference(&row, &intent) {
            Some(difference) if !self.is_under_way(&row).await? => difference,
            _ => return self.compare_refunds(&row, found).await,
        };
        self.engine.refresh_intent(row.id, &intent.id).await?;
        let mended = self.is_mended(row.id, &intent.id).await?;
        let detail = format!("{}: {difference}", intent.id);
        if mended {
            found.mended += 1;
            self.record_mended(row.id, row.order, detail).await
        } else {
            found.open += 1;
            self.open_incident(
                Kind::AmountsDiffer,
                row.id.to_string(),
                Some(row.order),
                detail,
            )
            .await
        }
    }

    /// Applies refunds that have ended, failed or been made at the provider without a webhook.
    async fn compare_refunds(
        &self,
        row: &PaymentRow,
        found: &mut ReconcileReport,
    ) -> FaultResult<()> {
        let Some(intent) = row
            .stripe_id
            .as_deref()
            .filter(|_| row.received_minor.is_positive())
        else {
            return Ok(());
        };
        let refunds = &self.engine.refunds;
        let before = refunds.list_states(&self.db, row.order).await?;
        self.engine.refresh_refunds(row.id, intent).await?;
        let after = refunds.list_states(&self.db, row.order).await?;
        if before != after {
            found.mended += 1;
            let detail = format!("{intent}: its refunds had moved on");
            self.record_mended(row.id, row.order, detail).await?;
        }
        Ok(())
    }

    /// Applies disputes without a webhook; a payment may be disputed months after it was made.
    async fn compare_disputes(&self, since: i64, found: &mut ReconcileReport) -> FaultResult<()> {
        for reported in self
            .gateway
            .list_disputes(DisputeFilter::Since(since))
            .await?
        {
            let Some(intent) = reported.intent.as_deref() else {
                continue;
            };
            let Some(row) = store::find_by_intent(self.db.reads(), intent).await? else {
                continue;
            };
            let ours = disputes::find_status(self.db.reads(), &reported.id).await?;
            if ours == Some(reported.status)
                && disputes::is_booked(self.db.reads(), &row, &reported).await?
            {
                continue;
            }
            self.engine.refresh_disputes(row.id, intent).await?;
            found.mended += 1;
            let detail = format!("{intent}: {} is {}", reported.id, reported.status);
            self.record_mended(row.id, row.order, detail).await?;
        }
        Ok(())
    }

    /// Whether a call is pending, or the payment is less than a minute old.
    async fn is_under_way(&self, row: &PaymentRow) -> FaultResult<bool> {
        let young = row.created_at > self.clock.now() - UNDER_WAY;
        Ok(young || effects::has_pending(self.db.reads(), row.id).await?)
    }

    async fn is_mended(&self, payment: PaymentId, intent: &str) -> FaultResult<bool> {
        let named = store::find(self.db.reads(), payment).await?;
        let own = store::find_by_intent(self.db.reads(), intent).await?;
        let Some(row) = own.or(named) else {
            return Ok(false);
        };
        match self.gateway.retrieve(intent).await {
            Ok(intent) => Ok(difference(&row, &intent).is_none()
                || effects::has_pending(self.db.reads(), row.id).await?),
            Err(_) => Ok(false),
        }
    }

    async fn open_incident(
        &self,
        kind: Kind,
        subject: String,
        order: Option<OrderId>,
        detail: String,
    ) -> FaultResult<()> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    Ok(incidents::open(conn, kind, subject, order, &detail, now).await?)
                })
            })
            .await
    }

    async fn record_mended(
        &self,
        payment: PaymentId,
        order: OrderId,
        detail: String,
    ) -> FaultResult<()> {
        tracing::warn!(%payment, detail, "mended a payment that differed from the provider's state");
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    Ok(incidents::insert_mended(conn, payment, order, &detail, now).await?)
                })
            })
            .await
    }
}

/// Describes how our payment and the provider's intent differ, if they do.
fn difference(row: &PaymentRow, intent: &Intent) -> Option<String> {
    match &row.stripe_id {
        None => return Some("we did not know its intent".to_owned()),
        Some(known) if *known != intent.id => {
            let harmless = intent.status == IntentStatus::Canceled;
            return (!harmless).then(|| format!("a second intent beside {known}"));
        }
        Some(_) => {}
    }
    let took = matches!(
        row.state,
        State::Captured | State::Refunding | State::Refunded
    );
    let agree = match intent.status {
        IntentStatus::Succeeded => took && row.received_minor == intent.received_minor,
        IntentStatus::Canceled => matches!(row.state, State::Voided | State::Failed),
        // Authorised, but neither captured nor voided.
        IntentStatus::RequiresCapture => false,
        IntentStatus::RequiresAction => row.state == State::RequiresAction,
        IntentStatus::Processing => !took,
        IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => {
            matches!(row.state, State::Open | State::RequiresAction)
        }
    };
    (!agree).then(|| {
        format!(
            "the provider says {:?}, {} received; we say {:?}, {}",
            intent.status, intent.received_minor, row.state, row.received_minor
        )
    })
}
