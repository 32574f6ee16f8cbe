//! The data of an order's tickets for mails, PDFs and calendar files. Does not format them.

use super::{
    pass::{self, Claims},
    store::{self, HeldBy, HeldRow},
};
use crate::{accounts, events, orders, qr};
use model::{Moment, events::Event, ids::OrderId, orders::TICKETS_PER_ORDER_MAX, passes::Pass};
use platform::{
    db::Db,
    fault::{Fault, FaultResult},
    secrets::{Signer, keys},
};

/// The tickets of an order that are paid and still its buyer's: at least one.
#[derive(Debug, Clone)]
pub(crate) struct Booklet {
    pub order: OrderId,
    pub event: Event,
    /// The buyer's name.
    pub holder: String,
    /// A pass for each ticket, by section, row and seat.
    pub passes: Vec<Pass>,
}

impl Booklet {
    /// Finds an order's tickets, without authorization. Returns `None` if no ticket is its buyer's.
    pub(crate) async fn find(db: &Db, order: OrderId, now: Moment) -> FaultResult<Option<Self>> {
        let Some(row) = orders::store::find(db.reads(), order).await? else {
            return Ok(None);
        };
        let passes = list_passes(db, order, now).await?;
        let holder = accounts::store::find(db.reads(), row.buyer).await?;
        let event = events::store::find(db.reads(), row.event).await?;
        let (Some(holder), Some(event)) = (holder, event) else {
            return Ok(None);
        };
        Ok((!passes.is_empty()).then(|| Self {
            order,
            event: event.event(events::store::Stock::default()),
            holder: holder.name,
            passes,
        }))
    }
}

/// Lists the passes of an order, without authorization.
pub(crate) async fn list_passes(db: &Db, order: OrderId, now: Moment) -> FaultResult<Vec<Pass>> {
    let limit = i64::try_from(TICKETS_PER_ORDER_MAX).unwrap_or(i64::MAX);
    let rows = store::list_held(db.reads(), HeldBy::Order(order), limit).await?;
    sign_all(db, rows, now).await
}

pub(crate) async fn sign_all(db: &Db, rows: Vec<HeldRow>, now: Moment) -> FaultResult<Vec<Pass>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let signer = keys::signer(db, now).await?;
    rows.into_iter().map(|row| issue(&signer, row)).collect()
}

fn issue(signer: &Signer, row: HeldRow) -> FaultResult<Pass> {
    let claims = Claims {
        ticket: row.ticket,
        event: row.event,
        order: row.order,
        version: u32::try_from(row.version).map_err(|error| {
            Fault::unexpected("a ticket's version is too large for a pass", error)
        })?,
    };
    let text = pass::sign(signer, &claims);
    let qr = qr::render(&text)
        .map_err(|error| Fault::unexpected("a pass's QR code was not encoded", error))?;
    Ok(Pass {
        ticket: row.ticket,
        order: row.order,
        label: row.place.label(),
        price: row.price_minor.of(row.currency),
        seller_name: row.seller_name,
        text,
        qr,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use model::{
        ids::{EventId, TicketId},
        money::Money,
    };
    use uuid::Uuid;

    /// Two tickets of an invented order.
    pub(crate) fn booklet(title: &str) -> Booklet {
        let order = OrderId(Uuid::from_u128(0xa9));
        let pass = |number: u128, label: &str| Pass {
            ticket: TicketId(Uuid::from_u128(number)),
            order,
            label: label.to_owned(),
            price: Money::new(2500, "GBP".parse().unwrap()),
            seller_name: "Sally".to_owned(),
            text: format!("SD1.{number}"),
            qr: qr::render(&format!("SD1.{number}")).unwrap(),
        };
        Booklet {
            order,
            event: Event {
                id: EventId(Uuid::from_u128(7)),
                title: title.to_owned(),
                description: String::new(),
                category: model::events::Category::default(),
                venue: "Old Hall".to_owned(),
                city: "Leeds".to_owned(),
                country: "GB".to_owned(),
                starts_at: "2031-12-12T19:30:00Z".parse().unwrap(),
                ends_at: None,
                sales_until: None,
                time_zone: "Europe/London".to_owned(),
                currency: "GBP".parse().unwrap(),
                tickets_available: 0,
                price_from_minor: None,
                picture: None,
                version: 1,
            },
            holder: "Ann Ash".to_owned(),
            passes: vec![pass(1, "Stalls, Row C, Seat 12"), pass(2, "Standing")],
        }
    }
}
