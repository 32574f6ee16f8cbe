//! Domain events: what happened, written down in the transaction that made it happen.
//!
//! Owns the `outbox` table. An event carries the version that its aggregate has after the
//! change; versions of one aggregate run 1, 2, 3 … without gaps, which the table's unique key
//! proves and `stagedoor audit` checks. Nothing here decides what happens.

mod lease;
mod live;
mod nats;
mod relay;

use crate::db::{Conn, placeholders};
use model::ids::UserId;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Row, query};
use std::fmt::Display;
use uuid::Uuid;

pub use live::{Live, Missed, TicketChange, id_of_before};
pub use nats::{Nats, STREAM, names_nats};
pub use relay::{Relay, waiting};

/// The names of domain events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// Somebody signed up.
    UserCreated,
    /// Somebody changed their account.
    UserUpdated,
    /// An event was created.
    EventCreated,
    /// An event was changed.
    EventUpdated,
    /// A ticket was listed.
    TicketCreated,
    /// A ticket was reserved, released, sold, withdrawn, or its price or seat changed.
    TicketUpdated,
    /// Tickets were reserved.
    OrderCreated,
    /// A payment began or ended, or the money went back.
    OrderUpdated,
    /// The buyer gave the tickets back.
    OrderCancelled,
    /// The hold ran out.
    OrderExpired,
    /// Money was taken.
    PaymentCreated,
}

impl EventType {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserCreated => "UserCreated",
            Self::UserUpdated => "UserUpdated",
            Self::EventCreated => "EventCreated",
            Self::EventUpdated => "EventUpdated",
            Self::TicketCreated => "TicketCreated",
            Self::TicketUpdated => "TicketUpdated",
            Self::OrderCreated => "OrderCreated",
            Self::OrderUpdated => "OrderUpdated",
            Self::OrderCancelled => "OrderCancelled",
            Self::OrderExpired => "OrderExpired",
            Self::PaymentCreated => "PaymentCreated",
        }
    }

    /// The kind of thing that it happened to.
    pub fn aggregate(self) -> &'static str {
        match self {
            Self::UserCreated | Self::UserUpdated => "user",
            Self::EventCreated | Self::EventUpdated => "event",
            Self::TicketCreated | Self::TicketUpdated => "ticket",
            Self::OrderCreated | Self::OrderUpdated | Self::OrderCancelled | Self::OrderExpired => {
                "order"
            }
            Self::PaymentCreated => "payment",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct DomainEvent {
    kind: EventType,
    aggregate_id: String,
    version: i64,
    data: String,
}

impl DomainEvent {
    /// `version` is the aggregate's after the change; `data` is what it is now.
    pub fn new(
        kind: EventType,
        aggregate_id: impl Display,
        version: i64,
        data: &impl Serialize,
    ) -> Self {
        // What we serialise are our own plain structs; they have no way to fail.
        let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
        Self {
            kind,
            aggregate_id: aggregate_id.to_string(),
            version,
            data,
        }
    }
}

/// A condition on rows with a `batch_id`, which tickets and their domain events have: they are in no
/// batch of listings, or their batch is published.
pub const PUBLISHED: &str = "(batch_id IS NULL OR batch_id NOT IN \
     (SELECT b.id FROM listing_batches b WHERE b.publication IS NULL))";

/// Rows in one INSERT: keeps the number of parameters below what the engines take.
const ROWS_MAX: usize = 500;
const COLUMNS: usize = 8;

/// Writes `events` down, in the caller's transaction.
pub async fn append(
    conn: &mut Conn,
    now_micros: i64,
    events: &[DomainEvent],
) -> Result<(), sqlx::Error> {
    append_in(conn, now_micros, None, events).await
}

/// Writes `events` down as part of a batch of listings: they are sent once it is published.
pub async fn append_staged(
    conn: &mut Conn,
    now_micros: i64,
    batch_id: &str,
    events: &[DomainEvent],
) -> Result<(), sqlx::Error> {
    append_in(conn, now_micros, Some(batch_id), events).await
}

async fn append_in(
    conn: &mut Conn,
    now_micros: i64,
    batch_id: Option<&str>,
    events: &[DomainEvent],
) -> Result<(), sqlx::Error> {
    for chunk in events.chunks(ROWS_MAX) {
        let sql = format!(
            "INSERT INTO outbox \
             (id, type, aggregate_type, aggregate_id, version, occurred_at, data, batch_id) \
             VALUES {}",
            crate::db::rows(chunk.len(), COLUMNS)
        );
        let mut insert = query(AssertSqlSafe(sql));
        for event in chunk {
            insert = insert
                // Sorts by time: within this process later events have greater ids.
                .bind(Uuid::now_v7().to_string())
                .bind(event.kind.name())
                .bind(event.kind.aggregate())
                .bind(event.aggregate_id.clone())
                .bind(event.version)
                .bind(now_micros)
                .bind(event.data.clone())
                .bind(batch_id.map(str::to_owned));
        }
        insert.execute(&mut *conn).await?;
    }
    Ok(())
}

/// Deletes the first event of each of these aggregates, which were deleted before anything was told of
/// them.
pub async fn delete_created(conn: &mut Conn, aggregate_ids: &[String]) -> Result<(), sqlx::Error> {
    let sql = format!(
        "DELETE FROM outbox WHERE version = 1 AND aggregate_id IN ({})",
        placeholders(1, aggregate_ids.len())
    );
    let mut delete = query(AssertSqlSafe(sql));
    for id in aggregate_ids {
        delete = delete.bind(id.clone());
    }
    delete.execute(conn).await?;
    Ok(())
}

/// Takes what is personal out of all that was told of a user: address, name. That something
/// happened, and when, stays, or versions would have gaps.
pub async fn forget_person(conn: &mut Conn, user: UserId, name: &str) -> Result<(), sqlx::Error> {
    let data = |version: i64| serde_json::json!({"id": user, "email": "", "name": name, "version": version});
    let rows =
        query("SELECT version FROM outbox WHERE aggregate_type = 'user' AND aggregate_id = $1")
            .bind(user.to_string())
            .fetch_all(&mut *conn)
            .await?;
    for row in rows {
        let version: i64 = row.try_get("version")?;
        query("UPDATE outbox SET data = $3 WHERE aggregate_id = $1 AND version = $2")
            .bind(user.to_string())
            .bind(version)
            .bind(data(version).to_string())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
