//! The functions of refunds that payments call. `payments` does not import `refunds`; `state.rs` passes
//! the implementation to the [`Engine`](super::Engine).

use super::{gateway::Refunded, store::PaymentRow};
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

/// The transitions of refunds that follow from calls to the provider. Each runs in the caller's
/// transaction, which has locked the payment's tickets and order.
#[async_trait]
pub trait Refunding: Send + Sync {
    /// Brings a refund up to what the provider says of it; one that the shop does not know was made
    /// at the provider.
    async fn apply(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refunded: &Refunded,
        now: Moment,
    ) -> FaultResult<()>;

    /// The provider refused to make this refund.
    async fn refused(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        refund: RefundId,
        error: &str,
        now: Moment,
    ) -> FaultResult<()>;

    /// Begins to pay back what was captured although no order stands for it.
    async fn begin_for_nothing(
        &self,
        conn: &mut Conn,
        payment: &PaymentRow,
        amount_minor: MinorUnits,
        now: Moment,
    ) -> FaultResult<()>;

    /// The refunds of an order, each with its state.
    async fn states(&self, db: &Db, order: OrderId) -> FaultResult<Vec<(RefundId, &'static str)>>;
}
