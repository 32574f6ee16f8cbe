//! Renders uploaded bytes as the JPEG files that the shop stores. Pure.
//!
//! The picture is decoded, turned upright, cropped to 8 by 5, scaled to a few widths and encoded again, so
//! that no uploaded byte or metadata is passed on.

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, imageops,
    metadata::Orientation,
};
use jpeg_encoder::{ColorType, Encoder, EncodingError};
use model::{
    error::FieldError,
    events::{Fit, PICTURE_WIDTHS, Picture},
};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};
use sha2::{Digest, Sha256};
use std::io::Cursor;

/// As many as a good camera has. Decoding that many takes about 300 MB.
const PIXELS_MAX: u64 = 40_000_000;
/// Also limits pictures with more than 8 bits per channel.
const DECODED_BYTES_MAX: u64 = PIXELS_MAX * 4;
/// Width to height.
const ASPECT_RATIO: (u32, u32) = (8, 5);
/// Size to which a picture is reduced for its blurred background: nothing can be recognised in it.
const BLURRED_SIZE: (u32, u32) = (16, 10);
/// Brightness of a blurred background in percent, so that the picture on it stands out.
const BLURRED_BRIGHTNESS: u16 = 70;
/// JPEG quality, 1 to 100: no visible loss.
const QUALITY: u8 = 80;

pub(crate) struct Rendered {
    pub picture: Picture,
    /// The JPEG file of each width.
    pub forms: Vec<(u32, Vec<u8>)>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    /// The upload is refused; the message is for the user.
    #[error("{}", .0.message)]
    Invalid(FieldError),
    #[error("JPEG encoding failed")]
    Encoding(#[from] EncodingError),
}

fn invalid(message: &str) -> RenderError {
    RenderError::Invalid(FieldError::new("picture", message))
}

/// Renders a JPEG, PNG or WebP file in all widths, cropped as `fit` says.
pub(crate) fn render(bytes: &[u8], fit: Fit) -> Result<Rendered, RenderError> {
    let (image, orientation, profile) = decode(bytes)?;
    let image = flatten_alpha(image);
    let (width, height) = upright_size(&image, orientation);
    let narrowest = PICTURE_WIDTHS[0];
    if width < narrowest || height < Picture::height_of(narrowest) {
        return Err(invalid(
            "This picture is too small. Use one of at least 480 by 300 pixels.",
        ));
    }
    let image = if fit == Fit::Whole || fit == Fit::Auto && height >= width {
        fit_on_blurred(image, orientation)
    } else {
        crop(&image, orientation, fit)
    };
    let image = to_srgb(image.into_rgb8(), profile.as_deref());
    let widest = image.width();

    let mut digest = Sha256::new();
    let mut forms = Vec::new();
    for width in Picture::new("", widest).widths() {
        let jpeg = if width == widest {
            encode(&image)?
        } else {
            let (height, filter) = (Picture::height_of(width), imageops::FilterType::CatmullRom);
            let image = DynamicImage::from(image.clone());
            encode(&image.resize_exact(width, height, filter).into_rgb8())?
        };
        digest.update(&jpeg);
        forms.push((width, jpeg));
    }
    let name = hex::encode(&digest.finalize()[..16]);
    Ok(Rendered {
        picture: Picture::new(name, widest),
        forms,
    })
}

/// The pixels as stored, their orientation and their colour profile.
fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation, Option<Vec<u8>>), RenderError> {
    let format = image::guess_format(bytes).ok();
    let accepted = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];
    let Some(format) = format.filter(|format| accepted.contains(format)) else {
        return Err(invalid("Use a picture in the format JPEG, PNG or WebP."));
    };
    // The decoder fills the missing part of a truncated JPEG with grey.
    if format == ImageFormat::Jpeg && !is_complete_jpeg(bytes) {
        return Err(damaged());
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| unreadable(&error))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX
        || decoder.total_bytes() > DECODED_BYTES_MAX
    {
        return Err(too_many_pixels());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten();
    let image = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(&error))?;
    Ok((image, orientation, profile))
}

fn too_many_pixels() -> RenderError {
    invalid("This picture has too many pixels. Use one of at most 40 megapixels.")
}

fn damaged() -> RenderError {
    invalid("This picture can't be read to its end: the file is damaged. Try another one.")
}

fn unreadable(error: &ImageError) -> RenderError {
    match error {
        ImageError::Limits(_) => too_many_pixels(),
        ImageError::Unsupported(_) => invalid(
            "This kind of JPEG, PNG or WebP can't be read here. Save it anew and try again.",
        ),
        _ => damaged(),
    }
}

