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
    events::changes::changes_delete_old,
    mail,
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
        if let Err(error) = self.tickets.forget_old_listings().await {
            tracing::warn!(
                error = chain(&error),
                "old counts of listings were not deleted"
            );
        }
        match self.waiting.forget_old().await {
            Ok(entries) => tracing::debug!(entries, "old entries of the waiting list deleted"),
            Err(fault) => tracing::warn!(
                error = chain(&fault),
                "old entries of the waiting list were not deleted"
            ),
        }
        match deleted {
            Ok(Deleted {
                sessions,
                keys,
                links,
                webhooks,
            }) => tracing::debug!(sessions, keys, links, webhooks, "old rows deleted"),
            Err(error) => {
                let fault = Fault::Database(error);
                tracing::warn!(error = chain(&fault), "old rows were not deleted");
            }
        }
    }

    /// Deletes sessions, idempotency keys, links to new passwords and of changed addresses, told
    /// changes of events and webhooks. Returns the first error after trying all of them.
    async fn delete_old_rows(&self) -> Result<Deleted, sqlx::Error> {
        let idempotency_keys = IdempotencyKeys {
            db: self.db.clone(),
            clock: self.clock.clone(),
        };
        let sessions = session::sessions_delete_expired(&self.db, &self.clock).await;
        let keys = idempotency_keys.forget_old().await;
        let links = self.delete_old_links().await;
        let webhooks = self.webhooks.forget_old().await;
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
                    mail::forget_turns(conn, now).await?;
                    changes_delete_old(conn, now).await?;
                    let proofs = proofs::proofs_delete_expired(conn, now).await?;
                    Ok(proofs + resets::resets_delete_expired(conn, now).await?)
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
                "ended orders were not released from hold limits"
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
