//! The lease of the one process that sends events: a row of `leases`, taken by one conditional write.
//! Its holder renews it before it ends. Any process may take a lease that has ended, or that ends
//! implausibly late and so was taken by a wrong clock. There is one holder at a time as long as clocks
//! differ by less than [`LIFETIME`]; two would do no harm (`relay.rs`).

use crate::{clock::SharedClock, db::Db};
use sqlx::query;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a lease lasts unless it is renewed.
const LIFETIME: Duration = Duration::from_secs(6);
/// A lease that ends later than this was taken by a wrong clock.
const PLAUSIBLE_LIFETIME: Duration = Duration::from_mins(1);
/// The holder renews a lease that ends sooner than this.
const RENEW_BEFORE: Duration = Duration::from_secs(4);

pub(super) struct Lease {
    db: Db,
    clock: SharedClock,
    name: &'static str,
    holder: String,
    ends: Option<Instant>,
}

impl Lease {
    /// Does not take the lease yet.
    pub(super) fn new(db: Db, clock: SharedClock, name: &'static str) -> Self {
        Self {
            db,
            clock,
            name,
            holder: Uuid::new_v4().to_string(),
            ends: None,
        }
    }

    /// Takes the lease, or renews it if it ends soon. Returns when it ends, or `None` if another process
    /// holds it.
    pub(super) async fn take_or_renew(&mut self) -> Result<Option<Instant>, sqlx::Error> {
        let now = Instant::now();
        if self.ends.is_none_or(|ends| ends < now + RENEW_BEFORE) {
            self.ends = None;
            self.ends = self.take().await?.then_some(now + LIFETIME);
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
                    .bind(now + LIFETIME)
                    .bind(now)
                    .bind(now + PLAUSIBLE_LIFETIME)
                    .execute(conn)
                    .await?;
                    Ok(taken.rows_affected() == 1)
                })
            })
            .await
    }
}
