//! Handing out passes, and checking them.

use super::{
    Booklet, booklet, calendar, keys,
    pass::Unchecked,
    pdf,
    store::{self, Whose},
};
use crate::{
    accounts,
    clock::SharedClock,
    db::Db,
    fault::{Fault, FaultResult},
    orders,
};
use app::{
    accounts::Viewer,
    error::{AppError, AppResult},
    ids::{OrderId, UserId},
    passes::{CheckedPass, Pass, PassKeys, PassStatus, Passes},
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};

/// The most passes on one page.
const PASSES_MAX: i64 = 200;
/// How long after its beginning an event's passes are still shown among one's tickets.
const SHOWN_AFTER_MICROS: i64 = 12 * 3_600 * 1_000_000;

/// The rules of passes.
#[derive(Clone)]
pub struct PassesService {
    db: Db,
    clock: SharedClock,
    public_url: String,
}

impl PassesService {
    /// Passes over `db`, of the shop at `public_url`.
    pub fn new(db: Db, clock: SharedClock, public_url: String) -> Self {
        Self {
            db,
            clock,
            public_url,
        }
    }

    async fn own(&self, buyer: UserId, id: OrderId) -> FaultResult<()> {
        let order = orders::store::order_find(self.db.reads(), id).await?;
        match order {
            Some(order) if order.buyer == buyer => Ok(()),
            _ => Err(AppError::NotFound.into()),
        }
    }

    async fn own_booklet(&self, buyer: UserId, id: OrderId) -> FaultResult<Booklet> {
        self.own(buyer, id).await?;
        let found = Booklet::find(&self.db, id, self.clock.now_micros()).await?;
        found.ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn checked(&self, checker: UserId, text: &str) -> FaultResult<CheckedPass> {
        let unchecked = Unchecked::read(text.trim())
            .ok_or_else(|| AppError::invalid("pass", "This is no pass. One begins with SD1."))?;
        let named = unchecked.key.text();
        let keys = store::keys_public(self.db.reads()).await?;
        let key = keys.into_iter().find(|(id, _)| *id == named);
        let public = key.and_then(|(_, public)| BASE64.decode(public).ok());
        let Some(claims) = public.and_then(|public| unchecked.verify(&public)) else {
            return Ok(CheckedPass::UNKNOWN);
        };
        let reads = self.db.reads();
        let Some(found) = store::checkable(reads, &claims).await? else {
            return Ok(CheckedPass::UNKNOWN);
        };
        let may = found.seller == checker
            || found.creator == checker
            || accounts::is_operator(reads, checker).await?;
        if !may {
            return Err(AppError::Forbidden.into());
        }
        Ok(CheckedPass {
            status: if found.held {
                PassStatus::Valid
            } else {
                PassStatus::Refunded
            },
            ticket_id: Some(claims.ticket),
            event_id: Some(claims.event),
            order_id: Some(claims.order),
            label: Some(found.label),
        })
    }
}

#[async_trait]
impl Passes for PassesService {
    async fn of_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Pass>> {
        self.own(viewer.user.id, order).await?;
        let now = self.clock.now_micros();
        Ok(booklet::of_order(&self.db, order, now).await?)
    }

    async fn of_buyer(&self, viewer: &Viewer) -> AppResult<Vec<Pass>> {
        let now = self.clock.now_micros();
        let whose = Whose::Buyer(viewer.user.id, now - SHOWN_AFTER_MICROS);
        let rows = store::held(self.db.reads(), whose, PASSES_MAX)
            .await
            .map_err(Fault::from)?;
        Ok(booklet::sign(&self.db, rows, now).await?)
    }

    async fn pdf(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<u8>> {
        Ok(pdf(&self.own_booklet(viewer.user.id, order).await?)?)
    }

    async fn calendar(&self, viewer: &Viewer, order: OrderId) -> AppResult<String> {
        let booklet = self.own_booklet(viewer.user.id, order).await?;
        Ok(calendar(&booklet, &self.public_url, self.clock.now()))
    }

    async fn keys(&self) -> AppResult<PassKeys> {
        Ok(keys::public(&self.db, self.clock.now_micros()).await?)
    }

    async fn check(&self, viewer: &Viewer, pass: &str) -> AppResult<CheckedPass> {
        Ok(self.checked(viewer.user.id, pass).await?)
    }
}
