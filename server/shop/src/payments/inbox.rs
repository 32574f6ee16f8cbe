//! The SQL of the inbox: webhooks, stored once each before anybody acts on them.

use model::Moment;
use platform::db::Conn;
use sqlx::{AnyExecutor, query, query_as};
use sqlx_macros::FromRow;
use std::time::Duration;

const KEPT: Duration = Duration::from_hours(90 * 24);

/// Stores a webhook, once. False: it was there already.
pub(crate) async fn inbox_insert(
    conn: &mut Conn,
    event: &InboxEvent,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO stripe_inbox (event_id, type, stripe_id, payload, received_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(event.id.clone())
    .bind(event.kind.clone())
    .bind(event.stripe_id.clone())
    .bind(event.payload.clone())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What of a webhook is stored.
#[derive(Debug, Clone)]
pub(crate) struct InboxEvent {
    /// `evt_…`
    pub id: String,
    /// `payment_intent.succeeded`, for one.
    pub kind: String,
    /// The PaymentIntent that it concerns.
    pub stripe_id: Option<String>,
    /// All of it, as it came.
    pub payload: String,
}

/// A webhook that nobody has acted on yet.
#[derive(Debug, FromRow)]
pub(crate) struct Waiting {
    /// `evt_…`
    pub event_id: String,
    /// The PaymentIntent that it concerns.
    pub stripe_id: Option<String>,
    #[sqlx(rename = "type")]
    kind: String,
}

impl Waiting {
    /// Whether it says something of money that goes back.
    pub(crate) fn is_about_refunds(&self) -> bool {
        self.kind.starts_with("refund.") || self.kind.starts_with("charge.refund")
    }

    /// Whether it says something of a dispute.
    pub(crate) fn is_about_disputes(&self) -> bool {
        self.kind.starts_with("charge.dispute.")
    }
}

/// Webhooks that nobody has acted on yet, oldest first.
pub(crate) async fn inbox_waiting<'e>(
    on: impl AnyExecutor<'e>,
    limit: i64,
) -> Result<Vec<Waiting>, sqlx::Error> {
    query_as(
        "SELECT event_id, stripe_id, type FROM stripe_inbox WHERE processed_at IS NULL \
         ORDER BY received_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(on)
    .await
}

/// The webhook has been acted on.
pub(crate) async fn inbox_processed(
    conn: &mut Conn,
    event_id: &str,
    now: Moment,
) -> Result<(), sqlx::Error> {
    query("UPDATE stripe_inbox SET processed_at = $2 WHERE event_id = $1 AND processed_at IS NULL")
        .bind(event_id.to_owned())
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes webhooks that were acted on 90 days ago or longer: Stripe sends none again for so long, and
/// the books say what came of them. Returns how many.
pub(crate) async fn inbox_delete_old(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM stripe_inbox WHERE processed_at <= $1")
        .bind(now - KEPT)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
