//! The contents of mails, and their sending.
//!
//! Owns the contents of each kind of mail and the [`Mailer`], which composes each due mail from the current
//! data and sends it. Does not own the queue, the sender or the transports (`mail`), and does not decide which
//! mails are sent: each feature queues its own. Only the wiring uses this module, so it may read every
//! feature.
//!
//! `compose.rs` looks up the data of a mail (`store.rs` has the SQL), `words.rs` has the texts about orders,
//! refunds and incidents. `account.rs`, `factor.rs`, `waiting.rs` and `changed.rs` have the letters about
//! accounts, second factors, the waiting list and changed events. `page.rs` renders a letter as plain text
//! and `html.rs` as HTML.

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
