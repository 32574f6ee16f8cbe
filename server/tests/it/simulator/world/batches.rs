//! Batches of listings: each is staged in several steps, with other actions between them.

use super::World;
use crate::support::staging::{self, Offer};
use model::Moment;
use platform::clock::Clock;

impl World {
    /// Opens a batch, or stages, publishes or abandons the open one.
    pub(super) async fn advance_batch(&mut self) {
        let now = self.clock.now();
        let Some(mut batch) = self.batch.take() else {
            return self.open_batch(now).await;
        };
        if self.random.percent(15) {
            let abandoned = batch.abandon(&self.db, now).await;
            self.trace
                .push(format!("the seller abandons a batch: {abandoned}"));
            self.delete_abandoned_batches().await;
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
            // The lowest price, so that a reservation of any ticket would take an unpublished one by mistake.
            price_minor: 900,
        };
        let opened = staging::open(&self.db, offer, 2, now).await;
        self.trace
            .push(format!("a batch is opened: {}", opened.is_some()));
        if opened.is_none() {
            // The previous batch was abandoned by a killed process.
            self.delete_abandoned_batches().await;
        }
        self.batch = opened;
    }

    pub(super) async fn delete_abandoned_batches(&mut self) {
        self.shop.tickets.delete_abandoned_batches().await.unwrap();
    }
}
