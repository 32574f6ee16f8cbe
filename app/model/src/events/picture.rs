//! The picture of an event as a content address: a different picture has a different URL. The server
//! renders and stores the files.

use super::UnknownChoice;
use serde::{Deserialize, Serialize};
use std::{fmt, iter, str::FromStr};

/// The widths in which a picture is stored, in pixels. A narrower picture is stored in the smaller ones of
/// these and in its own width.
pub const PICTURE_WIDTHS: [u32; 3] = [480, 960, 1600];
/// The largest file that can be uploaded.
pub const PICTURE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Which part of a picture is kept, in the shape of 8 by 5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// All of a picture that is square or upright, the middle of a wide one.
    #[default]
    Auto,
    /// All of it, on a blurred copy of itself.
    Whole,
    /// The middle.
    Middle,
    /// The top, or the left of a wide one.
    Start,
    /// The bottom, or the right of a wide one.
    End,
}

impl Fit {
    /// In the order in which they are offered.
    pub const ALL: [Self; 5] = [
        Self::Auto,
        Self::Whole,
        Self::Middle,
        Self::Start,
        Self::End,
    ];

    /// The value in JSON and forms.
    pub fn code(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Whole => "whole",
            Self::Middle => "middle",
            Self::Start => "start",
            Self::End => "end",
        }
    }

    /// The label on pages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Auto => "All of a square or upright picture, the middle of a wide one",
            Self::Whole => "All of it, on a blurred background",
            Self::Middle => "The middle",
            Self::Start => "The top, or the left of a wide picture",
            Self::End => "The bottom, or the right of a wide picture",
        }
    }
}

impl FromStr for Fit {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|one| one.code() == text);
        named.ok_or(UnknownChoice)
    }
}

/// How a picture that is sent is to be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PictureQuery {
    /// Which part is shown. Default: `auto`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub fit: Option<Fit>,
}

const DIGEST_CHARS: usize = 32;

/// A picture with an aspect ratio of 8 to 5. Its text form is the URL of its widest file:
/// `/pictures/<digest>/1600.jpg`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Picture {
    digest: String,
    width: u32,
}

impl Picture {
    /// `digest` is 32 lower-case hex digits; `width` is that of the widest file.
    pub fn new(digest: impl Into<String>, width: u32) -> Self {
        Self {
            digest: digest.into(),
            width,
        }
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Of the widest file, in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Of the widest file, in pixels.
    pub fn height(&self) -> u32 {
        Self::height_of(self.width)
    }

    /// The height of a file of this width.
    pub fn height_of(width: u32) -> u32 {
        width * 5 / 8
    }

    /// The widths of all files, narrowest first.
    pub fn widths(&self) -> impl Iterator<Item = u32> + use<> {
        let widest = self.width;
        let narrower = PICTURE_WIDTHS.into_iter();
        let narrower = narrower.filter(move |width| *width < widest);
        narrower.chain(iter::once(widest))
    }

    fn address(&self, width: u32) -> String {
        format!("/pictures/{}/{width}.jpg", self.digest)
    }

    /// The `srcset` attribute of an `img`.
    pub fn srcset(&self) -> String {
        let forms = self
            .widths()
            .map(|width| format!("{} {width}w", self.address(width)));
        forms.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address(self.width))
    }
}

impl From<Picture> for String {
    fn from(picture: Picture) -> Self {
        picture.to_string()
    }
}

impl FromStr for Picture {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (digest, file) = text.strip_prefix("/pictures/")?.split_once('/')?;
            let width = file.strip_suffix(".jpg")?;
            let plain = |text: &str, of: fn(&u8) -> bool| text.bytes().all(|byte| of(&byte));
            let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let named = digest.len() == DIGEST_CHARS && plain(digest, hex);
            let sized = !width.starts_with('0') && plain(width, u8::is_ascii_digit);
            (named && sized).then(|| Some(Self::new(digest, width.parse().ok()?)))?
        };
        parse().ok_or(UnknownChoice)
    }
}

impl TryFrom<String> for Picture {
    type Error = UnknownChoice;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn a_url_round_trips_and_malformed_ones_are_refused() {
        let picture = Picture::new(DIGEST, 1600);
        let address = format!("/pictures/{DIGEST}/1600.jpg");
        assert_eq!(picture.to_string(), address);
        assert_eq!(address.parse(), Ok(picture));
        for other in [
            "",
            "/pictures/",
            "/pictures/00/1600.jpg",
            &format!("/pictures/{}/1600.jpg", DIGEST.to_uppercase()),
            &format!("/pictures/{DIGEST}/+160.jpg"),
            &format!("/pictures/{DIGEST}/0160.jpg"),
            &format!("/pictures/{DIGEST}/1600.png"),
            &format!("/pictures/{DIGEST}/99999999999.jpg"),
            &format!("/pictures/{DIGEST}/.jpg"),
        ] {
            assert_eq!(other.parse::<Picture>(), Err(UnknownChoice), "{other}");
        }
    }

    #[test]
    fn a_narrow_picture_has_no_form_wider_than_itself() {
        let widths = |width| Picture::new(DIGEST, width).widths().collect::<Vec<_>>();
        assert_eq!(widths(1600), [480, 960, 1600]);
        assert_eq!(widths(1000), [480, 960, 1000]);
        assert_eq!(widths(960), [480, 960]);
        assert_eq!(widths(480), [480]);
    }
}
