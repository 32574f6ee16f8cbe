//! Makes the picture that the shop keeps out of whatever bytes somebody sent. Pure.
//!
//! Nothing of these bytes is handed on: what is kept is drawn anew, upright, cut to one shape, in a
//! few widths, and carries no word of where it was taken or by whom.

use app::{
    error::FieldError,
    events::{PICTURE_WIDTHS, Picture},
};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, imageops,
    metadata::Orientation,
};
use jpeg_encoder::{ColorType, Encoder, EncodingError};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};
use sha2::{Digest, Sha256};
use std::{fmt::Write, io::Cursor};

/// As many as a good camera's. Opening so many takes some 300 MB.
const PIXELS_MAX: u64 = 40_000_000;
/// The same in bytes, for pictures with more than 8 bits a colour.
const OPENED_BYTES_MAX: u64 = PIXELS_MAX * 4;
/// How wide the shape is, and how high.
const SHAPE: (u32, u32) = (8, 5);
/// JPEG's, of 100: where a closer look shows no difference yet.
const QUALITY: u8 = 80;

/// A picture, and what is kept of it.
pub struct Developed {
    /// What it is called.
    pub picture: Picture,
    /// Each form: its width, and a JPEG file.
    pub forms: Vec<(u32, Vec<u8>)>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum NotDeveloped {
    /// For whoever sent it.
    #[error("{}", .0.message)]
    Wrong(FieldError),
    /// What was drawn could not be written.
    #[error("a picture could not be written")]
    Unwritten(#[from] EncodingError),
}

fn wrong(message: &str) -> NotDeveloped {
    NotDeveloped::Wrong(FieldError::new("picture", message))
}

/// The picture that these bytes show.
pub fn develop(bytes: &[u8]) -> Result<Developed, NotDeveloped> {
    let (image, upright, profile) = open(bytes)?;
    let image = cut(&without_alpha(image), upright)?;
    let (across, _) = sides(&image, upright);
    let widest = across.min(PICTURE_WIDTHS[PICTURE_WIDTHS.len() - 1]);
    let mut image = scaled(image, widest, upright);
    image.apply_orientation(upright);
    let image = in_srgb(image.into_rgb8(), profile.as_deref());

    let mut digest = Sha256::new();
    let mut forms = Vec::new();
    for width in Picture::new("", widest).widths() {
        let jpeg = if width == widest {
            written(&image)?
        } else {
            let (height, filter) = (Picture::height_of(width), imageops::FilterType::CatmullRom);
            let image = DynamicImage::from(image.clone());
            written(&image.resize_exact(width, height, filter).into_rgb8())?
        };
        digest.update(&jpeg);
        forms.push((width, jpeg));
    }
    let digest = digest.finalize();
    let name = digest[..16].iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Ok(Developed {
        picture: Picture::new(name, widest),
        forms,
    })
}

/// The pixels as they are stored, how they are to be turned, and what their colours mean.
fn open(bytes: &[u8]) -> Result<(DynamicImage, Orientation, Option<Vec<u8>>), NotDeveloped> {
    let format = image::guess_format(bytes).ok();
    let taken = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];
    let Some(format) = format.filter(|format| taken.contains(format)) else {
        return Err(wrong("Use a picture in the format JPEG, PNG or WebP."));
    };
    // The decoder draws the rest of a JPEG that breaks off in grey.
    if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(damaged());
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(OPENED_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| unreadable(&error))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX || decoder.total_bytes() > OPENED_BYTES_MAX
    {
        return Err(too_many_pixels());
    }
    let upright = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten();
    let image = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(&error))?;
    Ok((image, upright, profile))
}

fn too_many_pixels() -> NotDeveloped {
    wrong("This picture has too many pixels. Use one of at most 40 megapixels.")
}

fn damaged() -> NotDeveloped {
    wrong("This picture can't be read to its end: the file is damaged. Try another one.")
}

fn unreadable(error: &ImageError) -> NotDeveloped {
    match error {
        ImageError::Limits(_) => too_many_pixels(),
        ImageError::Unsupported(_) => {
            wrong("This kind of JPEG, PNG or WebP can't be read here. Save it anew and try again.")
        }
        _ => damaged(),
    }
}

/// Whether a JPEG goes on to its end. What follows behind that is nobody's business.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // To the next marker: within a scan, over what is no marker of a new part.
        let Some(found) = bytes.get(at..).and_then(|rest| {
            rest.windows(2).position(|pair| {
                pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xd0..=0xd7 | 0xff)
            })
        }) else {
            return false;
        };
        at += found;
        if bytes[at + 1] == 0xd9 {
            return true;
        }
        let Some(length) = bytes.get(at + 2..at + 4) else {
            return false;
        };
        at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
    }
}

/// What can be seen through is seen on white paper.
fn without_alpha(image: DynamicImage) -> DynamicImage {
    if !image.color().has_alpha() {
        return DynamicImage::from(image.into_rgb8());
    }
    let mut image = image.into_rgba8();
    for pixel in image.pixels_mut() {
        let alpha = u16::from(pixel[3]);
        for colour in &mut pixel.0[..3] {
            let seen = (u16::from(*colour) * alpha + 255 * (255 - alpha) + 127) / 255;
            *colour = u8::try_from(seen).unwrap_or(u8::MAX);
        }
    }
    DynamicImage::from(DynamicImage::from(image).into_rgb8())
}

