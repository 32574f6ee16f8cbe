//! Paying, and asking how a payment stands.

use super::{
    Engine,
    begin::{self, Begin, Begun},
    effects::{self, Attempt, Came},
    looks::Looks,
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

/// How long a buyer's request waits for Stripe before it is told that the payment goes on.
pub const PAY_WAIT: Duration = Duration::from_secs(10);
/// How long a buyer who asks how it stands waits for Stripe.
const LOOK_WAIT: Duration = Duration::from_secs(3);
/// How often it is looked whether another's call has been answered.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
const TOKEN_BYTES_MAX: usize = 255;

/// The rules of paying.
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
    looks: Looks,
}

impl PaymentsService {
    /// Payments driven by `engine`, for which buyers wait `pay_wait` at most; banks lead buyers back
    /// to `public_url`. Cards are counted while `limits` are on.
    #[expect(
        clippy::too_many_arguments,
        reason = "named where the shop is put together"
    )]
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
        let looks = Looks::new(db.clone(), clock.clone());
        Self {
            db,
            clock,
            engine,
            holds,
            expiry,
            pay_wait,
            public_url,
            limits,
            looks,
        }
    }

    async fn pay_order(&self, buyer: UserId, pay: Pay) -> FaultResult<Payment> {
        let token = check_token(&pay.token)?;
        let begin = Begin {
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
            // Another tab was quicker between our look and our write.
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
        self.answer(&begun, row, attempt).await
    }

    /// Drives the payment for at most `wait`. It goes on by itself after that, and also if the
    /// buyer's browser goes away.
    async fn drive(&self, payment: PaymentId, wait: Duration) -> FaultResult<()> {
        let engine = self.engine.clone();
        let driving = tokio::spawn(async move { engine.drive(payment).await }.in_current_span());
        match tokio::time::timeout(wait, driving).await {
            Ok(Ok(driven)) => driven,
            Ok(Err(panic)) => Err(Fault::unexpected("driving a payment panicked", panic)),
            Err(_) => Ok(()),
        }
    }

    /// What the buyer is told of a card that they just tried: what came of it, or that another
    /// attempt has taken its place.
    async fn answer(
        &self,
        begun: &Begun,
        row: PaymentRow,
        attempt: Attempt,
    ) -> FaultResult<Payment> {
        match attempt.came {
            Some(Came::BadToken) => return Err(AppError::invalid("token", BAD_TOKEN).into()),
            Some(Came::Refused) => return Err(not_taken(&row)),
            Some(Came::Declined) => {
                let order = orders::order_find(self.db.reads(), row.order).await?;
                let paid = order.is_some_and(|order| order.state == OrderState::Complete);
                return Err(if paid {
                    Conflict::OrderComplete.into()
                } else {
                    declined()
                });
            }
            Some(Came::Made) | None => {}
        }
        let is_replaced = row.confirmations != begun.confirmations;
        match row.state {
            State::Captured if is_replaced => Err(Conflict::OrderComplete.into()),
            _ if is_replaced => Err(Conflict::PaymentInProgress.into()),
            State::Open | State::Failed if row.declined.is_none() => Err(not_taken(&row)),
            State::Open | State::Failed => Err(declined()),
            // The card gave way behind the fence; the order waits for another.
            State::Voiding | State::Voided if row.declined.is_some() => Err(declined()),
            State::Voiding | State::Voided => {
                let order = orders::order_find(self.db.reads(), row.order)
                    .await?
                    .ok_or(AppError::NotFound)?;
                let lapsed = order.hold_until <= self.clock.now();
                Err(rules::refusal(order.state.seen(lapsed)).into())
            }
            _ => Ok(row.payment()),
        }
    }

    /// The payment and this attempt, once the attempt has its result and nobody else is making the
    /// calls that follow from it: a webhook or the sweep may have been quicker with the next call than
    /// the buyer's own request, perhaps in another process.
    async fn await_attempt(
        &self,
        begun: &Begun,
        until: Instant,
    ) -> FaultResult<(PaymentRow, Attempt)> {
        loop {
            let attempt = effects::attempt_find(self.db.reads(), begun.attempt).await?;
            let row = self.find(begun.payment).await?;
            let is_settled = !attempt.in_flight && attempt.came != Some(Came::Made);
            let is_replaced = row.confirmations != begun.confirmations;
            let follows = matches!(
                row.state,
                State::Intended | State::Capturing | State::Voiding
            );
            let done = is_settled
                || !attempt.in_flight
                    && (is_replaced
                        || !follows
                        || !effects::effect_in_flight(self.db.reads(), begun.payment).await?);
            if done || Instant::now() >= until {
                return Ok((self.find(begun.payment).await?, attempt));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn find(&self, payment: PaymentId) -> FaultResult<PaymentRow> {
        let found = store::payment_find(self.db.reads(), payment).await?;
        found.ok_or(Fault::Refused(AppError::NotFound))
    }

    /// The payment as it stands now: asks Stripe if it is not at an end, and nobody has just asked.
    async fn refreshed(&self, row: PaymentRow) -> FaultResult<PaymentRow> {
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
        let look = async move { engine.look(payment).await.map(|_| ()) }.in_current_span();
        let key = (payment, row.confirmations);
        self.looks.share(key, LOOK_WAIT, look).await?;
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

/// The provider refused the call as invalid, whatever the card.
fn not_taken(row: &PaymentRow) -> Fault {
    metrics::counter!("stagedoor_payments_total", "result" => "refused").increment(1);
    let payment = format!("payment {} of order {}", row.id, row.order);
    Fault::unexpected("the provider refused a payment as invalid", payment)
}

fn declined() -> Fault {
    // The same whatever the bank's reason is: to a thief with a list of cards it would be an answer.
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
        Ok(self.pay_order(viewer.user.id, request).await?)
    }

    async fn get(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Payment> {
        let row = self.find_own(viewer.user.id, id).await?;
        Ok(self.refreshed(row).await?.payment())
    }

    async fn of_order(
        &self,
        viewer: &Viewer,
        order: OrderId,
        from_bank: bool,
    ) -> AppResult<Option<Payment>> {
        let newest = store::payment_newest(self.db.reads(), order)
            .await
            .map_err(Fault::from)?;
        match newest.filter(|row| row.buyer == viewer.user.id) {
            Some(row) => {
                if from_bank {
                    self.looks.wait_for_next(row.id).await?;
                }
                Ok(Some(self.refreshed(row).await?.payment()))
            }
            None => Ok(None),
        }
    }

    async fn bank_page(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Option<String>> {
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
