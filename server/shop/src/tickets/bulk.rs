//! Changes of all unsold tickets of a seller for an event. Each is one conditional UPDATE that skips
//! held tickets and returns the rows that it changed. The caller appends the events.

use super::{COLUMNS, TicketRow, batches::PUBLISHED};
use crate::events::span::on_sale;
use model::{
    Moment,
    ids::{EventId, TicketId, UserId},
    money::MinorUnits,
};
use platform::db::{Conn, engine_of};
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::QueryAs, query_as};

/// Unsold tickets to change together.
#[derive(Debug, Clone)]
pub(crate) struct Lot {
    pub seller: UserId,
    pub event: EventId,
    /// Only this section, or all; empty for tickets without a section.
    pub section: Option<String>,
}

/// The condition for the rows of a [`Lot`]; [`Lot::bind`] binds its parameters.
const UNSOLD: &str = "seller_id = $1 AND event_id = $2 AND state = 'listed' \
     AND ($3 IS NULL OR COALESCE(section, '') = $3)";

type AnyQueryAs<'q, T> = QueryAs<'q, Any, T, AnyArguments>;

impl Lot {
    /// Binds $1 to $3 of [`UNSOLD`].
    fn bind<'q, T>(&self, query: AnyQueryAs<'q, T>) -> AnyQueryAs<'q, T> {
        query
            .bind(self.seller)
            .bind(self.event)
            .bind(self.section.clone())
    }
}

/// Locks the tickets without a current hold in the order of their ids, as reservations do, so that
/// the two cannot deadlock.
async fn lock(conn: &mut Conn, lot: &Lot, now: Moment) -> Result<(), sqlx::Error> {
    let lock = engine_of(conn).for_update();
    if lock.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT id FROM tickets WHERE {UNSOLD} AND {PUBLISHED} AND held_until <= $4 ORDER BY id{lock}"
    );
    lot.bind(query_as::<_, (TicketId,)>(AssertSqlSafe(sql)))
        .bind(now)
        .fetch_all(conn)
        .await?;
    Ok(())
}

/// Sets the price of the tickets without a current hold, if the event is still on sale.
pub(crate) async fn reprice(
    conn: &mut Conn,
    lot: &Lot,
    price_minor: MinorUnits,
    now: Moment,
) -> Result<Vec<TicketRow>, sqlx::Error> {
    lock(conn, lot, now).await?;
    let sql = format!(
        "UPDATE tickets SET price_minor = $4, version = version + 1 WHERE {UNSOLD} AND {PUBLISHED} \
         AND held_until <= $5 AND price_minor <> $4 AND EXISTS \
         (SELECT 1 FROM events e WHERE e.id = $2 AND {}) RETURNING {COLUMNS}",
        on_sale!("e", "$5")
    );
    lot.bind(query_as(AssertSqlSafe(sql)))
        .bind(price_minor)
        .bind(now)
        .fetch_all(conn)
        .await
}

/// Withdraws the tickets without a current hold, and clears lapsed holds.
pub(crate) async fn withdraw_unsold(
    conn: &mut Conn,
    lot: &Lot,
    now: Moment,
) -> Result<Vec<TicketRow>, sqlx::Error> {
    lock(conn, lot, now).await?;
    let sql = format!(
        "UPDATE tickets SET state = 'withdrawn', held_by = NULL, held_until = 0, \
         version = version + 1 WHERE {UNSOLD} AND {PUBLISHED} AND held_until <= $4 RETURNING {COLUMNS}"
    );
    lot.bind(query_as(AssertSqlSafe(sql)))
        .bind(now)
        .fetch_all(conn)
        .await
}

/// The number of held tickets, not counting those that already have this price.
pub(crate) async fn count_held(
    conn: &mut Conn,
    lot: &Lot,
    except_price_minor: Option<MinorUnits>,
    now: Moment,
) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "SELECT COUNT(*) AS held FROM tickets WHERE {UNSOLD} AND {PUBLISHED} AND held_until > $4 \
         AND price_minor <> $5"
    );
    let (held,) = lot
        .bind(query_as(AssertSqlSafe(sql)))
        .bind(now)
        .bind(except_price_minor.unwrap_or(MinorUnits::ZERO))
        .fetch_one(conn)
        .await?;
    Ok(held)
}
