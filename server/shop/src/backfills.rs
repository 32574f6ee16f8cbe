//! Fills columns of existing rows whose values only the program can compute, after the migrations.
//!
//! Owns the table `backfills`. Each backfill processes its table in steps of a few hundred rows, in the
//! order of the ids; a step and its progress are written in one transaction. It can therefore be killed at
//! any time and resumes at the next start; each step runs in one process only, and each backfill once.

use crate::{accounts, events, tickets};
use futures::future::BoxFuture;
use model::Moment;
use platform::{
    clock::Clock,
    db::{Conn, Db},
    fault::FaultResult,
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow, query, query_as};

/// Rows per step.
const STEP_ROWS: i64 = 200;

/// Fills one row, at the given time.
type Fill = for<'c> fn(&'c mut Conn, AnyRow, Moment) -> BoxFuture<'c, Result<(), sqlx::Error>>;

#[derive(Clone, Copy)]
struct Backfill {
    name: &'static str,
    /// SQL that selects at most `$2` rows with ids above `$1`, sorted by id.
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
        rows: tickets::store::select_rows_with_seats,
        fill: |conn, row, now| Box::pin(tickets::store::fill_seat_key(conn, row, now)),
    },
    Backfill {
        name: "users_email_keys",
        rows: accounts::select_users_with_unicode_domains,
        fill: |conn, row, now| Box::pin(accounts::fill_user_email_key(conn, row, now)),
    },
    Backfill {
        name: "waiting_email_keys",
        rows: accounts::select_waiting_with_unicode_domains,
        fill: |conn, row, _| Box::pin(accounts::fill_waiting_email_key(conn, row)),
    },
];

/// Runs all unfinished backfills. Returns the number of steps.
pub async fn run(db: &Db, clock: &dyn Clock) -> FaultResult<usize> {
    let mut steps = 0;
    for backfill in BACKFILLS {
        while let Some(after) = find_position(db, backfill.name).await? {
            let now = clock.now();
            run_step(db, backfill, after, now).await?;
            steps += 1;
        }
    }
    if steps > 0 {
        tracing::info!(steps, "Filled columns of existing rows");
    }
    Ok(steps)
}

/// The last id processed, empty at the start; `None` if the backfill is finished.
async fn find_position(db: &Db, name: &str) -> Result<Option<String>, sqlx::Error> {
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

/// Processes the rows after `after`, unless another process already has.
async fn run_step(
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
            // Locks the row until the step is committed, so that no other process runs the same step.
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

/// Fills the rows after the id `after`. Returns the last id; `None` if there were no rows.
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
