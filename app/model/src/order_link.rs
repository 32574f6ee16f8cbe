//! The link to the tickets of one order, as mails carry it.

use serde::Deserialize;
use std::fmt;

/// What the link in a mail carries to open an order's tickets. Whoever has it has the tickets; its
/// `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct OrderLink(pub String);

impl fmt::Debug for OrderLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderLink(…)")
    }
}
