//! Issues passes and checks them. Does not record admissions.

use super::{
    Booklet, booklet, link,
    pass::UnverifiedPass,
    render_calendar, render_pdf,
    store::{self, HeldBy},
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

/// The most passes that one call returns.
const PASSES_MAX: i64 = 200;
/// How long after the event a mailed link still shows its tickets.
const LINK_AFTER_SECONDS: i64 = 30 * 24 * 3_600;

/// Implements [`Passes`].
#[derive(Clone)]
pub(crate) struct PassesService {
    db: Db,
    clock: SharedClock,
    public_url: String,
    operators: Operators,
}

impl PassesService {
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

    /// Errors: `NotFound` unless the order is this buyer's.
    async fn require_buyer(&self, buyer: UserId, id: OrderId) -> FaultResult<()> {
        let order = orders::store::find(self.db.reads(), id).await?;
        match order {
            Some(order) if order.buyer == buyer => Ok(()),
            _ => Err(AppError::NotFound.into()),
        }
    }

    async fn find_by_link(&self, link: &OrderLink) -> FaultResult<LinkedOrder> {
        let reads = self.db.reads();
        let id = link::verify(&self.db, link).await?;
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
        let passes = booklet::list_passes(&self.db, id, now).await?;
        let (ended, frozen) = store::count_without_pass(reads, id).await?;
        Ok(LinkedOrder {
            order: id,
            event,
            holder: holder.name,
            refunded: usize::try_from(ended).unwrap_or_default(),
            frozen: usize::try_from(frozen).unwrap_or_default(),
            passes,
        })
    }

    async fn find_booklet(&self, of: TicketsOf) -> FaultResult<Booklet> {
        let linked = match of {
            TicketsOf::Buyer(viewer, order) => {
                self.require_buyer(viewer.user.id, order).await?;
                let found = Booklet::find(&self.db, order, self.clock.now()).await?;
                return found.ok_or(Fault::Refused(AppError::NotFound));
            }
            TicketsOf::Link(link) => self.find_by_link(&link).await?,
        };
        if linked.passes.is_empty() {
            return Err(AppError::NotFound.into());
        }
        Ok(Booklet {
            order: linked.order,
            event: linked.event,
            holder: linked.holder,
            passes: linked.passes,
        })
    }

    async fn check(&self, viewer: &Viewer, pass: &str) -> FaultResult<CheckedPass> {
        let unverified = UnverifiedPass::parse(pass.trim())
            .ok_or_else(|| AppError::invalid("pass", "This is no pass. One begins with SD1."))?;
        let key_id = unverified.key.text();
        let keys = secrets::list_public_keys(self.db.reads()).await?;
        let key = keys.into_iter().find(|(id, _)| *id == key_id);
        let public = key.and_then(|(_, public)| BASE64.decode(public).ok());
        let Some(claims) = public.and_then(|public| unverified.verify(&public)) else {
            return Ok(CheckedPass::UNKNOWN);
        };
        let reads = self.db.reads();
        let Some(found) = store::find_for_check(reads, &claims).await? else {
            return Ok(CheckedPass::UNKNOWN);
        };
        let checker = viewer.user.id;
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
    async fn list_for_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Pass>> {
        self.require_buyer(viewer.user.id, order).await?;
        let now = self.clock.now();
        Ok(booklet::list_passes(&self.db, order, now).await?)
    }

    async fn list_for_buyer(&self, viewer: &Viewer) -> AppResult<Vec<Pass>> {
        let now = self.clock.now();
        let held_by = HeldBy::Buyer(viewer.user.id, now);
        let rows = store::list_held(self.db.reads(), held_by, PASSES_MAX)
            .await
            .map_err(Fault::from)?;
        Ok(booklet::sign_all(&self.db, rows, now).await?)
    }

    async fn find_by_link(&self, link: &OrderLink) -> AppResult<LinkedOrder> {
        Ok(self.find_by_link(link).await?)
    }

    async fn render_pdf(&self, of: TicketsOf) -> AppResult<Vec<u8>> {
        Ok(render_pdf(&self.find_booklet(of).await?)?)
    }

    async fn render_calendar(&self, of: TicketsOf) -> AppResult<String> {
        let booklet = self.find_booklet(of).await?;
        Ok(render_calendar(
            &booklet,
            &self.public_url,
            self.clock.now().timestamp(),
        ))
    }

    async fn list_keys(&self) -> AppResult<PassKeys> {
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
        Ok(self.check(viewer, pass).await?)
    }
}
