//! What runs in the browser: the islands of Stagedoor's pages, and the server functions they call.
//!
//! Compiled twice: to WASM (feature `hydrate`), and for the server (feature `ssr`), which renders the
//! initial HTML of each island. The crate `app` has the pages and is not compiled to WASM. Everything in
//! this crate adds to the size of the download.

#![allow(
    unreachable_pub,
    reason = "the component and island macros do not support `pub(crate)`"
)]

mod card_form;
mod countdown;
mod functions;
mod live_sale;
mod location;
#[cfg(target_arch = "wasm32")]
mod morph;
mod payout;
mod picture_preview;
mod print_button;
mod search_field;
mod share_button;
mod show_password;
mod theme_switch;
mod typed;

pub use card_form::{BankButton, CardForm, CardSetup};
pub use countdown::{Countdown, HoldClock, Wait, countdown_text, in_minutes};
pub use functions::{ExtendHold, Pay};
pub use live_sale::LiveSale;
pub use payout::PayoutWhileTyping;
pub use picture_preview::PicturePreview;
pub use print_button::PrintButton;
pub use search_field::SearchField;
pub use share_button::ShareButton;
pub use show_password::ShowPassword;
pub use theme_switch::ThemeSwitch;

/// Marks the page as hydrated, after the islands that this module was loaded for: those are hydrated before the
/// next task.
#[cfg(feature = "hydrate")]
pub fn hydrated() {
    leptos::prelude::set_timeout(
        || {
            if let Some(root) = leptos::prelude::document().document_element() {
                let _ = root.set_attribute("data-hydrated", "");
            }
        },
        std::time::Duration::ZERO,
    );
}
