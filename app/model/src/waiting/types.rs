//! Wire types of waiting lists.

use crate::ids::EventId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the link in a mail carries. Its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(transparent)]
pub struct WaitingToken(pub String);

impl fmt::Debug for WaitingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitingToken(…)")
    }
}

/// What waiting for tickets takes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinWaitingList {
    /// The address to mail to. May be missing if the caller is signed in: then it is the account's address.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 254))]
    pub email: Option<String>,
    /// How many tickets there should be: 1 to 8; 1 if missing.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 8))]
    pub quantity: Option<i64>,
}

/// What came of asking. Says nothing of whether the address was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// True: it is one's own address, which is on the list. False: unless it is on the list already,
    /// the address has to be confirmed first, by the link that is mailed to it.
    pub confirmed: bool,
}

/// What the link in a mail is used for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ByLink {
    /// From the link.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 256))]
    pub token: WaitingToken,
}

/// The state of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum WaitingState {
    /// The address has not been confirmed yet, so the entry does not count.
    Asked,
    /// The entry waits for tickets.
    Waiting,
    /// A mail about available tickets was sent, and the entry no longer waits.
    Told,
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// For tickets to this event.
    pub event_id: EventId,
    /// Which is called so.
    pub event_title: String,
    /// The address to mail to.
    pub email: String,
    /// How many tickets there should be.
    pub quantity: i64,
    /// The state of the entry.
    pub state: WaitingState,
    /// Since when it has waited, or when it was requested if the address is not confirmed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
}

impl Waiting {
    /// What it waits for, in words: `there are 2 tickets`.
    pub fn wanted(&self) -> String {
        match self.quantity {
            1 => "there is a ticket".to_owned(),
            many => format!("there are {many} tickets"),
        }
    }
}
