//! Domain events: records of changes, written in the transaction that makes the change.
//!
//! Owns the table `outbox`. An event has the version of its aggregate after the change. The versions of
//! an aggregate are 1, 2, 3 … : a unique key prevents duplicates, and `stagedoor audit` checks for gaps.
//! Makes no decisions about what changes.

mod fanout;
mod lease;
mod live;
mod nats;
mod relay;

use crate::db::{Conn, Statement};
use model::{
    Moment,
    ids::{BatchId, OutboxId, TicketId, UserId},
};
use serde::Serialize;
use sqlx::{query, query_scalar};
use std::fmt::Display;
use uuid::Uuid;

pub use fanout::Fanout;
pub use live::{Live, Missed, TicketChange, lowest_id_within};
pub use nats::{Nats, STREAM, is_nats_url};
pub use relay::{Relay, backlog};

/// The types of domain events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
pub enum EventType {
    UserCreated,
    UserUpdated,
    EventCreated,
    EventUpdated,
    /// A ticket was listed.
    TicketCreated,
    /// A ticket was reserved, released, sold, withdrawn, or its price or seat changed.
    TicketUpdated,
    /// Tickets were reserved.
    OrderCreated,
    /// A payment began or ended, or the order was refunded.
    OrderUpdated,
    /// The buyer cancelled the reservation.
    OrderCancelled,
    /// The hold ended without payment.
    OrderExpired,
    /// Money was captured.
    PaymentCreated,
}

impl EventType {
    fn aggregate(self) -> Aggregate {
        match self {
            Self::UserCreated | Self::UserUpdated => Aggregate::User,
            Self::EventCreated | Self::EventUpdated => Aggregate::Event,
            Self::TicketCreated | Self::TicketUpdated => Aggregate::Ticket,
            Self::OrderCreated | Self::OrderUpdated | Self::OrderCancelled | Self::OrderExpired => {
                Aggregate::Order
            }
            Self::PaymentCreated => Aggregate::Payment,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
enum Aggregate {
    User,
    Event,
    Ticket,
    Order,
    Payment,
}

model::text_columns!(EventType, Aggregate);

/// A domain event that is not stored yet.
#[derive(Debug, Clone)]
pub struct DomainEvent {
    kind: EventType,
    aggregate_id: String,
    version: i64,
    data: String,
}

impl DomainEvent {
    /// `version` and `data` are those of the aggregate after the change.
    pub fn new(
        kind: EventType,
        aggregate_id: impl Display,
        version: i64,
        data: &impl Serialize,
    ) -> Self {
        // Serialising our own plain structs cannot fail.
        let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
        Self {
            kind,
            aggregate_id: aggregate_id.to_string(),
            version,
            data,
        }
    }
}

/// SQL condition for rows of tables with a `batch_id` (`tickets`, `outbox`): they are in no batch of
/// listings, or in a published one.
pub const PUBLISHED: &str = "(batch_id IS NULL OR batch_id NOT IN \
     (SELECT b.id FROM listing_batches b WHERE b.publication IS NULL))";

/// The most rows in one INSERT, to stay below the engines' limits on parameters.
const ROWS_MAX: usize = 500;

/// Stores `events` in the caller's transaction.
pub async fn append(
    conn: &mut Conn,
    now: Moment,
    events: &[DomainEvent],
) -> Result<(), sqlx::Error> {
    append_in(conn, now, None, events).await
}

/// Stores `events` of a batch of listings; they are sent once the batch is published.
pub async fn append_staged(
    conn: &mut Conn,
    now: Moment,
    batch: BatchId,
    events: &[DomainEvent],
) -> Result<(), sqlx::Error> {
    append_in(conn, now, Some(batch), events).await
}

async fn append_in(
    conn: &mut Conn,
    now: Moment,
    batch: Option<BatchId>,
    events: &[DomainEvent],
) -> Result<(), sqlx::Error> {
    for chunk in events.chunks(ROWS_MAX) {
        let mut insert = Statement::new(
            "INSERT INTO outbox \
             (id, type, aggregate_type, aggregate_id, version, occurred_at, data, batch_id) \
             VALUES ",
        );
        insert.bind_rows(chunk, |row, event| {
            // Version 7 sorts by time: within this process later events have greater ids.
            row.bind(OutboxId(Uuid::now_v7()))
                .bind(event.kind)
                .bind(event.kind.aggregate())
                .bind(event.aggregate_id.as_str())
                .bind(event.version)
                .bind(now)
                .bind(event.data.as_str())
                .bind(batch);
        });
        insert.query()?.execute(&mut *conn).await?;
    }
    Ok(())
}

/// Deletes the first event of each of these tickets, which were deleted before the event was sent.
pub async fn delete_created(conn: &mut Conn, tickets: &[TicketId]) -> Result<(), sqlx::Error> {
    let mut delete = Statement::new("DELETE FROM outbox WHERE version = 1 AND aggregate_id IN (");
    delete.bind_list(tickets.iter().copied()).push(")");
    delete.query()?.execute(conn).await?;
    Ok(())
}

/// Removes the address from a user's events, and replaces the name by `name`. The events themselves
/// remain, because versions must have no gaps.
pub async fn redact_user(conn: &mut Conn, user: UserId, name: &str) -> Result<(), sqlx::Error> {
    let data = |version: i64| serde_json::json!({"id": user, "email": "", "name": name, "version": version});
    let versions: Vec<i64> = query_scalar(
        "SELECT version FROM outbox WHERE aggregate_type = 'user' AND aggregate_id = $1",
    )
    .bind(user)
    .fetch_all(&mut *conn)
    .await?;
    for version in versions {
        query("UPDATE outbox SET data = $3 WHERE aggregate_id = $1 AND version = $2")
            .bind(user)
            .bind(version)
            .bind(data(version).to_string())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
