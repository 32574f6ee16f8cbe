//! Typed identifiers. A `TicketId` cannot be passed where an `OrderId` is meant.
//!
//! All are UUIDs (version 7 where the server makes them, so they sort by time). They name
//! things; they are not secrets.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = Uuid))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Its end, which is the part that differs, for people to read out: `7F3A-92C1`.
            pub fn code(self) -> String {
                let end = self.0.as_u128() & 0xffff_ffff;
                format!("{:04X}-{:04X}", end >> 16, end & 0xffff)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }

        #[cfg(feature = "sqlx")]
        crate::text_columns!($name);
    )+};
}

id!(
    /// A person with an account.
    UserId,
    /// An event that tickets are listed for.
    EventId,
    /// One listed ticket.
    TicketId,
    /// One purchase of 1 to 8 tickets.
    OrderId,
    /// One payment of an order.
    PaymentId,
    /// One refund of a payment.
    RefundId,
    /// A session of a user. It names the session and does not authenticate.
    SessionId,
    /// A batch of tickets that is being listed.
    BatchId,
    /// A place on a waiting list.
    WaitingId,
    /// A change of an event; its buyers are notified by mail.
    EventChangeId,
    /// A call of the payment provider.
    EffectId,
    /// A mailed link that verifies an address or sets a password.
    ProofId,
    /// A mail in the queue.
    MailId,
    /// A domain event in the outbox.
    OutboxId,
    /// An incident.
    IncidentId,
    /// A mail about a place on a waiting list.
    WaitingMailId,
);
