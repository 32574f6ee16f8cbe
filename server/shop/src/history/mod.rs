//! The history of an order: what its buyer sees below it, and an operator in `stagedoor story`.
//!
//! Reads what orders, payments and refunds have written. Owns no table and changes nothing.

pub mod timeline;

use crate::orders::store::order_find;
use async_trait::async_trait;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult},
    ids::OrderId,
    orders::{OrderHistory, Timeline},
};
use platform::{db::Db, fault::FaultResult};

/// Reads histories.
#[derive(Clone)]
pub(crate) struct HistoryService {
    db: Db,
}

impl HistoryService {
    /// Histories of the orders in `db`.
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    async fn read(&self, viewer: &Viewer, id: OrderId) -> FaultResult<Timeline> {
        let order = order_find(self.db.reads(), id).await?;
        if order.is_none_or(|order| order.buyer != viewer.user.id) {
            return Err(AppError::NotFound.into());
        }
        let moments = timeline::entries(self.db.reads(), id).await?;
        Ok(Timeline { moments })
    }
}

#[async_trait]
impl OrderHistory for HistoryService {
    async fn timeline(&self, viewer: &Viewer, id: OrderId) -> AppResult<Timeline> {
        Ok(self.read(viewer, id).await?)
    }
}
