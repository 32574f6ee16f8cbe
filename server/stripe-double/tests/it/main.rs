//! The double as its callers and the receiver of its webhooks meet it: over HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that fails may panic"
)]
#![expect(unreachable_pub, reason = "no crate uses a test")]

mod calls;
mod support;
mod webhooks;
