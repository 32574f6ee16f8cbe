//! The hourly comparison of the provider's books with ours.
//!
//! Lists every intent of the last days and finds, for each that names a payment of ours, whether
//! both sides say the same; and for each payment of ours that took money, whether the provider
//! knows it. A difference is first mended in the ordinary way (ask, and apply), and then written
//! down as an incident: settled if that was enough, open for a person if not. What is under way
//! is not a difference.

use super::{
    Engine, Gateway, disputes, effects,
    gateway::{DisputesOf, Intent, IntentStatus},
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

/// How far back it is looked: an authorisation lives seven days.
const LOOKED_BACK: Duration = Duration::from_hours(8 * 24);
const DAY: Duration = Duration::from_hours(24);
/// Payments younger than this are still under way.
const UNDER_WAY: Duration = Duration::from_mins(1);

/// Compares the provider's books with ours.
pub struct Reconciler {
    db: Db,
    clock: SharedClock,
    gateway: Arc<dyn Gateway>,
    engine: Arc<Engine>,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Intents that the provider listed.
    pub intents: usize,
    /// Differences that were mended.
    pub mended: usize,
    /// Differences that a person has to look at.
    pub open: usize,
}

impl Reconciler {
    /// A reconciler that asks `gateway` and mends by `engine`.
    pub fn new(db: Db, clock: SharedClock, gateway: Arc<dyn Gateway>, engine: Arc<Engine>) -> Self {
        Self {
            db,
            clock,
            gateway,
            engine,
        }
    }

    /// Compares once. Errors: the provider does not answer, or the database fails; what was found
    /// by then stays written down.
    pub async fn reconcile(&self) -> FaultResult<Found> {
        provider::assert_recorded(self.db.reads(), self.gateway.mode()).await?;
        let since = (self.clock.now() - LOOKED_BACK).seconds();
        let mut found = Found::default();
        let mut listed = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.gateway.list(since, after.as_deref()).await?;
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
        // A bank may take weeks over a refund.
        for row in store::payments_with_refunds_under_way(self.db.reads()).await? {
            self.compare_refunds(&row, &mut found).await?;
        }
        self.compare_disputes(since, &mut found).await?;
        let before = self.clock.now() - UNDER_WAY;
        // A day of margin: the provider's list begins by its own clock.
        let from = Moment::from_seconds(since) + DAY;
        for row in store::payments_with_money(self.db.reads(), from, before).await? {
            if row.stripe_id.as_ref().is_none_or(|id| !listed.contains(id)) {
                found.open += 1;
                let detail = format!(
                    "{:?} took {} and is not listed",
                    row.stripe_id, row.received_minor
                );
                self.open(
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

    async fn compare(&self, intent: Intent, found: &mut Found) -> FaultResult<()> {
        // An account may serve other shops as well.
        let Some(payment) = intent.payment else {
            return Ok(());
        };
        let named = store::payment_find(self.db.reads(), payment).await?;
        // A second intent of one payment is a payment of its own, once we know of it.
        let own = store::payment_find_by_intent(self.db.reads(), &intent.id).await?;
        let Some(row) = own.or(named) else {
            if intent.status != IntentStatus::Canceled {
                found.open += 1;
                let detail = format!("names payment {payment} and is {:?}", intent.status);
                self.open(Kind::UnknownIntent, intent.id, None, detail)
                    .await?;
            }
            return Ok(());
        };
        let difference = match difference(&row, &intent) {
            Some(difference) if !self.is_under_way(&row).await? => difference,
            _ => return self.compare_refunds(&row, found).await,
        };
        self.engine.look_at(row.id, &intent.id).await?;
        let mended = self.is_mended(row.id, &intent.id).await?;
        let detail = format!("{}: {difference}", intent.id);
        if mended {
            found.mended += 1;
            self.note(row.id, row.order, detail).await
        } else {
            found.open += 1;
            self.open(
                Kind::AmountsDiffer,
                row.id.to_string(),
                Some(row.order),
                detail,
            )
            .await
        }
    }

    /// Refunds can end, or fail, or be made by hand, days after anybody last asked.
    async fn compare_refunds(&self, row: &PaymentRow, found: &mut Found) -> FaultResult<()> {
        let Some(intent) = row
            .stripe_id
            .as_deref()
            .filter(|_| row.received_minor.is_positive())
        else {
            return Ok(());
        };
        let refunds = &self.engine.refunds;
        let before = refunds.states(&self.db, row.order).await?;
        self.engine.look_at_refunds(row.id, intent).await?;
        let after = refunds.states(&self.db, row.order).await?;
        if before != after {
            found.mended += 1;
            let detail = format!("{intent}: its refunds had moved on");
            self.note(row.id, row.order, detail).await?;
        }
        Ok(())
    }

    /// Disputes that no webhook told of: a payment may be disputed months after it was made.
    async fn compare_disputes(&self, since: i64, found: &mut Found) -> FaultResult<()> {
        for said in self.gateway.disputes(DisputesOf::Since(since)).await? {
            let Some(intent) = said.intent.as_deref() else {
                continue;
            };
            let Some(row) = store::payment_find_by_intent(self.db.reads(), intent).await? else {
                continue;
            };
            let ours = disputes::dispute_state(self.db.reads(), &said.id).await?;
            if ours == Some(said.standing)
                && disputes::is_booked(self.db.reads(), &row, &said).await?
            {
                continue;
            }
            self.engine.look_at_disputes(row.id, intent).await?;
            found.mended += 1;
            let detail = format!("{intent}: {} is {}", said.id, said.standing);
            self.note(row.id, row.order, detail).await?;
        }
        Ok(())
    }

    /// A call is pending, or has been until a moment ago.
    async fn is_under_way(&self, row: &PaymentRow) -> FaultResult<bool> {
        let young = row.created_at > self.clock.now() - UNDER_WAY;
        Ok(young || effects::effect_is_waiting(self.db.reads(), row.id).await?)
    }

    async fn is_mended(&self, payment: PaymentId, intent: &str) -> FaultResult<bool> {
        let named = store::payment_find(self.db.reads(), payment).await?;
        let own = store::payment_find_by_intent(self.db.reads(), intent).await?;
        let Some(row) = own.or(named) else {
            return Ok(false);
        };
        match self.gateway.retrieve(intent).await {
            Ok(intent) => Ok(difference(&row, &intent).is_none()
                || effects::effect_is_waiting(self.db.reads(), row.id).await?),
            Err(_) => Ok(false),
        }
    }

    async fn open(
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

    async fn note(&self, payment: PaymentId, order: OrderId, detail: String) -> FaultResult<()> {
        tracing::warn!(%payment, detail, "the provider knew better, and we have caught up");
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    Ok(incidents::note_mended(conn, payment, order, &detail, now).await?)
                })
            })
            .await
    }
}

/// What differs between the two sides of one payment, if anything does.
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
        // Authorised, and nobody takes it or gives it back.
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
