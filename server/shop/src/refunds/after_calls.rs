//! Implements the trait of `payments` by which the provider's answers change refunds.

use super::{store, transitions};
use crate::payments::{RefundTransitions, gateway::ProviderRefund, store::PaymentRow};
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

/// Calls the functions of `transitions.rs`.
pub(crate) struct Transitions;

#[async_trait]
impl RefundTransitions for Transitions {
    async fn apply(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refunded: &ProviderRefund,
        now: Moment,
    ) -> FaultResult<()> {
        transitions::apply(conn, payment, refunded, now).await
    }

    async fn fail_refused(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refund: RefundId,
        error: &str,
        now: Moment,
    ) -> FaultResult<()> {
        transitions::fail_refused(conn, payment, refund, error, now).await
    }

    async fn begin_unallocated(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        amount_minor: MinorUnits,
        now: Moment,
    ) -> FaultResult<()> {
        transitions::begin_unallocated(conn, payment, amount_minor, now).await
    }

    async fn list_states(
        &self,
        db: &Db,
        order: OrderId,
    ) -> FaultResult<Vec<(RefundId, &'static str)>> {
        let refunds = store::list_for_order(db.reads(), order).await?;
        let states = refunds
            .iter()
            .map(|refund| (refund.id, refund.state.into()));
        Ok(states.collect())
    }
}
