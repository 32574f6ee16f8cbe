//! The SQL of batches, whose tickets are inserted in several short transactions and published
//! together, and of the number of tickets that a seller lists a day.
//!
//! Owns the tables `listing_batches` and `listing_usage`, and the column `batch_id` of tickets. A
//! batch is open while its tickets are staged; then it is either published or abandoned, decided by
//! the row count of one UPDATE. Tickets of an unpublished batch are not shown, counted or sold:
//! queries over tickets add [`PUBLISHED`]. Validation is in `listing.rs`.

use model::{
    Moment,
    ids::{BatchId, EventId, OutboxId, TicketId, UserId},
    micros,
};
use platform::{
    db::{Conn, Statement},
    outbox,
};
use sqlx::{AnyExecutor, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::time::Duration;
use uuid::Uuid;

pub use outbox::PUBLISHED;

/// A batch that has staged nothing for this long is abandoned: its process must have ended.
const STALLED: Duration = Duration::from_mins(1);
/// Tickets of abandoned batches deleted in one transaction.
const DELETE_ROWS: i64 = 40;
/// How long published batches are kept. Live streams read back five minutes.
const RETENTION: Duration = Duration::from_hours(1);
/// Days for which usage is kept.
const USAGE_DAYS: i64 = 2;
const DAY: Duration = Duration::from_hours(24);

/// A batch before its first ticket is staged.
#[derive(Debug, Clone)]
pub struct Batch {
    pub id: BatchId,
    pub seller: UserId,
    pub event: EventId,
    /// The number of tickets that it will have.
    pub quantity: i64,
    /// The smallest and the largest of the tickets' ids.
    pub span: (TicketId, TicketId),
}

/// Opens a batch. Returns false if the seller already has an open one.
pub async fn open(conn: &mut Conn, batch: &Batch, now: Moment) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO listing_batches \
         (id, seller_id, event_id, quantity, day, staged_at, first_ticket, last_ticket) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(batch.id)
    .bind(batch.seller)
    .bind(batch.event)
    .bind(batch.quantity)
    .bind(day_of(now))
    .bind(now)
    .bind(batch.span.0)
    .bind(batch.span.1)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether this seller has an open batch.
pub(crate) async fn is_open<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
) -> Result<bool, sqlx::Error> {
    let row = query(
        "SELECT 1 FROM listing_batches \
         WHERE seller_id = $1 AND publication IS NULL AND abandoned_at IS NULL",
    )
    .bind(seller)
    .fetch_optional(on)
    .await?;
    Ok(row.is_some())
}

/// Counts `tickets` as staged, in the transaction that inserts them. Returns false if the batch has
/// been abandoned; then nothing may be inserted.
pub async fn stage(
    conn: &mut Conn,
    id: BatchId,
    tickets: i64,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE listing_batches SET staged = staged + $2, staged_at = $3 \
         WHERE id = $1 AND publication IS NULL AND abandoned_at IS NULL",
    )
    .bind(id)
    .bind(tickets)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Publishes all tickets of a batch. Returns false if it has been abandoned or is incomplete.
pub async fn publish(conn: &mut Conn, id: BatchId) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE listing_batches SET publication = $2 WHERE id = $1 AND publication IS NULL \
         AND abandoned_at IS NULL AND staged = quantity",
    )
    .bind(id)
    .bind(OutboxId(Uuid::now_v7()))
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Abandons an open batch and subtracts its tickets from the seller's count. Returns false if it has
/// been published or abandoned.
pub async fn abandon(conn: &mut Conn, id: BatchId, now: Moment) -> Result<bool, sqlx::Error> {
    let abandoned: Vec<Usage> = query_as(
        "UPDATE listing_batches SET abandoned_at = $2 \
         WHERE id = $1 AND publication IS NULL AND abandoned_at IS NULL \
         RETURNING seller_id, day, quantity",
    )
    .bind(id)
    .bind(now)
    .fetch_all(&mut *conn)
    .await?;
    subtract_usage(conn, &abandoned).await?;
    Ok(!abandoned.is_empty())
}

/// Abandons all batches whose process has stopped staging. Returns the number of batches.
pub(crate) async fn abandon_stalled(conn: &mut Conn, now: Moment) -> Result<usize, sqlx::Error> {
    let abandoned: Vec<Usage> = query_as(
        "UPDATE listing_batches SET abandoned_at = $1 \
         WHERE publication IS NULL AND abandoned_at IS NULL AND staged_at < $2 \
         RETURNING seller_id, day, quantity",
    )
    .bind(now)
    .bind(now - STALLED)
    .fetch_all(&mut *conn)
    .await?;
    subtract_usage(conn, &abandoned).await?;
    Ok(abandoned.len())
}

