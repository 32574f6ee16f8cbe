//! The link to the tickets of one order, as mails carry it.

use serde::Deserialize;
use std::fmt;

/// The token in a mailed link that opens an order's tickets. It is a credential, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct OrderLink(pub String);

impl fmt::Debug for OrderLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderLink(…)")
    }
}
