//! Stages batches of listings step by step, as the service does within one request.

use model::{
    Moment,
    ids::{BatchId, EventId, TicketId, UserId},
    money::{Currency, MinorUnits},
};
use platform::{
    db::{Conn, Db},
    outbox::{self, DomainEvent, EventType},
};
use shop::tickets::{
    State, TicketRow,
    batches::{self, Batch},
    store,
};
use std::{future::Future, pin::Pin};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Offer {
    pub seller: UserId,
    pub event: EventId,
    pub currency: Currency,
    pub price_minor: i64,
}

/// An open batch with the tickets that are not staged yet.
#[derive(Debug, Clone)]
pub struct Staging {
    pub batch: Batch,
    offer: Offer,
    left: Vec<TicketId>,
}

type Written<'c> = Pin<Box<dyn Future<Output = Result<bool, sqlx::Error>> + Send + 'c>>;

async fn write<F>(db: &Db, work: F) -> bool
where
    F: for<'c> FnOnce(&'c mut Conn) -> Written<'c> + Send + 'static,
{
    db.write(work).await.unwrap()
}

/// Opens a batch. Returns `None` if the seller has an open one.
pub async fn open(db: &Db, offer: Offer, quantity: i64, now: Moment) -> Option<Staging> {
    let left: Vec<TicketId> = (0..quantity).map(|_| TicketId(Uuid::now_v7())).collect();
    let batch = Batch {
        id: BatchId(Uuid::now_v7()),
        seller: offer.seller,
        event: offer.event,
        quantity,
        span: (left[0], left[left.len() - 1]),
    };
    let opened = batch.clone();
    let is_open = write(db, move |conn| {
        Box::pin(async move { batches::open(conn, &opened, now).await })
    });
    is_open.await.then_some(Staging { batch, offer, left })
}

impl Staging {
    /// Stages the next `count` tickets. False: the batch was abandoned.
    pub async fn stage(&mut self, db: &Db, count: usize, now: Moment) -> bool {
        let ids = self.left.drain(..count);
        let rows: Vec<TicketRow> = ids.map(|id| self.offer.row(id)).collect();
        let created = rows
            .iter()
            .map(|row| row.event(EventType::TicketCreated, now));
        let created: Vec<DomainEvent> = created.collect();
        let id = self.batch.id;
        write(db, move |conn| {
            Box::pin(async move {
                let count = rows.len().try_into().unwrap();
                if !batches::stage(conn, id, count, now).await? {
                    return Ok(false);
                }
                store::insert(conn, &rows, Some(id), now).await?;
                outbox::append_staged(conn, now, id, &created).await?;
                Ok(true)
            })
        })
        .await
    }

    /// The next ticket to stage.
    pub fn next(&self) -> Option<TicketId> {
        self.left.first().copied()
    }

    pub async fn publish(&self, db: &Db) -> bool {
        let id = self.batch.id;
        write(db, move |conn| {
            Box::pin(async move { batches::publish(conn, id).await })
        })
        .await
    }

    pub async fn abandon(&self, db: &Db, now: Moment) -> bool {
        let id = self.batch.id;
        write(db, move |conn| {
            Box::pin(async move { batches::abandon(conn, id, now).await })
        })
        .await
    }
}

impl Offer {
    fn row(&self, id: TicketId) -> TicketRow {
        TicketRow {
            id,
            event_id: self.event,
            seller_id: self.seller,
            owner_id: None,
            section: Some("Stalls".to_owned()),
            row: None,
            seat: None,
            price_minor: MinorUnits::new(self.price_minor),
            face_value_minor: None,
            currency: self.currency,
            state: State::Listed,
            held_by: None,
            held_until: Moment::EPOCH,
            version: 1,
        }
    }
}
