//! Changes of all unsold tickets of one seller's for one event. Each is one conditional UPDATE:
//! what somebody holds stays as it is, and the number of rows says how many were changed. The
//! caller tells of them.

use super::{COLUMNS, TicketRow, batches::PUBLISHED};
use crate::events::span::on_sale;
use model::{
    Moment,
    ids::{EventId, TicketId, UserId},
    money::MinorUnits,
};
use platform::db::{Conn, engine_of};
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::QueryAs, query_as};

/// Unsold tickets that are changed together.
#[derive(Debug, Clone)]
pub(crate) struct Lot {
    /// Whose.
    pub seller: UserId,
    /// For this event.
    pub event: EventId,
    /// Only of this section; empty for tickets without one.
    pub section: Option<String>,
}

/// The rows of a [`Lot`], with what [`Lot::bind`] binds.
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

/// Locks what nobody holds, in the order of the ids, as orders lock what they take: neither waits
/// for the other in a circle.
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

/// Gives what nobody holds this price, if the event is still on sale.
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

/// Takes what nobody holds off sale; holds that have lapsed go with it.
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

/// How many are held, but for those that cost this already.
pub(crate) async fn count_held(
    conn: &mut Conn,
    lot: &Lot,
    but_price_minor: Option<MinorUnits>,
    now: Moment,
) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "SELECT COUNT(*) AS held FROM tickets WHERE {UNSOLD} AND {PUBLISHED} AND held_until > $4 \
         AND price_minor <> $5"
    );
    let (held,) = lot
        .bind(query_as(AssertSqlSafe(sql)))
        .bind(now)
        .bind(but_price_minor.unwrap_or(MinorUnits::ZERO))
        .fetch_one(conn)
        .await?;
    Ok(held)
}
