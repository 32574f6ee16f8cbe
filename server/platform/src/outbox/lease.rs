//! The turn of the one process that sends events: a row of `leases`, had by one conditional write.
//! Its holder takes it again before it ends; who finds it ended has it next, and so does who finds
//! that it ends at a time which no right clock gives. Clocks that differ by less than [`LASTS`] make
//! no two holders, and two would do no harm (`relay.rs`).

use crate::{clock::SharedClock, db::Db};
use sqlx::query;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long it lasts unless it is taken again.
const LASTS: Duration = Duration::from_secs(6);
/// A lease that ends later than this was taken by a clock that was wrong.
const LASTS_AT_MOST: Duration = Duration::from_mins(1);
/// What is left of it when it is taken again.
const AGAIN_AT: Duration = Duration::from_secs(4);

pub(super) struct Lease {
    db: Db,
    clock: SharedClock,
    name: &'static str,
    holder: String,
    ends: Option<Instant>,
}

impl Lease {
    /// Nobody's yet.
    pub(super) fn new(db: Db, clock: SharedClock, name: &'static str) -> Self {
        Self {
            db,
            clock,
            name,
            holder: Uuid::new_v4().to_string(),
            ends: None,
        }
    }

    /// Takes it, or takes it again where it ends soon. Returns when it ends if it is ours.
    pub(super) async fn hold(&mut self) -> Result<Option<Instant>, sqlx::Error> {
        let now = Instant::now();
        if self.ends.is_none_or(|ends| ends < now + AGAIN_AT) {
            self.ends = None;
            self.ends = self.take().await?.then_some(now + LASTS);
        }
        Ok(self.ends)
    }

    async fn take(&self) -> Result<bool, sqlx::Error> {
        let (name, holder) = (self.name, self.holder.clone());
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let taken = query(
                        "INSERT INTO leases (name, holder, held_until) VALUES ($1, $2, $3) \
                         ON CONFLICT (name) DO UPDATE SET holder = $2, held_until = $3 \
                         WHERE leases.holder = $2 OR leases.held_until <= $4 \
                         OR leases.held_until > $5",
                    )
                    .bind(name)
                    .bind(holder)
                    .bind(now + LASTS)
                    .bind(now)
                    .bind(now + LASTS_AT_MOST)
                    .execute(conn)
                    .await?;
                    Ok(taken.rows_affected() == 1)
                })
            })
            .await
    }
}
