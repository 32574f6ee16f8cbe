//! What a person should look at: money or calls that did not go as they should.
//!
//! Owns the table `incidents`. An incident never changes what is
//! sold or charged; it tells an operator, by mail, by `stagedoor audit` and by
//! `stagedoor incidents`. The same thing is open once, however often it is seen.

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

/// What kind of thing went wrong.
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
    /// Money was taken that no order stood for; it goes back by itself.
    UnexpectedCapture,
    /// A card was authorised for another amount than the order's; it was not charged.
    WrongAmount,
    /// Stripe refused a call as invalid, and will however often it is made.
    CallRefused,
    /// Money has been on its way for more than ten minutes.
    CaptureSlow,
    /// A refund did not reach the buyer.
    RefundFailed,
    /// A refund was made at the provider by somebody else.
    RefundElsewhere,
    /// A refund came back, and its ticket is somebody else's by then.
    TicketMovedOn,
    /// A cardholder has asked their bank for the money back; the tickets are frozen.
    DisputeOpened,
    /// The cardholder's bank has given them the money back.
    DisputeLost,
    /// The provider has a second intent for one of our payments; it is given up.
    StrayIntent,
    /// The provider has an intent that names a payment of ours, and we have no such payment.
    UnknownIntent,
    /// We have a captured payment that the provider doesn't know.
    MissingAtProvider,
    /// The provider's amounts differ from ours.
    AmountsDiffer,
    /// Two listings are of one seat: the later one came before seats were listed once.
    SeatListedTwice,
    /// Two accounts have one address, written differently.
    SameAddress,
    /// A mail about a paid order could not be delivered.
    MailUndelivered,
    /// The provider knew better and our side has caught up: settled from the first.
    Mended,
}

model::text_columns!(Kind);

/// Writes an incident down, and queues a mail to the operators about it. Nothing happens if the
/// same is open already.
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

/// Writes down that the provider knew better and our side has caught up: nothing is left to do.
pub(crate) async fn note_mended(
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

/// One incident, as an operator reads it.
#[derive(Debug, Clone, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// A [`Kind`], or one that a newer version has added.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// The order that it concerns.
    pub order_id: Option<OrderId>,
    /// In words.
    pub detail: String,
    /// When; in JSON, in microseconds.
    #[serde(serialize_with = "write_micros")]
    pub found_at: Moment,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn write_micros<S: Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(moment.micros())
}

/// What nobody has settled yet, oldest first.
pub async fn open_ones<'e>(on: impl AnyExecutor<'e>) -> Result<Vec<Incident>, sqlx::Error> {
    query_as(
        "SELECT id, kind, subject, order_id, detail, found_at FROM incidents \
         WHERE settled_at IS NULL ORDER BY id",
    )
    .fetch_all(on)
    .await
}

/// Settles an incident. False: it was not open.
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
