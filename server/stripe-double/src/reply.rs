//! What a call is answered with.

use serde_json::Value;

/// A call's answer: status and body.
pub(crate) type Reply = (u16, Value);

/// What a call came to. `Err`: its parameters were refused before it began, so nothing has
/// changed, and Stripe keeps no such answer for a key.
pub(crate) type Answer = Result<Reply, Reply>;
