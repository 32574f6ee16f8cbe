//! The service of payments: begins them, waits for their results and reads them. Makes no calls to the
//! provider itself; the [`Engine`] does.

use super::{
    Engine,
    begin::{self, BeginPayment, BegunPayment},
    effects::{self, Attempt, EffectOutcome},
    lookups::StatusLookups,
    store::{self, PaymentRow, State},
    transitions::BAD_TOKEN,
};
use crate::orders::{ExpirySchedule, Holds, State as OrderState, rules, store as orders};
use async_trait::async_trait;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    ids::{OrderId, PaymentId, UserId},
    payments::{Pay, Payment, Payments},
};
use platform::{
    clock::SharedClock,
    crash,
    db::Db,
    fault::{Fault, FaultResult},
    limits::Limits,
    request,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::Instrument;

/// How long [`Payments::pay`] waits for Stripe before it answers `processing`.
pub const PAY_WAIT: Duration = Duration::from_secs(10);
/// How long a read of a payment waits for Stripe.
const LOOKUP_WAIT: Duration = Duration::from_secs(3);
/// Interval at which the database is polled for the result of a call that another task makes.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
const TOKEN_BYTES_MAX: usize = 255;

#[derive(Clone)]
pub struct PaymentsService {
    db: Db,
    clock: SharedClock,
    engine: Arc<Engine>,
    holds: Holds,
    expiry: Arc<dyn ExpirySchedule>,
    pay_wait: Duration,
    public_url: String,
    limits: Arc<Limits>,
    lookups: StatusLookups,
}

impl PaymentsService {
    /// Buyers wait for `engine` for at most `pay_wait`; banks send them back to `public_url`. Card trials
    /// are limited if `limits` are on.
    #[expect(clippy::too_many_arguments, reason = "called once, in wiring.rs")]
    pub(crate) fn new(
        db: Db,
        clock: SharedClock,
        engine: Arc<Engine>,
        holds: Holds,
        expiry: Arc<dyn ExpirySchedule>,
        pay_wait: Duration,
        public_url: String,
        limits: Arc<Limits>,
    ) -> Self {
        let lookups = StatusLookups::new(db.clone(), clock.clone());
        Self {
            db,
            clock,
            engine,
            holds,
            expiry,
            pay_wait,
            public_url,
            limits,
            lookups,
        }
    }

    async fn pay(&self, buyer: UserId, pay: Pay) -> FaultResult<Payment> {
        let token = check_token(&pay.token)?;
        let begin = BeginPayment {
            order: pay.order_id,
            buyer,
            token,
            return_url: format!("{}/orders/{}", self.public_url, pay.order_id),
            grace: self.holds.grace(),
            counted_from: self.limits.are_on().then(request::address),
            now: self.clock.now(),
            provider: self.engine.provider(),
        };
        let begun = self
            .db
            .write(|conn| Box::pin(async move { begin::begin(conn, begin).await }))
            .await;
        let begun = match begun {
            // A concurrent request of the same buyer was faster.
            Err(Fault::Database(sqlx::Error::Database(error))) if error.is_unique_violation() => {
                return Err(Conflict::PaymentInProgress.into());
            }
            begun => begun?,
        };
        crash::point("payment_begun").await;
        if let Some(hold_until) = begun.hold_until {
            self.expiry.schedule(pay.order_id, hold_until);
        }
        let until = Instant::now() + self.pay_wait;
        self.drive(begun.payment, PAY_WAIT).await?;
        let (row, attempt) = self.await_attempt(&begun, until).await?;
        self.attempt_result(&begun, row, attempt).await
    }

    /// Makes the payment's calls in a task, and waits for it for at most `wait`. The task also continues if
    /// the client disconnects.
    async fn drive(&self, payment: PaymentId, wait: Duration) -> FaultResult<()> {
        let engine = self.engine.clone();
        let driving = tokio::spawn(async move { engine.drive(payment).await }.in_current_span());
        match tokio::time::timeout(wait, driving).await {
            Ok(Ok(driven)) => driven,
            Ok(Err(panic)) => Err(Fault::unexpected("the task of a payment panicked", panic)),
            Err(_) => Ok(()),
        }
    }

    /// The answer to the buyer: the result of this attempt, or that another attempt has replaced it.
    async fn attempt_result(
        &self,
        begun: &BegunPayment,
        row: PaymentRow,
        attempt: Attempt,
    ) -> FaultResult<Payment> {
        match attempt.outcome {
            Some(EffectOutcome::BadToken) => {
                return Err(AppError::invalid("token", BAD_TOKEN).into());
            }
            Some(EffectOutcome::Refused) => return Err(refused_as_invalid(&row)),
            Some(EffectOutcome::Declined) => {
                let order = orders::find(self.db.reads(), row.order).await?;
                let paid = order.is_some_and(|order| order.state == OrderState::Complete);
                return Err(if paid {
                    Conflict::OrderComplete.into()
                } else {
                    declined()
                });
            }
            Some(EffectOutcome::Made) | None => {}
        }
        let is_replaced = row.confirmations != begun.confirmations;
        match row.state {
            State::Captured if is_replaced => Err(Conflict::OrderComplete.into()),
            _ if is_replaced => Err(Conflict::PaymentInProgress.into()),
            State::Open | State::Failed if row.declined.is_none() => Err(refused_as_invalid(&row)),
            State::Open | State::Failed => Err(declined()),
            // The card was declined at the capture; the order waits for another card.
            State::Voiding | State::Voided if row.declined.is_some() => Err(declined()),
            State::Voiding | State::Voided => {
                let order = orders::find(self.db.reads(), row.order)
                    .await?
                    .ok_or(AppError::NotFound)?;
                let lapsed = order.hold_until <= self.clock.now();
                Err(rules::refusal(order.state.status(lapsed)).into())
            }
            _ => Ok(row.payment()),
        }
    }

    /// Returns the payment and this attempt when the attempt has its result and no subsequent call is in
    /// flight, or at `until`. A webhook or the sweep may make the calls, perhaps in another process.
    async fn await_attempt(
        &self,
        begun: &BegunPayment,
        until: Instant,
    ) -> FaultResult<(PaymentRow, Attempt)> {
        loop {
            let attempt = effects::find_attempt(self.db.reads(), begun.attempt).await?;
            let row = self.find(begun.payment).await?;
            let is_settled = !attempt.in_flight && attempt.outcome != Some(EffectOutcome::Made);
            let is_replaced = row.confirmations != begun.confirmations;
            let has_next_call = matches!(
                row.state,
                State::Intended | State::Capturing | State::Voiding
            );
            let done = is_settled
                || !attempt.in_flight
                    && (is_replaced
                        || !has_next_call
                        || !effects::has_in_flight(self.db.reads(), begun.payment).await?);
            if done || Instant::now() >= until {
                return Ok((self.find(begun.payment).await?, attempt));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn find(&self, payment: PaymentId) -> FaultResult<PaymentRow> {
        let found = store::find(self.db.reads(), payment).await?;
        found.ok_or(Fault::Refused(AppError::NotFound))
    }

    /// Updates the payment from Stripe if it is under way; limited by [`StatusLookups`].
    async fn refresh(&self, row: PaymentRow) -> FaultResult<PaymentRow> {
        let settled = matches!(
            row.state,
            State::Captured
                | State::Voided
                | State::Failed
                | State::Refunding
                | State::Refunded
                | State::Open
        );
        if settled {
            return Ok(row);
        }
        let engine = self.engine.clone();
        let payment = row.id;
        let lookup = async move { engine.refresh(payment).await.map(|_| ()) }.in_current_span();
        let key = (payment, row.confirmations);
        self.lookups.share(key, LOOKUP_WAIT, lookup).await?;
        self.find(payment).await
    }

    async fn find_own(&self, buyer: UserId, payment: PaymentId) -> FaultResult<PaymentRow> {
        let row = self.find(payment).await?;
        if row.buyer == buyer {
            Ok(row)
        } else {
            Err(AppError::NotFound.into())
        }
    }
}

/// The provider rejected the call itself, not the card.
fn refused_as_invalid(row: &PaymentRow) -> Fault {
    metrics::counter!("stagedoor_payments_total", "result" => "refused").increment(1);
    let payment = format!("payment {} of order {}", row.id, row.order);
    Fault::unexpected("the provider refused a payment as invalid", payment)
}

fn declined() -> Fault {
    // Independent of the bank's reason, which would help a thief to test stolen cards.
    let message =
        "Your card was declined. Nothing was charged, and your tickets are still held: check \
         what you typed, use another card, or ask your bank."
            .to_owned();
    AppError::PaymentDeclined { message }.into()
}

fn check_token(token: &str) -> Result<String, AppError> {
    let token = token.trim();
    let plausible = !token.is_empty()
        && token.len() <= TOKEN_BYTES_MAX
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plausible {
        Ok(token.to_owned())
    } else {
        let message = "Pay with a Stripe ConfirmationToken or PaymentMethod id.";
        Err(AppError::invalid("token", message))
    }
}

#[async_trait]
impl Payments for PaymentsService {
    async fn pay(&self, viewer: &Viewer, request: Pay) -> AppResult<Payment> {
        Ok(self.pay(viewer.user.id, request).await?)
    }

    async fn get(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Payment> {
        let row = self.find_own(viewer.user.id, id).await?;
        Ok(self.refresh(row).await?.payment())
    }

    async fn find_newest(
        &self,
        viewer: &Viewer,
        order: OrderId,
        from_bank: bool,
    ) -> AppResult<Option<Payment>> {
        let newest = store::find_newest(self.db.reads(), order)
            .await
            .map_err(Fault::from)?;
        match newest.filter(|row| row.buyer == viewer.user.id) {
            Some(row) => {
                if from_bank {
                    self.lookups.wait_for_next(row.id).await?;
                }
                Ok(Some(self.refresh(row).await?.payment()))
            }
            None => Ok(None),
        }
    }

    async fn find_bank_page(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Option<String>> {
        let row = self.find_own(viewer.user.id, id).await?;
        Ok(row.bank_url.filter(|_| row.state == State::RequiresAction))
    }
}

#[cfg(test)]
mod tests {
    use super::check_token;

    #[test]
    fn a_token_is_an_id_and_nothing_else() {
        assert_eq!(check_token(" pm_card_visa ").unwrap(), "pm_card_visa");
        for bad in [
            "",
            "   ",
            "pm card",
            "pm_card_visa&amount=1",
            &"a".repeat(256),
            "ключ",
        ] {
            assert!(check_token(bad).is_err(), "{bad:?}");
        }
    }
}
