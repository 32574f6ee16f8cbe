//! Mails: who is told what, and when.
//!
//! Owns the table `mails`. A mail is a row written in the transaction that it tells of; it is
//! composed and sent afterwards, again and again until it is taken, so that a crash loses none.
//! What a mail tells of is decided elsewhere.
//!
//! `mailer.rs` takes the rows that are due, `compose.rs` looks up what each tells of, `letters.rs`
//! has the words (`account.rs` both, for the letters about an account, `waiting.rs` for those about the waiting
//! list), `page.rs` makes text and HTML of them, `transport.rs` brings them away.

mod account;
mod compose;
mod letters;
mod mailer;
mod page;
mod store;
mod transport;
mod waiting;

use crate::db::Conn;
use sqlx::query;
use std::fmt::Display;
use strum::{EnumString, IntoStaticStr};
use uuid::Uuid;

pub use account::password_changed;
pub use compose::{Letterhead, Outgoing, default_sender, sender};
pub use mailer::{MAIL_EVERY, Mailer};
pub use store::mails_drop_to as drop_all_to;
pub use transport::{Folder, NoSmtpAddress, SendError, Smtp, Transport};

/// What a mail tells of; its subject is the id of the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// To the buyer: an order is paid, and here are the tickets. Subject: the order.
    OrderComplete,
    /// To the buyer: the time ran out while they paid; nothing was charged. Subject: the order.
    OrderExpired,
    /// To the buyer: money is back. Subject: the refund.
    OrderRefunded,
    /// To the buyer: a refund did not get through. Subject: the refund.
    RefundFailed,
    /// To the operators. Subject: the incident; of the mail that each operator gets, the incident
    /// and the operator.
    Attention,
    /// To an account's owner: the link to a new password. Subject: the request for it.
    PasswordReset,
    /// To an account's owner: there is a new password. Subject: see [`password_changed`].
    PasswordChanged,
    /// To an address that is to be confirmed. Subject: see `waiting::store::mail_insert`, as of the
    /// next two.
    WaitingConfirm,
    /// To an address that its owner put on the waiting list.
    WaitingJoined,
    /// To an address that waited: there are tickets.
    TicketsFree,
}

impl Kind {
    /// As it is written down.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Writes a mail down to be sent, once for each kind and subject.
pub async fn queue(
    conn: &mut Conn,
    kind: Kind,
    subject: impl Display,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO mails (id, kind, subject, state, next_at, created_at) \
         VALUES ($1, $2, $3, 'pending', $4, $4) ON CONFLICT (kind, subject) DO NOTHING",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(kind.name())
    .bind(subject.to_string())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(())
}
