//! The timeline of an order, shown to its buyer on the order's page and to operators by `stagedoor story`.
//!
//! Read-only: derives it from the rows of orders, payments and refunds. Owns no table.

pub mod timeline;

use crate::orders;
use async_trait::async_trait;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult},
    ids::OrderId,
    orders::{OrderHistory, Timeline},
};
use platform::{db::Db, fault::FaultResult};

#[derive(Clone)]
pub(crate) struct HistoryService {
    db: Db,
}

impl HistoryService {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    async fn get_timeline(&self, viewer: &Viewer, id: OrderId) -> FaultResult<Timeline> {
        let order = orders::store::find(self.db.reads(), id).await?;
        if order.is_none_or(|order| order.buyer != viewer.user.id) {
            return Err(AppError::NotFound.into());
        }
        let moments = timeline::list(self.db.reads(), id).await?;
        Ok(Timeline { moments })
    }
}

#[async_trait]
impl OrderHistory for HistoryService {
    async fn get_timeline(&self, viewer: &Viewer, id: OrderId) -> AppResult<Timeline> {
        Ok(self.get_timeline(viewer, id).await?)
    }
}
