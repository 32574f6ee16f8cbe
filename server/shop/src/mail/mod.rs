//! The queue of mails, and how they leave.
//!
//! Owns the tables `mails` and `mail_turns`, what all mails have in common (`letterhead.rs`) and the
//! transports (`transport.rs`). A feature queues a mail in the transaction that the mail is about; the mail
//! is composed and sent afterwards, and tried again until a mail server accepts it, so that a crash loses
//! none. What mails say is in `letters`; each feature decides which mails it queues. This module uses no
//! feature, so that every feature can use it.

mod letterhead;
pub mod store;
pub mod subjects;
mod transport;

use model::{Moment, ids::IncidentId};
use platform::db::Conn;
use std::{fmt, time::Duration};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

pub use letterhead::{Letterhead, default_sender, sender};
pub use store::{
    mails_drop_to as drop_all_to, mails_send_again as queue_again, turns_delete_old as forget_turns,
};
pub use subjects::{FactorChange, factor_changed, password_changed};
pub use transport::{Blame, Folder, NoSmtpAddress, Outgoing, SendError, Smtp, Transport};

/// An unverified address gets at most one mail of each kind in this time, except mails about what was
/// paid.
pub(crate) const RARELY: Duration = Duration::from_hours(1);

/// What a mail tells of; its subject is the id of the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// To the buyer: an order is paid, and here are the tickets. Subject: the order.
    OrderComplete,
    /// To the buyer: the event of their order has another title, time or place. Subject: the order and
    /// the set of changes, see `events::changes`.
    EventChanged,
    /// To the buyer: the time ran out while they paid; nothing was charged. Subject: the order.
    OrderExpired,
    /// To the buyer: money is back. Subject: the refund.
    OrderRefunded,
    /// To the buyer: a refund did not get through. Subject: the refund.
    RefundFailed,
    /// To the operators. Subject: the incident; of the mail that each operator gets, the first and
    /// the last incident that it tells of, and the operator.
    Attention,
    /// To an account's owner: the link to a new password. Subject: the request for it.
    PasswordReset,
    /// To an account's owner: there is a new password. Subject: see [`password_changed`].
    PasswordChanged,
    /// To an account's owner: something about their second factor has changed. Subject: see
    /// [`factor_changed`].
    SecondFactorChanged,
    /// To an address that is to be proved an account's. Subject: the row of `email_proofs`.
    EmailProof,
    /// To the address that an account had before. Subject: the row of `email_proofs`.
    EmailChanged,
    /// To an address that is to be confirmed. Subject: see `waiting::store::insert_mail`, as of the
    /// next two.
    WaitingConfirm,
    /// To an address that its owner put on the waiting list.
    WaitingJoined,
    /// To an address that waited: there are tickets.
    TicketsFree,
}

model::text_columns!(Kind);

impl Kind {
    /// As it is written down.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Writes a mail down to be sent, once for each kind and subject. For mails about what was paid, and to
/// addresses that are proved; others are sent rarely ([`queue_rarely`]).
pub async fn queue(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    now: Moment,
) -> Result<(), sqlx::Error> {
    store::mail_insert(conn, kind, &subject.to_string(), now, now).await
}

/// How long an incident waits for others, so that one mail is about all of them.
const ATTENTION_WAITS: Duration = Duration::from_secs(30);

/// Queues a mail to the operators about an incident, together with others that are opened within half a
/// minute.
pub(crate) async fn queue_attention(
    conn: &mut Conn,
    incident: IncidentId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let (kind, due_at) = (Kind::Attention, now + ATTENTION_WAITS);
    store::mail_insert(conn, kind, &incident.to_string(), now, due_at).await
}

/// As [`queue`] for the address with this key. An unverified address gets one mail of each kind an hour.
/// Returns false if it has had that mail.
pub(crate) async fn queue_rarely(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    email_key: &str,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    if !store::is_proved(conn, email_key).await?
        && !store::turn_take(conn, email_key, kind, now).await?
    {
        return Ok(false);
    }
    queue(conn, kind, subject, now).await?;
    Ok(true)
}

/// As [`queue_rarely`], but a mail that comes too early is sent later, and none is left out.
pub(crate) async fn queue_in_turn(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    email_key: &str,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let due_at = if store::is_proved(conn, email_key).await? {
        now
    } else {
        store::turn_wait(conn, email_key, kind, now).await?
    };
    store::mail_insert(conn, kind, &subject.to_string(), now, due_at).await
}