/// Whether a JPEG has its end marker. Bytes after it are ignored.
fn is_complete_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Finds the next marker of a segment; skips stuffed bytes, restart markers and fill bytes.
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

/// Blends transparent pixels with white.
fn flatten_alpha(image: DynamicImage) -> DynamicImage {
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

fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Width and height once the picture is upright.
fn upright_size(image: &DynamicImage, orientation: Orientation) -> (u32, u32) {
    let (width, height) = (image.width(), image.height());
    if swaps_sides(orientation) {
        (height, width)
    } else {
        (width, height)
    }
}

/// The largest 8 by 5 section at the place that `fit` says, upright and at most as wide as the widest form.
fn crop(image: &DynamicImage, orientation: Orientation, fit: Fit) -> DynamicImage {
    let (across, down) = ASPECT_RATIO;
    let (width, height) = upright_size(image, orientation);
    let (wide, high) = if width * down > height * across {
        (height * across / down, height)
    } else {
        (width, width * down / across)
    };
    let spare = (width - wide, height - high);
    let (left, top) = match fit {
        Fit::Start => (0, 0),
        Fit::End => spare,
        Fit::Auto | Fit::Middle | Fit::Whole => (spare.0 / 2, spare.1 / 2),
    };
    let (left, top, wide, high) = to_stored(image, orientation, (left, top, wide, high));
    let image = image.crop_imm(left, top, wide, high);
    let (width, _) = upright_size(&image, orientation);
    let width = width.min(PICTURE_WIDTHS[PICTURE_WIDTHS.len() - 1]);
    resize_upright(image, (width, Picture::height_of(width)), orientation)
}

/// Converts a rectangle (left, top, width, height) of the upright picture to the stored picture's
/// coordinates.
fn to_stored(
    image: &DynamicImage,
    orientation: Orientation,
    (x, y, wide, high): (u32, u32, u32, u32),
) -> (u32, u32, u32, u32) {
    let (width, height) = (image.width(), image.height());
    match orientation {
        Orientation::NoTransforms => (x, y, wide, high),
        Orientation::FlipHorizontal => (width - x - wide, y, wide, high),
        Orientation::FlipVertical => (x, height - y - high, wide, high),
        Orientation::Rotate180 => (width - x - wide, height - y - high, wide, high),
        Orientation::Rotate90 => (y, height - x - wide, high, wide),
        Orientation::Rotate270 => (width - y - high, x, high, wide),
        Orientation::Rotate90FlipH => (y, x, high, wide),
        Orientation::Rotate270FlipH => (width - y - high, height - x - wide, high, wide),
    }
}

/// The whole picture, upright, on a blurred copy of itself that fills 8 by 5.
fn fit_on_blurred(image: DynamicImage, orientation: Orientation) -> DynamicImage {
    let (across, down) = ASPECT_RATIO;
    let (width, height) = upright_size(&image, orientation);
    let full = width.max((height * across).div_ceil(down));
    let wide = full.min(PICTURE_WIDTHS[PICTURE_WIDTHS.len() - 1]);
    let high = Picture::height_of(wide);
    let shrunk = |side: u32, most: u32| (side * wide / full).clamp(1, most);
    let size = (shrunk(width, wide), shrunk(height, high));
    let image = resize_upright(image, size, orientation).into_rgb8();
    let (blurred_width, blurred_height) = BLURRED_SIZE;
    let mut background = DynamicImage::from(image.clone())
        .thumbnail_exact(blurred_width, blurred_height)
        .resize_exact(wide, high, imageops::FilterType::CatmullRom)
        .into_rgb8();
    for colour in background.iter_mut() {
        let dimmed = u16::from(*colour) * BLURRED_BRIGHTNESS / 100;
        *colour = u8::try_from(dimmed).unwrap_or(u8::MAX);
    }
    let (left, top) = ((wide - image.width()) / 2, (high - image.height()) / 2);
    imageops::replace(&mut background, &image, i64::from(left), i64::from(top));
    DynamicImage::from(background)
}

/// Resizes to `size`, the width and height of the result, and turns upright.
fn resize_upright(image: DynamicImage, size: (u32, u32), orientation: Orientation) -> DynamicImage {
    let (width, height) = if swaps_sides(orientation) {
        (size.1, size.0)
    } else {
        size
    };
    // Averaging is fast, and good enough to halve the size of a much larger picture.
    let image = if image.width() > 2 * width {
        image.thumbnail_exact(2 * width, 2 * height)
    } else {
        image
    };
    let mut image = image.resize_exact(width, height, imageops::FilterType::CatmullRom);
    image.apply_orientation(orientation);
    image
}

/// Converts to sRGB. Ignores an unreadable profile, as browsers do.
fn to_srgb(image: RgbImage, profile: Option<&[u8]>) -> RgbImage {
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

fn encode(image: &RgbImage) -> Result<Vec<u8>, RenderError> {
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

    /// Renders a green with this profile.
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
        let rendered = render(&png, Fit::Auto).unwrap_or_else(|error| panic!("{error}"));
        let (width, jpeg) = &rendered.forms[0];
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

    /// Every pixel differs.
    fn patchwork(width: u32, height: u32) -> DynamicImage {
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([x, y, x ^ y].map(|value| u8::try_from(value % 256).unwrap_or_default()))
        });
        DynamicImage::from(image)
    }

    #[test]
    fn a_crop_is_the_same_for_every_orientation() {
        for orientation in [
            Orientation::NoTransforms,
            Orientation::FlipHorizontal,
            Orientation::FlipVertical,
            Orientation::Rotate90,
            Orientation::Rotate180,
            Orientation::Rotate270,
            Orientation::Rotate90FlipH,
            Orientation::Rotate270FlipH,
        ] {
            let stored = patchwork(70, 50);
            let mut turned = stored.clone();
            turned.apply_orientation(orientation);
            let wanted = turned.crop_imm(3, 8, 20, 11);
            let (left, top, wide, high) = to_stored(&stored, orientation, (3, 8, 20, 11));
            let mut found = stored.crop_imm(left, top, wide, high);
            found.apply_orientation(orientation);
            assert!(found == wanted, "{orientation:?}");
        }
    }

    /// Colours of the middle column at the top, in the middle and at the bottom.
    fn middle_column(fit: Fit, width: u32, height: u32) -> [[u8; 3]; 3] {
        // Red above, green in the middle, blue below.
        let image = RgbImage::from_fn(width, height, |_, y| match y * 3 / height {
            0 => Rgb([220, 30, 30]),
            1 => Rgb([30, 200, 30]),
            _ => Rgb([30, 30, 220]),
        });
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&image, width, height, ExtendedColorType::Rgb8)
            .unwrap();
        let rendered = render(&png, fit).unwrap_or_else(|error| panic!("{error}"));
        let (wide, jpeg) = rendered.forms.last().unwrap();
        let drawn = image::load_from_memory(jpeg).unwrap().into_rgb8();
        assert_eq!(drawn.height(), wide * 5 / 8);
        [4, drawn.height() / 2, drawn.height() - 4].map(|y| drawn.get_pixel(wide / 2, y).0)
    }

    #[test]
    fn a_square_picture_is_shown_whole() {
        let strongest = |[red, green, blue]: [u8; 3]| match red.max(green).max(blue) {
            most if most == red => 'r',
            most if most == green => 'g',
            _ => 'b',
        };
        let seen = |fit, width, height| middle_column(fit, width, height).map(strongest);
        for (fit, expected) in [
            (Fit::Auto, ['r', 'g', 'b']),
            (Fit::Whole, ['r', 'g', 'b']),
            (Fit::Start, ['r', 'r', 'g']),
            (Fit::End, ['g', 'b', 'b']),
        ] {
            assert_eq!(seen(fit, 1000, 1000), expected, "{fit:?}");
        }
        assert_eq!(seen(Fit::Middle, 1000, 3000), ['g', 'g', 'g']);
        assert_eq!(seen(Fit::Auto, 1000, 3000), ['r', 'g', 'b']);
        assert_eq!(seen(Fit::Whole, 2000, 500), ['r', 'g', 'b']);
    }

    #[test]
    fn a_jpeg_is_complete_if_it_has_its_end_marker() {
        let image = RgbImage::from_fn(600, 400, |x, y| {
            Rgb([x, y, x ^ y].map(|value| u8::try_from(value % 256).unwrap_or_default()))
        });
        let jpeg = encode(&image).unwrap_or_else(|error| panic!("{error}"));
        assert!(is_complete_jpeg(&jpeg));
        assert!(is_complete_jpeg(&[&jpeg[..], b"words behind it"].concat()));
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
            assert!(!is_complete_jpeg(&jpeg[..cut]), "{cut} of {}", jpeg.len());
        }
    }
}
