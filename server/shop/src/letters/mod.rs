//! Letters: what a mail says, and its sending.
//!
//! Owns the contents of each kind of mail and the [`Mailer`], which takes the mails that are due, composes
//! each from what is true at that time, and sends it. It does not own the queue, the sender or the
//! transports (`mail`), and does not decide which mails are sent: each feature queues its own. Only the
//! wiring uses this module, so it may read every feature.
//!
//! `compose.rs` looks up what a mail is about (`store.rs` has the SQL), `words.rs` has the texts about
//! orders, refunds and incidents. `account.rs`, `factor.rs`, `waiting.rs` and `changed.rs` look up and
//! write the letters about accounts, second factors, the waiting list and changed events. `page.rs` makes
//! plain text of a letter and `html.rs` makes HTML.

mod account;
mod changed;
mod compose;
mod factor;
mod html;
mod mailer;
mod page;
mod store;
mod waiting;
mod words;

pub use mailer::Mailer;
