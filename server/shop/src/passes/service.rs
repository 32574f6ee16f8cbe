//! Handing out passes, and checking them.

use super::{
    Booklet, booklet, calendar, link,
    pass::Unchecked,
    pdf,
    store::{self, Whose},
};
use crate::{
    accounts::{self, Operators},
    events,
    orders::{self, State},
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult},
    ids::{OrderId, UserId},
    order_link::OrderLink,
    passes::{CheckedPass, LinkedOrder, Pass, PassKey, PassKeys, PassStatus, Passes, TicketsOf},
};
use platform::{
    clock::SharedClock,
    db::Db,
    fault::{Fault, FaultResult},
    secrets::{self, keys},
};

/// The most passes on one page.
const PASSES_MAX: i64 = 200;
/// How long after its event is over a mailed link shows its tickets: for who looks them up.
const LINK_AFTER_SECONDS: i64 = 30 * 24 * 3_600;

/// The rules of passes.
#[derive(Clone)]
pub(crate) struct PassesService {
    db: Db,
    clock: SharedClock,
    public_url: String,
    operators: Operators,
}

impl PassesService {
    /// Passes over `db`, of the shop at `public_url`.
    pub(crate) fn new(
        db: Db,
        clock: SharedClock,
        public_url: String,
        operators: Operators,
    ) -> Self {
        Self {
            db,
            clock,
            public_url,
            operators,
        }
    }

    async fn own(&self, buyer: UserId, id: OrderId) -> FaultResult<()> {
        let order = orders::store::find(self.db.reads(), id).await?;
        match order {
            Some(order) if order.buyer == buyer => Ok(()),
            _ => Err(AppError::NotFound.into()),
        }
    }

    async fn own_booklet(&self, buyer: UserId, id: OrderId) -> FaultResult<Booklet> {
        self.own(buyer, id).await?;
        let found = Booklet::find(&self.db, id, self.clock.now()).await?;
        found.ok_or(Fault::Refused(AppError::NotFound))
    }

    /// What a mailed link shows: nothing to whom it was not signed for, nor where the order was never
    /// paid, its buyer has left, or the event is long over.
    async fn linked(&self, link: &OrderLink) -> FaultResult<LinkedOrder> {
        let reads = self.db.reads();
        let id = link::order_of(&self.db, link).await?;
        let id = id.ok_or(AppError::NotFound)?;
        let order = orders::store::find(reads, id).await?;
        let order = order.ok_or(AppError::NotFound)?;
        let holder = accounts::store::find(reads, order.buyer).await?;
        let event = events::store::find(reads, order.event).await?;
        let (Some(holder), Some(event)) = (holder, event) else {
            return Err(AppError::NotFound.into());
        };
        let event = event.event(events::store::Stock::default());
        let now = self.clock.now();
        let last = Moment::from(event.span().last_moment());
        let paid = matches!(
            order.state,
            State::Complete | State::Refunding | State::Refunded
        );
        if !paid || now.seconds() > last.seconds() + LINK_AFTER_SECONDS {
            return Err(AppError::NotFound.into());
        }
        let passes = booklet::of_order(&self.db, id, now).await?;
        let (ended, frozen) = store::without_pass(reads, id).await?;
        Ok(LinkedOrder {
            order: id,
            event,
            holder: holder.name,
            refunded: usize::try_from(ended).unwrap_or_default(),
            frozen: usize::try_from(frozen).unwrap_or_default(),
            passes,
        })
    }

    async fn booklet(&self, of: TicketsOf) -> FaultResult<Booklet> {
        let booklet = match of {
            TicketsOf::Buyer(viewer, order) => {
                return self.own_booklet(viewer.user.id, order).await;
            }
            TicketsOf::Link(link) => self.linked(&link).await?,
        };
        if booklet.passes.is_empty() {
            return Err(AppError::NotFound.into());
        }
        Ok(Booklet {
            order: booklet.order,
            event: booklet.event,
            holder: booklet.holder,
            passes: booklet.passes,
        })
    }

    async fn checked(&self, checker: UserId, text: &str) -> FaultResult<CheckedPass> {
        let unchecked = Unchecked::read(text.trim())
            .ok_or_else(|| AppError::invalid("pass", "This is no pass. One begins with SD1."))?;
        let named = unchecked.key.text();
        let keys = secrets::list_public_keys(self.db.reads()).await?;
        let key = keys.into_iter().find(|(id, _)| *id == named);
        let public = key.and_then(|(_, public)| BASE64.decode(public).ok());
        let Some(claims) = public.and_then(|public| unchecked.verify(&public)) else {
            return Ok(CheckedPass::UNKNOWN);
        };
        let reads = self.db.reads();
        let Some(found) = store::checkable(reads, &claims).await? else {
            return Ok(CheckedPass::UNKNOWN);
        };
        if found.seller != checker && found.creator != checker {
            let standing = self.operators.status_of(reads, checker).await?;
            if !standing.may_act() {
                return Err(standing.refusal(AppError::Forbidden).into());
            }
        }
        Ok(CheckedPass {
            status: match (found.held.0, found.frozen.0) {
                (true, false) => PassStatus::Valid,
                (true, true) => PassStatus::Frozen,
                (false, _) => PassStatus::Refunded,
            },
            ticket_id: Some(claims.ticket),
            event_id: Some(claims.event),
            order_id: Some(claims.order),
            label: Some(found.place.label()),
        })
    }
}

#[async_trait]
impl Passes for PassesService {
    async fn of_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Pass>> {
        self.own(viewer.user.id, order).await?;
        let now = self.clock.now();
        Ok(booklet::of_order(&self.db, order, now).await?)
    }

    async fn of_buyer(&self, viewer: &Viewer) -> AppResult<Vec<Pass>> {
        let now = self.clock.now();
        let whose = Whose::Buyer(viewer.user.id, now);
        let rows = store::held(self.db.reads(), whose, PASSES_MAX)
            .await
            .map_err(Fault::from)?;
        Ok(booklet::sign(&self.db, rows, now).await?)
    }

    async fn by_link(&self, link: &OrderLink) -> AppResult<LinkedOrder> {
        Ok(self.linked(link).await?)
    }

    async fn pdf(&self, of: TicketsOf) -> AppResult<Vec<u8>> {
        Ok(pdf(&self.booklet(of).await?)?)
    }

    async fn calendar(&self, of: TicketsOf) -> AppResult<String> {
        let booklet = self.booklet(of).await?;
        Ok(calendar(
            &booklet,
            &self.public_url,
            self.clock.now().timestamp(),
        ))
    }

    async fn keys(&self) -> AppResult<PassKeys> {
        let keys = keys::list_public(&self.db, self.clock.now())
            .await?
            .into_iter();
        let keys = keys.map(|(kid, x)| PassKey {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            usage: "sig",
            kid,
            x,
        });
        Ok(PassKeys {
            keys: keys.collect(),
        })
    }

    async fn check(&self, viewer: &Viewer, pass: &str) -> AppResult<CheckedPass> {
        Ok(self.checked(viewer.user.id, pass).await?)
    }
}
