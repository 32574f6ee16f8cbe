//! The SQL of the webhook inbox: each webhook is stored once before it is processed.

use model::Moment;
use platform::db::Conn;
use sqlx::{AnyExecutor, query, query_as};
use sqlx_macros::FromRow;
use std::time::Duration;

/// How long processed webhooks are kept.
const RETENTION: Duration = Duration::from_hours(90 * 24);

/// Stores a webhook. Returns false if it was already stored.
pub(crate) async fn insert(
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

/// A webhook to be stored.
#[derive(Debug, Clone)]
pub(crate) struct InboxEvent {
    /// `evt_…`
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// The PaymentIntent that it concerns.
    pub stripe_id: Option<String>,
    /// The unchanged body.
    pub payload: String,
}

/// A stored webhook that has not been processed.
#[derive(Debug, FromRow)]
pub(crate) struct UnprocessedEvent {
    /// `evt_…`
    pub event_id: String,
    /// The PaymentIntent that it concerns.
    pub stripe_id: Option<String>,
    #[sqlx(rename = "type")]
    kind: String,
}

impl UnprocessedEvent {
    pub(crate) fn is_about_refunds(&self) -> bool {
        self.kind.starts_with("refund.") || self.kind.starts_with("charge.refund")
    }

    pub(crate) fn is_about_disputes(&self) -> bool {
        self.kind.starts_with("charge.dispute.")
    }
}

/// Lists webhooks that have not been processed, oldest first.
pub(crate) async fn list_unprocessed<'e>(
    on: impl AnyExecutor<'e>,
    limit: i64,
) -> Result<Vec<UnprocessedEvent>, sqlx::Error> {
    query_as(
        "SELECT event_id, stripe_id, type FROM stripe_inbox WHERE processed_at IS NULL \
         ORDER BY received_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(on)
    .await
}

pub(crate) async fn mark_processed(
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

/// Deletes webhooks processed at least 90 days ago; Stripe does not redeliver for that long. Returns the
/// number of rows deleted.
pub(crate) async fn delete_old(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM stripe_inbox WHERE processed_at <= $1")
        .bind(now - RETENTION)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
