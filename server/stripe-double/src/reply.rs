//! Answers of calls.

use serde_json::Value;

/// Status and body.
pub(crate) type Reply = (u16, Value);

/// The answer of a call. `Err`: its parameters were refused before it began, so nothing has changed and the
/// answer is not stored for the key.
pub(crate) type Answer = Result<Reply, Reply>;
