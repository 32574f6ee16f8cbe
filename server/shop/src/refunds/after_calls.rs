//! Changes refunds after calls to the provider: implements the trait of `payments`.

use super::{store, transitions};
use crate::payments::{Refunding, gateway::Refunded, store::PaymentRow};
use async_trait::async_trait;
use model::{
    Moment,
    ids::{OrderId, RefundId},
    money::MinorUnits,
};
use platform::{
    db::{Conn, Db},
    fault::FaultResult,
};

/// The transitions of `transitions.rs`.
pub(crate) struct AfterCalls;

#[async_trait]
impl Refunding for AfterCalls {
    async fn apply(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refunded: &Refunded,
        now: Moment,
    ) -> FaultResult<()> {
        transitions::apply(conn, payment, refunded, now).await
    }

    async fn refused(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refund: RefundId,
        error: &str,
        now: Moment,
    ) -> FaultResult<()> {
        transitions::refused(conn, payment, refund, error, now).await
    }

    async fn begin_for_nothing(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        amount_minor: MinorUnits,
        now: Moment,
    ) -> FaultResult<()> {
        transitions::begin_for_nothing(conn, payment, amount_minor, now).await
    }

    async fn states(&self, db: &Db, order: OrderId) -> FaultResult<Vec<(RefundId, &'static str)>> {
        let refunds = store::refunds_of_order(db.reads(), order).await?;
        let states = refunds
            .iter()
            .map(|refund| (refund.id, refund.state.into()));
        Ok(states.collect())
    }
}
