//! The mailed link to the tickets of one order.

use serde::Deserialize;
use std::fmt;

/// The secret in a mailed link that shows an order's tickets. Anyone who has it can use the tickets, so `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct OrderLink(pub String);

impl fmt::Debug for OrderLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderLink(…)")
    }
}
