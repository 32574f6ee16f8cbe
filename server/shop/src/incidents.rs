//! Incidents: problems with money or calls that an operator should examine.
//!
//! Owns the table `incidents`. An incident changes nothing that is sold or charged; it is reported by mail,
//! `stagedoor audit` and `stagedoor incidents`. One of each kind and subject is open at a time.

use crate::mail;
use model::{
    Moment,
    ids::{IncidentId, OrderId, PaymentId},
};
use platform::db::{Conn, Db};
use serde::{Serialize, Serializer};
use sqlx::{AnyExecutor, query, query_as};
use sqlx_macros::FromRow;
use std::fmt::Display;
use uuid::Uuid;

/// The kind of an incident; stored and mailed as `snake_case`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Money was captured without an order behind the fence; it is refunded automatically.
    UnexpectedCapture,
    /// A card was authorised for an amount other than the order's total; it was not charged.
    WrongAmount,
    /// Stripe refused a call permanently as invalid.
    CallRefused,
    /// A capture has taken more than ten minutes.
    CaptureSlow,
    /// A refund did not reach the buyer.
    RefundFailed,
    /// A partial refund was made at the provider.
    RefundElsewhere,
    /// A refund failed after its tickets had been listed or sold again.
    TicketMovedOn,
    /// A cardholder has asked their bank for the money back; the tickets are frozen.
    DisputeOpened,
    /// The bank has decided for the cardholder.
    DisputeLost,
    /// The provider has a second intent for one of our payments; it is voided.
    StrayIntent,
    /// The provider has an intent that names a payment that does not exist.
    UnknownIntent,
    /// A captured payment is unknown to the provider.
    MissingAtProvider,
    /// The provider's amounts differ from ours.
    AmountsDiffer,
    /// Two listings of one seat, from before the uniqueness of seats was enforced.
    SeatListedTwice,
    /// Two accounts have addresses that differ only in spelling.
    SameAddress,
    /// A mail about a paid order could not be delivered.
    MailUndelivered,
    /// A difference from the provider that was resolved automatically; settled when recorded.
    Mended,
}

model::text_columns!(Kind);

/// Opens an incident and queues a mail to the operators. Does nothing if one of the same kind and subject is
/// open.
pub async fn open(
    conn: &mut Conn,
    kind: Kind,
    subject: impl Display,
    order: Option<OrderId>,
    detail: &str,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let id = IncidentId(Uuid::now_v7());
    let subject = subject.to_string();
    let done = query(
        "INSERT INTO incidents (id, kind, subject, order_id, detail, found_at) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (kind, subject) WHERE settled_at IS NULL DO NOTHING",
    )
    .bind(id)
    .bind(kind)
    .bind(subject.clone())
    .bind(order)
    .bind(detail.to_owned())
    .bind(now)
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    tracing::error!(
        kind = <&str>::from(kind),
        subject,
        order = order.map(tracing::field::display),
        detail,
        "incident opened"
    );
    metrics::counter!("stagedoor_attention_total").increment(1);
    mail::queue_attention(conn, id, now).await
}

/// Records a difference from the provider that was resolved automatically, as a settled incident.
pub(crate) async fn insert_mended(
    conn: &mut Conn,
    payment: PaymentId,
    order: OrderId,
    detail: &str,
    now: Moment,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO incidents (id, kind, subject, order_id, detail, found_at, settled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(IncidentId(Uuid::now_v7()))
    .bind(Kind::Mended)
    .bind(payment)
    .bind(order)
    .bind(detail.to_owned())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// An incident as shown to operators.
#[derive(Debug, Clone, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    pub id: IncidentId,
    /// A [`Kind`], or one that a newer version has added.
    pub kind: String,
    /// Id of the payment, refund, intent or other object concerned.
    pub subject: String,
    pub order_id: Option<OrderId>,
    /// Description.
    pub detail: String,
    /// In JSON: microseconds since 1970.
    #[serde(serialize_with = "write_micros")]
    pub found_at: Moment,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn write_micros<S: Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(moment.micros())
}

/// Lists open incidents, oldest first.
pub async fn list_open<'e>(on: impl AnyExecutor<'e>) -> Result<Vec<Incident>, sqlx::Error> {
    query_as(
        "SELECT id, kind, subject, order_id, detail, found_at FROM incidents \
         WHERE settled_at IS NULL ORDER BY id",
    )
    .fetch_all(on)
    .await
}

/// Settles an incident. Returns false if it was not open.
pub async fn settle(db: &Db, id: IncidentId, now: Moment) -> Result<bool, sqlx::Error> {
    db.write(move |conn| {
        Box::pin(async move {
            let done =
                query("UPDATE incidents SET settled_at = $2 WHERE id = $1 AND settled_at IS NULL")
                    .bind(id)
                    .bind(now)
                    .execute(&mut *conn)
                    .await?;
            Ok(done.rows_affected() == 1)
        })
    })
    .await
}
