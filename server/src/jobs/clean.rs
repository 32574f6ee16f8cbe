//! Deletes rows that are no longer needed, and releases ended orders that still count as unpaid. Each
//! step is tried even if another one fails.

use super::periodic::PeriodicTask;
use platform::{
    clock::SharedClock,
    db::Db,
    fault::{Fault, chain},
    idempotency::IdempotencyKeys,
    session,
};
use shop::{
    accounts::{proofs, resets},
    events, mail,
    orders::OrdersService,
    payments::Webhooks,
    tickets::TicketsService,
    waiting::WaitingService,
};
use std::{sync::Arc, time::Duration};

const TASK: PeriodicTask = PeriodicTask {
    name: "cleaning",
    period: Duration::from_hours(1),
    time_limit: Duration::from_hours(1),
};

/// What has rows to delete.
pub(super) struct Cleaner {
    pub db: Db,
    pub clock: SharedClock,
    pub orders: OrdersService,
    pub tickets: TicketsService,
    pub waiting: WaitingService,
    pub webhooks: Webhooks,
}

pub(super) async fn run(cleaner: Cleaner) {
    let cleaner = Arc::new(cleaner);
    let run_once = || {
        let cleaner = Arc::clone(&cleaner);
        async move {
            cleaner.clean().await;
            Ok(())
        }
    };
    TASK.run(run_once).await;
}

impl Cleaner {
    async fn clean(&self) {
        let deleted = self.delete_old_rows().await;
        self.release_ended_orders().await;
        if let Err(error) = self.tickets.delete_old_batches().await {
            tracing::warn!(
                error = chain(&error),
                "could not delete old counts of listings"
            );
        }
        match self.waiting.delete_old().await {
            Ok(entries) => tracing::debug!(entries, "deleted old entries of the waiting list"),
            Err(fault) => tracing::warn!(
                error = chain(&fault),
                "could not delete old entries of the waiting list"
            ),
        }
        match deleted {
            Ok(Deleted {
                sessions,
                keys,
                links,
                webhooks,
            }) => tracing::debug!(sessions, keys, links, webhooks, "deleted old rows"),
            Err(error) => {
                let fault = Fault::Database(error);
                tracing::warn!(error = chain(&fault), "could not delete old rows");
            }
        }
    }

    /// Deletes sessions, idempotency keys, links of mails, old changes of events and webhooks. Returns the
    /// first error after trying all of them.
    async fn delete_old_rows(&self) -> Result<Deleted, sqlx::Error> {
        let idempotency_keys = IdempotencyKeys {
            db: self.db.clone(),
            clock: self.clock.clone(),
        };
        let sessions = session::delete_expired(&self.db, &self.clock).await;
        let keys = idempotency_keys.delete_old().await;
        let links = self.delete_old_links().await;
        let webhooks = self.webhooks.delete_old().await;
        Ok(Deleted {
            sessions: sessions?,
            keys: keys?,
            links: links?,
            webhooks: webhooks?,
        })
    }

    async fn delete_old_links(&self) -> Result<u64, sqlx::Error> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    mail::delete_old_turns(conn, now).await?;
                    events::changes::delete_old(conn, now).await?;
                    let proofs = proofs::delete_expired(conn, now).await?;
                    Ok(proofs + resets::delete_expired(conn, now).await?)
                })
            })
            .await
    }

    async fn release_ended_orders(&self) {
        match self.orders.release_ended().await {
            Ok(0) => {}
            Ok(orders) => tracing::info!(orders, "released ended orders from hold limits"),
            Err(fault) => tracing::warn!(
                error = chain(&fault),
                "could not release ended orders from hold limits"
            ),
        }
    }
}

/// How many rows of each kind were deleted.
struct Deleted {
    sessions: u64,
    keys: u64,
    links: u64,
    webhooks: u64,
}
