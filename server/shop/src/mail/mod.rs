//! The queue of mails, and the transports that send them.
//!
//! Owns the tables `mails` and `mail_turns`, the formats of subjects (`subjects.rs`), the sender and origin
//! of all mails (`letterhead.rs`) and the transports (`transport.rs`). A feature queues a mail in the
//! transaction that the mail is about; the mail is composed and sent afterwards, and retried until a mail
//! server accepts it, so that a crash loses none. The contents of mails are in `letters`; each feature
//! decides which mails it queues. This module uses no feature, so that every feature can use it.

mod letterhead;
pub(crate) mod store;
pub(crate) mod subjects;
mod transport;

use model::{Moment, ids::IncidentId};
use platform::db::Conn;
use std::{fmt, time::Duration};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

pub use letterhead::{Letterhead, default_sender, sender};
pub(crate) use store::{erase_for_user, queue_again};

pub use store::delete_old_turns;
pub use transport::{Folder, Outgoing, SendError, SendFailure, Smtp, SmtpUrlError, Transport};

/// The shortest time between two mails of one kind to an unverified address, except mails about payments.
pub(crate) const UNVERIFIED_INTERVAL: Duration = Duration::from_hours(1);

/// What a mail is about. The subject of a mail is the id of the thing, unless stated otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// To the buyer: the order is paid; has the tickets. Subject: the order.
    OrderComplete,
    /// To the buyer: the event of their order has another title, time or place. Subject: the order and
    /// the set of changes, see `events::changes`.
    EventChanged,
    /// To the buyer: the hold ended during payment; nothing was charged. Subject: the order.
    OrderExpired,
    /// To the buyer: a refund succeeded. Subject: the refund.
    OrderRefunded,
    /// To the buyer: a refund failed. Subject: the refund.
    RefundFailed,
    /// To the operators. Subject: the incident; once addressed to one operator, see
    /// [`subjects::format_attention`].
    Attention,
    /// To an account's owner: the link that resets the password. Subject: the row of `password_resets`.
    PasswordReset,
    /// To an account's owner: the password was changed. Subject: see
    /// [`subjects::format_password_changed`].
    PasswordChanged,
    /// To an account's owner: their second factor was changed. Subject: see
    /// [`subjects::format_factor_changed`].
    SecondFactorChanged,
    /// To an address to verify. Subject: the row of `email_proofs`.
    EmailProof,
    /// To the previous address of an account. Subject: the row of `email_proofs`.
    EmailChanged,
    /// To an address to confirm for the waiting list. Subject: see `waiting::store::insert_mail`, also for
    /// the next two.
    WaitingConfirm,
    /// To an address that was put on the waiting list by its owner.
    WaitingJoined,
    /// To an address on the waiting list: tickets are for sale.
    TicketsFree,
}

model::text_columns!(Kind);

impl Kind {
    /// The name in the database, logs and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Queues a mail, once for each kind and subject. For mails about payments and to verified addresses; for
/// others use [`queue_or_skip`].
pub async fn queue(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    now: Moment,
) -> Result<(), sqlx::Error> {
    store::insert(conn, kind, &subject.to_string(), now, now).await
}

/// How long a mail about an incident is delayed, so that it also covers incidents opened meanwhile.
const ATTENTION_DELAY: Duration = Duration::from_secs(30);

/// Queues a mail to the operators about an incident. Incidents opened within 30 seconds share one mail.
pub(crate) async fn queue_attention(
    conn: &mut Conn,
    incident: IncidentId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let (kind, due_at) = (Kind::Attention, now + ATTENTION_DELAY);
    store::insert(conn, kind, &incident.to_string(), now, due_at).await
}

/// As [`queue`], but an unverified address gets at most one mail of each kind per hour. Returns false if
/// the mail was skipped for that reason.
pub(crate) async fn queue_or_skip(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    email_key: &str,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    if !store::is_verified(conn, email_key).await?
        && !store::take_turn(conn, email_key, kind, now).await?
    {
        return Ok(false);
    }
    queue(conn, kind, subject, now).await?;
    Ok(true)
}

/// As [`queue_or_skip`], but delays a mail that would be skipped.
pub(crate) async fn queue_or_delay(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    email_key: &str,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let due_at = if store::is_verified(conn, email_key).await? {
        now
    } else {
        store::schedule_turn(conn, email_key, kind, now).await?
    };
    store::insert(conn, kind, &subject.to_string(), now, due_at).await
}
