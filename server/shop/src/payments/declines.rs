//! Declined cards: attempt, time and code.
//!
//! Owns the table `payment_declines`. How a decline changes a payment is in `transitions.rs`. The
//! codes are Stripe's (<https://docs.stripe.com/declines/codes>) and contain no personal data.

use model::{
    Moment,
    ids::{OrderId, PaymentId},
};
use platform::db::Conn;
use sqlx::{AnyExecutor, query, query_as};
use sqlx_macros::FromRow;

/// Used if Stripe gives no code.
const NO_CODE: &str = "card_declined";
const CODE_CHARS_MAX: usize = 64;

/// A declined card.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct DeclineRow {
    #[sqlx(rename = "payment_id")]
    pub payment: PaymentId,
    /// 1 for the first card.
    pub attempt: i64,
    /// Stripe's code.
    pub code: String,
    #[sqlx(rename = "declined_at")]
    pub at: Moment,
}

/// Records that the payment's current attempt was declined. Logs and counts it only the first time,
/// because Stripe reports the same decline each time it is asked.
pub(crate) async fn insert(
    conn: &mut Conn,
    payment: PaymentId,
    order: OrderId,
    code: Option<&str>,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let code: String = code
        .unwrap_or(NO_CODE)
        .chars()
        .take(CODE_CHARS_MAX)
        .collect();
    let done = query(
        "INSERT INTO payment_declines (payment_id, attempt, code, declined_at) \
         SELECT id, confirmations, $2, $3 FROM payments WHERE id = $1 \
         ON CONFLICT (payment_id, attempt) DO NOTHING",
    )
    .bind(payment)
    .bind(code.clone())
    .bind(now)
    .execute(conn)
    .await?;
    if done.rows_affected() > 0 {
        metrics::counter!("stagedoor_payments_total", "result" => "declined").increment(1);
        tracing::info!(%payment, %order, code, "a card was declined");
    }
    Ok(())
}

/// The declined cards of an order, oldest first.
pub async fn list_for_order<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Vec<DeclineRow>, sqlx::Error> {
    query_as(
        "SELECT d.payment_id, d.attempt + 1 AS attempt, d.code, d.declined_at FROM payments p \
         JOIN payment_declines d ON d.payment_id = p.id WHERE p.order_id = $1 \
         ORDER BY d.declined_at, d.payment_id, d.attempt",
    )
    .bind(order)
    .fetch_all(on)
    .await
}

/// The reason shown to the buyer, as the end of "A card was declined: …". None if the bank gives no
/// reason, or one that must not be shown (stolen card, suspected fraud).
pub(crate) fn reason(code: &str) -> Option<&'static str> {
    Some(match code {
        "insufficient_funds" => "there is not enough money for it",
        "expired_card" => "it has expired",
        "incorrect_cvc" | "invalid_cvc" => "its security code is wrong",
        "incorrect_number" | "invalid_number" => "its number is wrong",
        "invalid_expiry_month" | "invalid_expiry_year" => "its expiry date is wrong",
        "processing_error" | "issuer_not_available" => "its bank could not be reached",
        "authentication_required"
        | "authentication_not_handled"
        | "payment_intent_authentication_failure" => "its bank did not get your confirmation",
        "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" => "its limit is reached",
        "currency_not_supported" => "it does not pay in this currency",
        "card_not_supported" => "it does not pay for this kind of purchase",
        _ => return None,
    })
}
