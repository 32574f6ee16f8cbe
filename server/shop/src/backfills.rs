//! Fills columns of existing rows whose values only the program can compute, after the migrations.
//!
//! Owns the table `backfills`. Each backfill goes through its table in steps of a few hundred rows, in
//! the order of the key; the step and how far it came are one transaction. So it can be killed at any
//! moment and goes on at the next start, two processes do not do the same step, and it runs once.

use crate::{accounts, events, tickets};
use futures::future::BoxFuture;
use model::Moment;
use platform::{
    clock::Clock,
    db::{Conn, Db},
    fault::FaultResult,
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow, query, query_as};

/// Rows that are filled at a time.
const STEP_ROWS: i64 = 200;

/// Fills one row at this time.
type Fill = for<'c> fn(&'c mut Conn, AnyRow, Moment) -> BoxFuture<'c, Result<(), sqlx::Error>>;

#[derive(Clone, Copy)]
struct Backfill {
    name: &'static str,
    /// Selects the rows behind the id `$1`, in the order of their ids, `$2` at the most.
    rows: fn() -> String,
    fill: Fill,
}

const BACKFILLS: [Backfill; 4] = [
    Backfill {
        name: "events_search_keys",
        rows: events::store::select_search_keys,
        fill: |conn, row, _| Box::pin(events::store::fill_search_keys(conn, row)),
    },
    Backfill {
        name: "tickets_seat_keys",
        rows: tickets::store::rows_with_seats,
        fill: |conn, row, now| Box::pin(tickets::store::ticket_fill_seat_key(conn, row, now)),
    },
    Backfill {
        name: "users_email_keys",
        rows: accounts::users_with_foreign_domains,
        fill: |conn, row, now| Box::pin(accounts::user_fill_email_key(conn, row, now)),
    },
    Backfill {
        name: "waiting_email_keys",
        rows: accounts::waiting_with_foreign_domains,
        fill: |conn, row, _| Box::pin(accounts::waiting_fill_email_key(conn, row)),
    },
];

/// Runs what has not been run to its end. Returns how many steps it took.
pub async fn run(db: &Db, clock: &dyn Clock) -> FaultResult<usize> {
    let mut steps = 0;
    for backfill in BACKFILLS {
        while let Some(after) = position(db, backfill.name).await? {
            let now = clock.now();
            take_step(db, backfill, after, now).await?;
            steps += 1;
        }
    }
    if steps > 0 {
        tracing::info!(steps, "filled columns of existing rows");
    }
    Ok(steps)
}

/// The last key that is done; `None`: all are.
async fn position(db: &Db, name: &str) -> Result<Option<String>, sqlx::Error> {
    let found: Option<(String, Option<Moment>)> =
        query_as("SELECT after, done_at FROM backfills WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(db.reads())
            .await?;
    Ok(match found {
        None => Some(String::new()),
        Some((after, None)) => Some(after),
        Some((_, Some(_))) => None,
    })
}

/// One step behind `after`, unless another process has taken it.
async fn take_step(
    db: &Db,
    backfill: Backfill,
    after: String,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let name = backfill.name;
    db.write(move |conn| {
        Box::pin(async move {
            query("INSERT INTO backfills (name, after) VALUES ($1, '') ON CONFLICT DO NOTHING")
                .bind(name)
                .execute(&mut *conn)
                .await?;
            // Holds the row until the step is committed, so that nobody takes the same step.
            let claimed = query(
                "UPDATE backfills SET after = after \
                 WHERE name = $1 AND after = $2 AND done_at IS NULL",
            )
            .bind(name)
            .bind(after.clone())
            .execute(&mut *conn)
            .await?;
            if claimed.rows_affected() == 0 {
                return Ok(());
            }
            let (last, done_at) = match fill_rows(conn, backfill, &after, now).await? {
                Some(last) => (last, None),
                None => (after, Some(now)),
            };
            query("UPDATE backfills SET after = $2, done_at = $3 WHERE name = $1")
                .bind(name)
                .bind(last)
                .bind(done_at)
                .execute(conn)
                .await?;
            Ok(())
        })
    })
    .await
}

/// Fills the rows behind this id. Returns the last that is done; `None`: there was none.
async fn fill_rows(
    conn: &mut Conn,
    backfill: Backfill,
    after: &str,
    now: Moment,
) -> Result<Option<String>, sqlx::Error> {
    let rows = query(AssertSqlSafe((backfill.rows)()))
        .bind(after.to_owned())
        .bind(STEP_ROWS)
        .fetch_all(&mut *conn)
        .await?;
    let last = rows.last().map(|row| row.try_get("id")).transpose()?;
    for row in rows {
        (backfill.fill)(&mut *conn, row, now).await?;
    }
    Ok(last)
}
