//! Voids the payment of an order whose hold has ended: implements the trait of `orders`.

use super::{effects, store};
use crate::orders::transitions::PaymentVoid;
use async_trait::async_trait;
use model::{Moment, ids::OrderId};
use platform::db::Conn;
use std::sync::Arc;
use tokio::sync::Notify;

/// Moves payments to `voiding` and inserts the calls.
pub struct PaymentVoider {
    calls_wait: Arc<Notify>,
}

impl PaymentVoider {
    /// `calls_wait` wakes the [`Engine`](super::Engine), which makes the calls.
    pub fn new(calls_wait: Arc<Notify>) -> Self {
        Self { calls_wait }
    }
}

#[async_trait]
impl PaymentVoid for PaymentVoider {
    async fn void(
        &self,
        conn: &mut Conn,
        order: OrderId,
        now: Moment,
    ) -> Result<bool, sqlx::Error> {
        let Some(payment) = store::mark_voiding(conn, order).await? else {
            return Ok(false);
        };
        effects::insert_void(conn, payment, now).await?;
        Ok(true)
    }

    fn send_soon(&self) {
        self.calls_wait.notify_one();
    }
}
