//! Limits how often the provider is asked about a payment: once in two seconds, single-flight.
//!
//! Buyers' browsers ask often, and each lookup counts towards the shop's quota of calls. A request during
//! a lookup waits for its end; a request within two seconds of its beginning is answered from the
//! database. `payments.looked_at` applies the limit across processes. Webhooks are not limited.

use super::store;
use model::{Moment, ids::PaymentId};
use platform::{clock::SharedClock, db::Db, fault::FaultResult};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Minimum interval between two lookups of a payment.
const INTERVAL: Duration = Duration::from_secs(2);

/// A payment and the number of further cards tried for it: a new card allows a new lookup in this process.
pub(super) type Key = (PaymentId, i64);

/// The lookups of this process.
#[derive(Clone)]
pub(super) struct StatusLookups {
    db: Db,
    clock: SharedClock,
    recent: Arc<Mutex<HashMap<Key, Lookup>>>,
}

struct Lookup {
    began_at: Moment,
    /// True once the lookup has ended; closed if it was aborted.
    ended: watch::Receiver<bool>,
}

impl StatusLookups {
    pub(crate) fn new(db: Db, clock: SharedClock) -> Self {
        Self {
            db,
            clock,
            recent: Arc::default(),
        }
    }

    /// Runs `lookup` in a separate task, unless this or another process has begun one in the last two
    /// seconds. Returns when the lookup has ended, after `wait` at most.
    pub(crate) async fn share<F>(&self, key: Key, wait: Duration, lookup: F) -> FaultResult<()>
    where
        F: Future<Output = FaultResult<()>> + Send + 'static,
    {
        let now = self.clock.now();
        match self.join(key, now) {
            Role::Follower(mut ended) => {
                let _ = tokio::time::timeout(wait, ended.wait_for(|ended| *ended)).await;
                Ok(())
            }
            Role::Leader(end) => {
                let db = self.db.clone();
                let task = tokio::spawn(async move {
                    let done = if claim(&db, key.0, now).await? {
                        lookup.await
                    } else {
                        Ok(())
                    };
                    let _ = end.send(true);
                    done
                });
                match tokio::time::timeout(wait, task).await {
                    Ok(Ok(done)) => done,
                    _ => Ok(()),
                }
            }
        }
    }

    /// Waits until the next lookup of this payment is allowed: two seconds at most.
    pub(crate) async fn wait_for_next(&self, payment: PaymentId) -> FaultResult<()> {
        let looked_at = store::find_looked_at(self.db.reads(), payment).await?;
        let left = (looked_at + INTERVAL).since(self.clock.now()).min(INTERVAL);
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
        Ok(())
    }

    fn join(&self, key: Key, now: Moment) -> Role {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // The sender of a lookup that has not ended still exists.
        recent.retain(|_, lookup| {
            let is_recent = lookup.began_at <= now && now < lookup.began_at + INTERVAL;
            is_recent || lookup.ended.has_changed().is_ok()
        });
        if let Some(lookup) = recent.get(&key) {
            return Role::Follower(lookup.ended.clone());
        }
        let (end, ended) = watch::channel(false);
        let lookup = Lookup {
            began_at: now,
            ended,
        };
        recent.insert(key, lookup);
        Role::Leader(end)
    }
}

enum Role {
    /// Makes the lookup.
    Leader(watch::Sender<bool>),
    /// Waits for the lookup of another request.
    Follower(watch::Receiver<bool>),
}

/// Returns false if another process has begun a lookup in the last two seconds.
async fn claim(db: &Db, payment: PaymentId, now: Moment) -> FaultResult<bool> {
    db.write(move |conn| {
        Box::pin(async move { Ok(store::claim_lookup(conn, payment, now, INTERVAL).await?) })
    })
    .await
}
