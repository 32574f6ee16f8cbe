//! One look at the provider for all who ask how a payment stands within two seconds.
//!
//! Buyers' browsers ask often, and each look is a call that counts towards the shop's quota. Whoever asks
//! while a look is under way waits for its end; whoever asks within two seconds of its beginning is
//! answered from the database. `payments.looked_at` has other processes keep to the same. What the
//! provider tells by itself, by a webhook, does not wait for any of this.

use super::store;
use model::{Moment, ids::PaymentId};
use platform::{clock::SharedClock, db::Db, fault::FaultResult};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How long a look's result is used.
const KEPT: Duration = Duration::from_secs(2);

/// A payment, and how many further cards had been tried for it: a new card is looked at anew.
pub(super) type Key = (PaymentId, i64);

/// The looks of this process.
#[derive(Clone)]
pub(super) struct Looks {
    db: Db,
    clock: SharedClock,
    begun: Arc<Mutex<HashMap<Key, Begun>>>,
}

struct Begun {
    at: Moment,
    /// True once the look has ended; closed if it was cut short.
    ended: watch::Receiver<bool>,
}

impl Looks {
    /// No look has begun yet.
    pub(crate) fn new(db: Db, clock: SharedClock) -> Self {
        Self {
            db,
            clock,
            begun: Arc::default(),
        }
    }

    /// Has `look` made, on a task of its own, unless this or another process has made one in the last
    /// two seconds. Returns once the look has ended, or after `wait` at most.
    pub(crate) async fn share<F>(&self, key: Key, wait: Duration, look: F) -> FaultResult<()>
    where
        F: Future<Output = FaultResult<()>> + Send + 'static,
    {
        let now = self.clock.now();
        match self.join(key, now) {
            Joined::Another(mut ended) => {
                let _ = tokio::time::timeout(wait, ended.wait_for(|ended| *ended)).await;
                Ok(())
            }
            Joined::First(end) => {
                let db = self.db.clone();
                let looking = tokio::spawn(async move {
                    let done = if claim(&db, key.0, now).await? {
                        look.await
                    } else {
                        Ok(())
                    };
                    let _ = end.send(true);
                    done
                });
                match tokio::time::timeout(wait, looking).await {
                    Ok(Ok(looked)) => looked,
                    _ => Ok(()),
                }
            }
        }
    }

    /// Waits until the next look of this payment can be made: two seconds at most.
    pub(crate) async fn wait_for_next(&self, payment: PaymentId) -> FaultResult<()> {
        let looked_at = store::payment_looked_at(self.db.reads(), payment).await?;
        let left = (looked_at + KEPT).since(self.clock.now()).min(KEPT);
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
        Ok(())
    }

    fn join(&self, key: Key, now: Moment) -> Joined {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        // A look that has not ended yet still has its sender.
        begun.retain(|_, begun| {
            let kept = begun.at <= now && now < begun.at + KEPT;
            kept || begun.ended.has_changed().is_ok()
        });
        if let Some(begun) = begun.get(&key) {
            return Joined::Another(begun.ended.clone());
        }
        let (end, ended) = watch::channel(false);
        begun.insert(key, Begun { at: now, ended });
        Joined::First(end)
    }
}

enum Joined {
    First(watch::Sender<bool>),
    Another(watch::Receiver<bool>),
}

/// Whether no process has looked in the last two seconds; this one has then.
async fn claim(db: &Db, payment: PaymentId, now: Moment) -> FaultResult<bool> {
    db.write(move |conn| {
        Box::pin(async move { Ok(store::payment_look_claim(conn, payment, now, KEPT).await?) })
    })
    .await
}
