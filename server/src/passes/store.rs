//! The SQL of passes. Functions that take a `Conn` run in the caller's transaction.

use super::pass::Claims;
use crate::{
    db::{Conn, parse},
    events::span::tickets_until,
};
use app::tickets::label;
use model::{
    ids::{EventId, OrderId, TicketId, UserId},
    money::{Currency, Money},
};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, any::AnyRow, query};

/// A key as it is stored. It does not show itself, so that no log has it.
pub struct KeyRow {
    /// Its name, in hex.
    pub id: String,
    /// Its public half, base64url.
    pub public: String,
    /// All of it, PKCS#8 in base64url.
    pub private: String,
}

/// All of the key that signs, PKCS#8 in base64url.
pub async fn key_signing<'e>(on: impl AnyExecutor<'e>) -> Result<Option<String>, sqlx::Error> {
    let row = query("SELECT private_key FROM pass_keys WHERE signs = 1")
        .fetch_optional(on)
        .await?;
    row.map(|row| row.try_get("private_key")).transpose()
}

/// The private half of the key of this name, whether or not it signs.
pub async fn key_private<'e>(
    on: impl AnyExecutor<'e>,
    id: &str,
) -> Result<Option<String>, sqlx::Error> {
    let row = query("SELECT private_key FROM pass_keys WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.try_get("private_key")).transpose()
}

/// Name and public half of every key, the one that signs first.
pub async fn keys_public<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows =
        query("SELECT id, public_key FROM pass_keys ORDER BY signs DESC, created_at DESC, id")
            .fetch_all(on)
            .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("id")?, row.try_get("public_key")?)))
        .collect()
}

/// Writes a key down that is to sign from now on, unless there is one.
pub async fn key_insert(conn: &mut Conn, key: KeyRow, now_micros: i64) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO pass_keys (id, public_key, private_key, signs, created_at) \
         VALUES ($1, $2, $3, 1, $4) ON CONFLICT DO NOTHING",
    )
    .bind(key.id)
    .bind(key.public)
    .bind(key.private)
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(())
}

/// A ticket that somebody has paid for, and still has.
#[derive(Debug, Clone)]
pub struct HeldRow {
    /// The ticket.
    pub ticket: TicketId,
    /// The event that it admits to.
    pub event: EventId,
    /// The order that bought it.
    pub order: OrderId,
    /// The ticket's version.
    pub version: i64,
    /// Section, row and seat.
    pub label: String,
    /// What was paid for it.
    pub price: Money,
    /// Who sold it.
    pub seller_name: String,
}

/// Whose tickets.
#[derive(Debug, Clone, Copy)]
pub enum Whose {
    /// Of this order.
    Order(OrderId),
    /// Of this buyer, for events whose tickets are shown at this moment, in microseconds.
    Buyer(UserId, i64),
}

/// Tickets that are paid, still their buyer's and not frozen, at the price that was paid: soonest event first,
/// then by section, row and seat.
pub async fn held<'e>(
    on: impl AnyExecutor<'e>,
    whose: Whose,
    limit: i64,
) -> Result<Vec<HeldRow>, sqlx::Error> {
    let (which, id, after) = match whose {
        Whose::Order(order) => ("o.id = $1", order.to_string(), i64::MIN),
        Whose::Buyer(buyer, after) => ("o.buyer_id = $1", buyer.to_string(), after),
    };
    let sql = format!(
        "SELECT t.id AS ticket_id, t.event_id, o.id AS order_id, t.version, t.section, \
         t.row_label, t.seat, l.price_minor, t.currency, u.name AS seller_name FROM orders o \
         JOIN order_lines l ON l.order_id = o.id AND l.live = 1 \
         JOIN tickets t ON t.id = l.ticket_id AND t.state = 'sold' AND t.frozen = 0 \
         JOIN events e ON e.id = t.event_id JOIN users u ON u.id = t.seller_id \
         WHERE {which} AND o.status IN ('complete', 'refunding') AND {until} > $2 \
         ORDER BY e.starts_at, t.section, LENGTH(t.row_label), t.row_label, LENGTH(t.seat), t.seat, t.id LIMIT $3",
        until = tickets_until!("e")
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(id)
        .bind(after)
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter().map(read_held).collect()
}

fn seat_label(row: &AnyRow) -> Result<String, sqlx::Error> {
    let part = |name| row.try_get::<Option<String>, _>(name);
    let (section, line, seat) = (part("section")?, part("row_label")?, part("seat")?);
    Ok(label(section.as_deref(), line.as_deref(), seat.as_deref()))
}

fn read_held(row: &AnyRow) -> Result<HeldRow, sqlx::Error> {
    Ok(HeldRow {
        ticket: parse(row, "ticket_id")?,
        event: parse(row, "event_id")?,
        order: parse(row, "order_id")?,
        version: row.try_get("version")?,
        label: seat_label(row)?,
        price: Money::new(
            row.try_get("price_minor")?,
            parse::<Currency>(row, "currency")?,
        ),
        seller_name: row.try_get("seller_name")?,
    })
}

/// How many tickets of an order are not its buyer's any more, and how many are frozen.
pub async fn without_pass<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<(i64, i64), sqlx::Error> {
    let row = query(
        "SELECT COUNT(CASE WHEN l.live = 0 THEN 1 END) AS ended, \
         COUNT(CASE WHEN l.live = 1 AND t.frozen = 1 THEN 1 END) AS frozen \
         FROM order_lines l JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id = $1",
    )
    .bind(order.to_string())
    .fetch_one(on)
    .await?;
    Ok((row.try_get("ended")?, row.try_get("frozen")?))
}

/// What a pass is checked against.
#[derive(Debug)]
pub struct Checkable {
    /// Who sells the ticket.
    pub seller: UserId,
    /// Who made the event.
    pub creator: UserId,
    /// Section, row and seat.
    pub label: String,
    /// Whether the ticket is still the order's buyer's.
    pub held: bool,
    /// Whether its payment is disputed.
    pub frozen: bool,
}

/// How the ticket of a pass stands. None: there is no such ticket in such an order.
pub async fn checkable<'e>(
    on: impl AnyExecutor<'e>,
    claims: &Claims,
) -> Result<Option<Checkable>, sqlx::Error> {
    let row = query(
        "SELECT t.seller_id, e.creator_id, t.section, t.row_label, t.seat, t.frozen, \
         CAST(CASE WHEN l.live = 1 AND t.state = 'sold' THEN 1 ELSE 0 END AS BIGINT) AS held \
         FROM order_lines l JOIN tickets t ON t.id = l.ticket_id \
         JOIN events e ON e.id = t.event_id WHERE l.order_id = $1 AND t.id = $2 AND e.id = $3",
    )
    .bind(claims.order.to_string())
    .bind(claims.ticket.to_string())
    .bind(claims.event.to_string())
    .fetch_optional(on)
    .await?;
    row.map(|row| {
        Ok(Checkable {
            seller: parse(&row, "seller_id")?,
            creator: parse(&row, "creator_id")?,
            label: seat_label(&row)?,
            held: row.try_get::<i64, _>("held")? == 1,
            frozen: row.try_get::<i64, _>("frozen")? == 1,
        })
    })
    .transpose()
}