fn is_turned(upright: Orientation) -> bool {
    matches!(
        upright,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Width and height as they will be once it is upright.
fn sides(image: &DynamicImage, upright: Orientation) -> (u32, u32) {
    let (width, height) = (image.width(), image.height());
    if is_turned(upright) {
        (height, width)
    } else {
        (width, height)
    }
}

/// The middle of it, as large as the shape allows.
fn cut(image: &DynamicImage, upright: Orientation) -> Result<DynamicImage, NotDeveloped> {
    let (across, down) = SHAPE;
    let (width, height) = sides(image, upright);
    let (width, height) = if width * down > height * across {
        (height * across / down, height)
    } else {
        (width, width * down / across)
    };
    let narrowest = PICTURE_WIDTHS[0];
    if width < narrowest || height < Picture::height_of(narrowest) {
        return Err(wrong(
            "This picture is too small. Use one of at least 480 by 300 pixels.",
        ));
    }
    let (width, height) = if is_turned(upright) {
        (height, width)
    } else {
        (width, height)
    };
    let (left, top) = ((image.width() - width) / 2, (image.height() - height) / 2);
    Ok(image.crop_imm(left, top, width, height))
}

/// So wide once it is upright.
fn scaled(image: DynamicImage, width: u32, upright: Orientation) -> DynamicImage {
    let height = Picture::height_of(width);
    let (width, height) = if is_turned(upright) {
        (height, width)
    } else {
        (width, height)
    };
    // Averages are quick, and good enough for what is far larger than it will be.
    let image = if image.width() > 2 * width {
        image.thumbnail_exact(2 * width, 2 * height)
    } else {
        image
    };
    image.resize_exact(width, height, imageops::FilterType::CatmullRom)
}

/// In the colours that are meant where nothing else is said. A profile that cannot be read is
/// passed over, as browsers do.
fn in_srgb(image: RgbImage, profile: Option<&[u8]>) -> RgbImage {
    let convert = || {
        let profile = ColorProfile::new_from_slice(profile?).ok()?;
        if profile.color_space != DataColorSpace::Rgb {
            return None;
        }
        let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
        let transform = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options);
        let mut converted = RgbImage::new(image.width(), image.height());
        transform
            .ok()?
            .transform(image.as_raw(), &mut converted)
            .ok()?;
        Some(converted)
    };
    convert().unwrap_or(image)
}

fn written(image: &RgbImage) -> Result<Vec<u8>, NotDeveloped> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    encoder.set_progressive(true);
    encoder.set_optimized_huffman_tables(true);
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let (width, height) = (side(image.width()), side(image.height()));
    encoder.encode(image.as_raw(), width, height, ColorType::Rgb)?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, Rgb, codecs::png::PngEncoder};

    /// What becomes of a green with this profile.
    fn green(profile: Option<Vec<u8>>) -> [u8; 3] {
        let image = RgbImage::from_pixel(480, 300, Rgb([120, 200, 100]));
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        if let Some(profile) = profile {
            encoder.set_icc_profile(profile).unwrap();
        }
        encoder
            .write_image(&image, 480, 300, ExtendedColorType::Rgb8)
            .unwrap();
        let developed = develop(&png).unwrap_or_else(|error| panic!("{error}"));
        let (width, jpeg) = &developed.forms[0];
        assert_eq!(*width, 480);
        let drawn = image::load_from_memory(jpeg).unwrap().into_rgb8();
        drawn.get_pixel(240, 150).0
    }

    #[test]
    fn colours_look_as_they_were_meant() {
        let is_near = |found: [u8; 3], meant: [u8; 3]| {
            let mut apart = found
                .iter()
                .zip(meant)
                .map(|(one, other)| one.abs_diff(other));
            assert!(apart.all(|apart| apart <= 4), "{found:?} for {meant:?}");
        };
        is_near(green(None), [120, 200, 100]);
        let wide = ColorProfile::new_display_p3().encode().unwrap();
        is_near(green(Some(wide)), [89, 202, 85]);
        is_near(green(Some(b"no profile".to_vec())), [120, 200, 100]);
    }

    #[test]
    fn a_jpeg_is_whole_once_it_has_come_to_its_end() {
        let image = RgbImage::from_fn(600, 400, |x, y| {
            Rgb([x, y, x ^ y].map(|value| u8::try_from(value % 256).unwrap_or_default()))
        });
        let jpeg = written(&image).unwrap_or_else(|error| panic!("{error}"));
        assert!(is_whole_jpeg(&jpeg));
        assert!(is_whole_jpeg(&[&jpeg[..], b"words behind it"].concat()));
        for cut in [
            0,
            1,
            2,
            3,
            20,
            jpeg.len() / 3,
            jpeg.len() - 2,
            jpeg.len() - 1,
        ] {
            assert!(!is_whole_jpeg(&jpeg[..cut]), "{cut} of {}", jpeg.len());
        }
    }
}
