//! Fills columns of existing rows whose values only the program can compute, after the migrations.
//!
//! Owns the table `backfills`. Each backfill goes through its table in steps of a few hundred rows, in
//! the order of the key; the step and how far it came are one transaction. So it can be killed at any
//! moment and goes on at the next start, two processes do not do the same step, and it runs once.

use crate::{
    clock::Clock,
    db::{Conn, Db},
    events,
    fault::FaultResult,
    tickets,
};
use futures::future::BoxFuture;
use sqlx::{Row, query};

/// Fills the rows behind a key at this time, in microseconds, and returns the last key that is done;
/// `None`: there was none.
type Step =
    for<'c> fn(&'c mut Conn, String, i64) -> BoxFuture<'c, Result<Option<String>, sqlx::Error>>;

const BACKFILLS: &[(&str, Step)] = &[
    ("events_search_keys", |conn, after, _| {
        Box::pin(events::store::events_fill_search_keys(conn, after))
    }),
    ("tickets_seat_keys", |conn, after, now_micros| {
        Box::pin(tickets::store::tickets_fill_seat_keys(
            conn, after, now_micros,
        ))
    }),
];

/// Runs what has not been run to its end. Returns how many steps it took.
pub async fn run(db: &Db, clock: &dyn Clock) -> FaultResult<usize> {
    let mut steps = 0;
    for (name, step) in BACKFILLS {
        while let Some(after) = position(db, name).await? {
            let now = clock.now_micros();
            take_step(db, name, *step, after, now).await?;
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
    let row = query("SELECT after, done_at FROM backfills WHERE name = $1")
        .bind(name.to_owned())
        .fetch_optional(db.reads())
        .await?;
    let Some(row) = row else {
        return Ok(Some(String::new()));
    };
    let done_at: Option<i64> = row.try_get("done_at")?;
    Ok(match done_at {
        Some(_) => None,
        None => Some(row.try_get("after")?),
    })
}

/// One step behind `after`, unless another process has taken it.
async fn take_step(
    db: &Db,
    name: &'static str,
    step: Step,
    after: String,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
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
            let (last, done_at) = match step(conn, after.clone(), now_micros).await? {
                Some(last) => (last, None),
                None => (after, Some(now_micros)),
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
