//! How the seller lists tickets in batches: step by step, while everybody else goes on between them.

use super::World;
use crate::support::staging::{self, Offer};
use model::Moment;
use platform::clock::Clock;

impl World {
    /// The seller's batch comes one step further, or is given up.
    pub(super) async fn batch(&mut self) {
        let now = self.clock.now();
        let Some(mut batch) = self.batch.take() else {
            return self.open_batch(now).await;
        };
        if self.dice.percent(15) {
            let abandoned = batch.abandon(&self.db, now).await;
            self.trace
                .push(format!("the seller gives a batch up: {abandoned}"));
            self.abandoned_batches_are_deleted().await;
        } else if let Some(ticket) = batch.next() {
            let staged = batch.stage(&self.db, 1, now).await;
            self.trace
                .push(format!("a ticket of a batch is staged: {staged}"));
            if staged {
                self.tickets.push(ticket);
                self.batch = Some(batch);
            }
        } else {
            let published = batch.publish(&self.db).await;
            self.trace
                .push(format!("the batch is published: {published}"));
        }
    }

    async fn open_batch(&mut self, now: Moment) {
        let offer = Offer {
            seller: self.seller.user.id,
            event: self.event,
            currency: "GBP".parse().unwrap(),
            // The cheapest, so that a reservation of any ticket would take one if it were visible.
            price_minor: 900,
        };
        let opened = staging::open(&self.db, offer, 2, now).await;
        self.trace
            .push(format!("a batch is opened: {}", opened.is_some()));
        if opened.is_none() {
            // The one before has been left by its process.
            self.abandoned_batches_are_deleted().await;
        }
        self.batch = opened;
    }

    pub(super) async fn abandoned_batches_are_deleted(&mut self) {
        self.shop.tickets.delete_abandoned_batches().await.unwrap();
    }
}
