//! Components that several pages share. They know no feature's rules.

mod form;
mod gallery;
mod icons;
mod link_preview;
mod page;
mod poster;
mod qr;
mod raw;
mod steps;

pub use form::{
    Choice, Form, Input, area, choose, choose_grouped, field, flash_message, hidden, post_file_to,
    post_to, problem_at_top, username,
};
pub use gallery::GalleryPage;
pub use icons::{Icon, icon};
pub use link_preview::{LinkPreview, link_preview};
pub use page::{page, page_for, problem};
pub use poster::{hash, poster};
pub use qr::qr_code;
pub use raw::{escape_text, json_script};
pub use steps::steps;
