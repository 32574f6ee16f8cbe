//! Passes, as pages and programs see them.

use crate::{
    accounts::Viewer,
    events::Event,
    ids::{EventId, OrderId, TicketId},
    money::Money,
    order_link::OrderLink,
    qr::Qr,
};
use serde::{Deserialize, Serialize};

/// What lets the holder of one ticket in. It can be had while the ticket is paid and theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The ticket.
    pub ticket: TicketId,
    /// The order that bought it.
    pub order: OrderId,
    /// Section, row and seat.
    pub label: String,
    /// What was paid for it.
    pub price: Money,
    /// Who sold it.
    pub seller_name: String,
    /// The signed text that the code carries.
    pub text: String,
    /// The code.
    pub qr: Qr,
}

/// Which order's tickets, and who asks for them.
#[derive(Debug, Clone)]
pub enum TicketsOf {
    /// Its buyer.
    Buyer(Viewer, OrderId),
    /// Whoever has the link to it.
    Link(OrderLink),
}

/// What a mailed link shows of an order: its tickets, and nothing of the payment or the account.
#[derive(Debug, Clone)]
pub struct LinkedOrder {
    /// Which order.
    pub order: OrderId,
    /// What its tickets admit to.
    pub event: Event,
    /// The buyer's name, as it stands on the tickets.
    pub holder: String,
    /// A pass for each ticket that is still the buyer's, by section, row and seat.
    pub passes: Vec<Pass>,
    /// How many tickets have been refunded.
    pub refunded: usize,
    /// How many tickets are frozen, and have no pass while they are.
    pub frozen: usize,
}

/// A pass, for a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderPass {
    /// The ticket.
    pub ticket_id: TicketId,
    /// Section, row and seat.
    pub label: String,
    /// The signed text that the code carries.
    pub pass: String,
}

/// The passes of one order, by section, row and seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderPasses {
    /// One for each ticket that is still the buyer's.
    pub passes: Vec<OrderPass>,
}

/// The public keys, in the form of RFC 7517 and RFC 8037.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PassKeys {
    /// The one that signs first, then those that have signed before.
    pub keys: Vec<PassKey>,
}

/// One public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PassKey {
    /// `OKP`.
    pub kty: &'static str,
    /// `Ed25519`.
    pub crv: &'static str,
    /// `EdDSA`.
    pub alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// Which key, in eight hex digits: the first four bytes of a pass.
    pub kid: String,
    /// The key, 32 bytes in base64url.
    pub x: String,
}

/// What checking a pass takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckPass {
    /// The text of the code, `SD1.…`.
    pub pass: String,
}

/// How a pass stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PassStatus {
    /// It lets its holder in.
    Valid,
    /// The ticket was refunded, and may be somebody else's by now.
    Refunded,
    /// Its payment is disputed: it lets nobody in until that is settled.
    Frozen,
    /// It was not made here, or has been changed.
    Unknown,
}

/// What became of a check. All but the status is missing for an unknown pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CheckedPass {
    /// How it stands.
    pub status: PassStatus,
    /// The ticket.
    pub ticket_id: Option<TicketId>,
    /// The event that it admits to.
    pub event_id: Option<EventId>,
    /// The order that bought it.
    pub order_id: Option<OrderId>,
    /// Section, row and seat.
    pub label: Option<String>,
}

impl CheckedPass {
    /// Not made here.
    pub const UNKNOWN: Self = Self {
        status: PassStatus::Unknown,
        ticket_id: None,
        event_id: None,
        order_id: None,
        label: None,
    };
}
