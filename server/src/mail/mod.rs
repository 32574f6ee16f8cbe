//! Mails: who is told what, and when.
//!
//! Owns the tables `mails` and `mail_turns`. A mail is a row written in the transaction that it tells of; it is
//! composed and sent afterwards, again and again until it is taken, so that a crash loses none.
//! What a mail tells of is decided elsewhere.
//!
//! `mailer.rs` takes the rows that are due, `compose.rs` looks up what each tells of, `letters.rs`
//! has the words (`account.rs` and `factor.rs` both, for the letters about an account, `waiting.rs` for those
//! about the waiting list, `changed.rs` for those about a changed event), `page.rs` makes text of them and
//! `html.rs` HTML, `transport.rs` brings them away.

mod account;
mod changed;
mod compose;
mod factor;
mod html;
mod letters;
mod mailer;
mod page;
mod store;
mod transport;
mod waiting;

use crate::{accounts, db::Conn};
use model::{
    Moment,
    ids::{IncidentId, UserId},
};
use std::{fmt, time::Duration};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

pub use account::password_changed;
pub use compose::{Letterhead, Outgoing, default_sender, sender};
pub use factor::{FactorChange, factor_changed};
pub use mailer::{MAIL_EVERY, Mailer};
pub use store::{
    mails_drop_to as drop_all_to, tickets_send_again as queue_tickets_again,
    turns_delete_old as forget_turns,
};
pub use transport::{Blame, Folder, NoSmtpAddress, SendError, Smtp, Transport};

/// An address that nobody has proved gets one mail of a kind in so long, but for those about what was
/// paid.
pub const RARELY: Duration = Duration::from_hours(1);

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
    /// To an address that is to be confirmed. Subject: see `waiting::store::mail_insert`, as of the
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

/// For so long an incident waits for others to be told of in the same mail.
const ATTENTION_WAITS: Duration = Duration::from_secs(30);

/// Writes down that the operators are to be told of an incident, together with others that are
/// opened within half a minute.
pub async fn queue_attention(
    conn: &mut Conn,
    incident: IncidentId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let (kind, due_at) = (Kind::Attention, now + ATTENTION_WAITS);
    store::mail_insert(conn, kind, &incident.to_string(), now, due_at).await
}

/// As [`queue`] for the address with this key. If nobody has proved it, it gets one mail of a kind an
/// hour. Returns false if it has had that.
pub async fn queue_rarely(
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

/// As [`queue_rarely`], for the address of this user. Nothing happens if they have left.
pub async fn queue_rarely_to(
    conn: &mut Conn,
    kind: Kind,
    subject: impl fmt::Display,
    user: UserId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    if let Some(user) = accounts::store::user_find(&mut *conn, user).await? {
        let key = accounts::email_key(&user.email);
        queue_rarely(conn, kind, subject, &key, now).await?;
    }
    Ok(())
}

/// As [`queue_rarely`], but a mail that comes too early is sent later, and none is left out.
pub async fn queue_in_turn(
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