/// What a batch has added to `listing_usage`.
#[derive(FromRow)]
struct Usage {
    seller_id: UserId,
    day: i64,
    quantity: i64,
}

async fn subtract_usage(conn: &mut Conn, abandoned: &[Usage]) -> Result<(), sqlx::Error> {
    for batch in abandoned {
        query(
            "UPDATE listing_usage SET tickets = tickets - $3 \
             WHERE seller_id = $1 AND day = $2 AND tickets >= $3",
        )
        .bind(batch.seller_id)
        .bind(batch.day)
        .bind(batch.quantity)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Deletes up to [`DELETE_ROWS`] tickets of one abandoned batch with their domain events, or the batch
/// itself once it has no tickets. Returns false if there is no abandoned batch.
pub(crate) async fn delete_abandoned_chunk(conn: &mut Conn) -> Result<bool, sqlx::Error> {
    let batch: Option<(BatchId, TicketId, TicketId)> = query_as(
        "SELECT id, first_ticket, last_ticket FROM listing_batches \
         WHERE abandoned_at IS NOT NULL ORDER BY id LIMIT 1",
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some((id, first, last)) = batch else {
        return Ok(false);
    };
    let tickets: Vec<TicketId> = query_scalar(
        "SELECT id FROM tickets WHERE id >= $1 AND id <= $2 AND batch_id = $3 \
         AND state = 'listed' AND held_by IS NULL AND version = 1 ORDER BY id LIMIT $4",
    )
    .bind(first)
    .bind(last)
    .bind(id)
    .bind(DELETE_ROWS)
    .fetch_all(&mut *conn)
    .await?;
    if tickets.is_empty() {
        delete_abandoned_batch(conn, id, first, last).await?;
        return Ok(true);
    }
    let mut delete = Statement::new("DELETE FROM tickets WHERE id IN (");
    delete.bind_list(&tickets).push(")");
    delete.query()?.execute(&mut *conn).await?;
    outbox::delete_created(conn, &tickets).await?;
    Ok(true)
}

/// Deletes an abandoned batch. Its remaining tickets have been reserved through a process of an older
/// version without batches; they become ordinary listings.
async fn delete_abandoned_batch(
    conn: &mut Conn,
    id: BatchId,
    first: TicketId,
    last: TicketId,
) -> Result<(), sqlx::Error> {
    query("UPDATE tickets SET batch_id = NULL WHERE id >= $1 AND id <= $2 AND batch_id = $3")
        .bind(first)
        .bind(last)
        .bind(id)
        .execute(&mut *conn)
        .await?;
    query("DELETE FROM listing_batches WHERE id = $1 AND abandoned_at IS NOT NULL")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes published batches after an hour, and usage after two days.
pub(crate) async fn delete_old(conn: &mut Conn, now: Moment) -> Result<(), sqlx::Error> {
    query("DELETE FROM listing_batches WHERE publication < $1")
        .bind(outbox::lowest_id_within(RETENTION))
        .execute(&mut *conn)
        .await?;
    query("DELETE FROM listing_usage WHERE day < $1")
        .bind(day_of(now) - USAGE_DAYS)
        .execute(conn)
        .await?;
    Ok(())
}

/// Adds `tickets` to the seller's count of today (UTC). Returns false if that would exceed `max`; the
/// transaction must then be rolled back if it has written anything else.
pub(crate) async fn add_usage(
    conn: &mut Conn,
    seller: UserId,
    tickets: i64,
    max: i64,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    if tickets > max {
        return Ok(false);
    }
    let done = query(
        "INSERT INTO listing_usage (seller_id, day, tickets) VALUES ($1, $2, $3) \
         ON CONFLICT (seller_id, day) DO UPDATE SET \
         tickets = listing_usage.tickets + excluded.tickets \
         WHERE listing_usage.tickets + excluded.tickets <= $4",
    )
    .bind(seller)
    .bind(day_of(now))
    .bind(tickets)
    .bind(max)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Days since 1970, UTC.
fn day_of(now: Moment) -> i64 {
    now.micros() / micros(DAY)
}

/// Seconds until the daily count restarts, rounded up.
pub(crate) fn seconds_to_midnight(now: Moment) -> i64 {
    let day = micros(DAY);
    (day - now.micros().rem_euclid(day)) / 1_000_000 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daily_count_restarts_at_midnight() {
        let midnight = Moment::EPOCH + 3 * DAY;
        assert_eq!(
            seconds_to_midnight(midnight - Duration::from_millis(1500)),
            2
        );
        assert_eq!(seconds_to_midnight(midnight), 24 * 3600 + 1);
    }
}
