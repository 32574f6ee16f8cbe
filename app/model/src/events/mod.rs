//! Events: types, ports, and text for dates and times.

mod countries;
mod picture;
mod place;
mod port;
mod span;
mod types;
mod when;

pub use countries::COUNTRIES;
pub use picture::{Fit, PICTURE_BYTES_MAX, PICTURE_WIDTHS, Picture, PictureQuery};
pub use place::{PlaceFields, PlaceProposal};
pub use port::{COUNTED_MAX, Events, Pictures};
pub use span::Span;
pub use types::*;
pub use when::{
    date_and_time, day_and_month, moment_if_given, starts_at, when, when_in_full, when_until,
    when_until_in_full,
};
