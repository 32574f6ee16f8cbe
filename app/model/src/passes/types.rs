//! The types of passes for pages and the REST API.

use crate::{
    accounts::Viewer,
    events::Event,
    ids::{EventId, OrderId, TicketId},
    money::Money,
    order_link::OrderLink,
    qr::Qr,
};
use serde::{Deserialize, Serialize};

/// The pass of one ticket. It exists while the ticket is paid and belongs to its buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    pub ticket: TicketId,
    pub order: OrderId,
    /// Section, row and seat.
    pub label: String,
    /// The price that was paid.
    pub price: Money,
    pub seller_name: String,
    /// The signed text in the QR code.
    pub text: String,
    pub qr: Qr,
}

/// Selects the tickets of an order by the caller's authorization.
#[derive(Debug, Clone)]
pub enum TicketsOf {
    /// The order of this buyer.
    Buyer(Viewer, OrderId),
    /// The order of a mailed link.
    Link(OrderLink),
}

/// An order as a mailed link shows it: its tickets, without payment or account data.
#[derive(Debug, Clone)]
pub struct LinkedOrder {
    pub order: OrderId,
    pub event: Event,
    /// The buyer's name, as printed on the tickets.
    pub holder: String,
    /// The passes of tickets that still belong to the buyer, by section, row and seat.
    pub passes: Vec<Pass>,
    /// The number of refunded tickets.
    pub refunded: usize,
    /// The number of frozen tickets, which have no pass.
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

/// The status of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PassStatus {
    /// It admits its holder.
    Valid,
    /// The ticket was refunded, and may belong to another buyer by now.
    Refunded,
    /// Its payment is disputed: it admits no one until the dispute is settled.
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
    /// The result for a pass that this shop has not signed.
    pub const UNKNOWN: Self = Self {
        status: PassStatus::Unknown,
        ticket_id: None,
        event_id: None,
        order_id: None,
        label: None,
    };
}
