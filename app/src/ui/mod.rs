//! Leaf components: what several pages show, and knows nothing of any feature's rules.

#[cfg(feature = "ssr")]
mod form;
#[cfg(feature = "ssr")]
mod gallery;
#[cfg(feature = "ssr")]
mod icons;
#[cfg(feature = "ssr")]
mod link_preview;
mod location;
#[cfg(target_arch = "wasm32")]
mod morph;
#[cfg(feature = "ssr")]
mod page;
#[cfg(feature = "ssr")]
mod poster;
mod print;
#[cfg(feature = "ssr")]
mod raw;
mod reveal;
mod share;
#[cfg(feature = "ssr")]
mod steps;
mod theme;
mod typed;

#[cfg(feature = "ssr")]
pub use form::{
    Choice, Form, Input, area, choose, choose_grouped, field, flash_message, hidden, post_file_to,
    post_to, problem_at_top, username,
};
#[cfg(feature = "ssr")]
pub use gallery::GalleryPage;
#[cfg(feature = "ssr")]
pub use icons::{Icon, icon};
#[cfg(feature = "ssr")]
pub use link_preview::{LinkPreview, link_preview};
pub use location::load_anew;
#[cfg(target_arch = "wasm32")]
pub use location::page_at;
#[cfg(target_arch = "wasm32")]
pub use morph::morph;
#[cfg(feature = "ssr")]
pub use page::{page, page_for, problem};
#[cfg(feature = "ssr")]
pub use poster::{hash, poster};
pub use print::PrintButton;
#[cfg(feature = "ssr")]
pub use raw::{escape_text, json_script};
pub use reveal::ShowPassword;
pub use share::ShareButton;
#[cfg(feature = "ssr")]
pub use steps::steps;
pub use theme::ThemeSwitch;
pub use typed::already_typed;
