//! The transitions of refunds that payments call. `payments` does not import `refunds`; `wiring.rs` passes
//! the implementation to the [`Engine`](super::Engine).

use super::{gateway::ProviderRefund, store::PaymentRow};
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

/// Transitions of refunds caused by the provider's answers. Each runs in the caller's transaction, which
/// has locked the payment's tickets and order.
#[async_trait]
pub trait RefundTransitions: Send + Sync {
    /// Applies the provider's report of a refund. An unknown refund was made at the provider.
    async fn apply(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refunded: &ProviderRefund,
        now: Moment,
    ) -> FaultResult<()>;

    /// Ends a refund that the provider refused.
    async fn fail_refused(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refund: RefundId,
        error: &str,
        now: Moment,
    ) -> FaultResult<()>;

    /// Begins to refund money that was captured without an order behind the fence.
    async fn begin_unallocated(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        amount_minor: MinorUnits,
        now: Moment,
    ) -> FaultResult<()>;

    /// Lists the refunds of an order with their states, oldest first.
    async fn list_states(
        &self,
        db: &Db,
        order: OrderId,
    ) -> FaultResult<Vec<(RefundId, &'static str)>>;
}
