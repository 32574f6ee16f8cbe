//! Domain events: what happened, written down in the transaction that made it happen.
//!
//! Owns the `outbox` table. An event carries the version that its aggregate has after the
//! change; versions of one aggregate run 1, 2, 3 … without gaps, which the table's unique key
//! proves and `stagedoor audit` checks. Nothing here decides what happens.

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
pub use live::{Live, Missed, TicketChange, id_of_before};
pub use nats::{Nats, STREAM, names_nats};
pub use relay::{Relay, waiting};

/// The names of domain events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
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
    /// The kind of thing that it happened to.
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

/// The kinds of things that events happen to.
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

/// Writes `events` down, in the caller's transaction.
pub async fn append(
    conn: &mut Conn,
    now: Moment,
    events: &[DomainEvent],
) -> Result<(), sqlx::Error> {
    append_in(conn, now, None, events).await
}

/// Writes `events` down as part of a batch of listings: they are sent once it is published.
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
            // Sorts by time: within this process later events have greater ids.
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

/// Deletes the first event of each of these tickets, which were deleted before anything was told of
/// them.
pub async fn delete_created(conn: &mut Conn, tickets: &[TicketId]) -> Result<(), sqlx::Error> {
    let mut delete = Statement::new("DELETE FROM outbox WHERE version = 1 AND aggregate_id IN (");
    delete.bind_list(tickets.iter().copied()).push(")");
    delete.query()?.execute(conn).await?;
    Ok(())
}

/// Takes what is personal out of all that was told of a user: address, name. That something
/// happened, and when, stays, or versions would have gaps.
pub async fn forget_person(conn: &mut Conn, user: UserId, name: &str) -> Result<(), sqlx::Error> {
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
