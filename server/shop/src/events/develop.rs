//! Makes the picture that the shop keeps out of whatever bytes somebody sent. Pure.
//!
//! Nothing of these bytes is handed on: what is kept is drawn anew, upright, in one shape, in a few
//! widths, and carries no word of where it was taken or by whom.

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

/// As many as a good camera's. Opening so many takes some 300 MB.
const PIXELS_MAX: u64 = 40_000_000;
/// The same in bytes, for pictures with more than 8 bits a colour.
const OPENED_BYTES_MAX: u64 = PIXELS_MAX * 4;
/// How wide the shape is, and how high.
const SHAPE: (u32, u32) = (8, 5);
/// Of a blurred background: so few pixels that nothing in it can be recognised.
const BLURRED: (u32, u32) = (16, 10);
/// How much light a blurred background keeps, of 100: the picture on it stands out.
const BLURRED_LIGHT: u16 = 70;
/// JPEG's, of 100: where a closer look shows no difference yet.
const QUALITY: u8 = 80;

/// A picture, and what is kept of it.
pub(crate) struct Developed {
    /// What it is called.
    pub picture: Picture,
    /// Each form: its width, and a JPEG file.
    pub forms: Vec<(u32, Vec<u8>)>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDeveloped {
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

/// The picture that these bytes show, or the part of it that `fit` says.
pub(crate) fn develop(bytes: &[u8], fit: Fit) -> Result<Developed, NotDeveloped> {
    let (image, upright, profile) = open(bytes)?;
    let image = without_alpha(image);
    let (across, down) = sides(&image, upright);
    let narrowest = PICTURE_WIDTHS[0];
    if across < narrowest || down < Picture::height_of(narrowest) {
        return Err(wrong(
            "This picture is too small. Use one of at least 480 by 300 pixels.",
        ));
    }
    let image = if fit == Fit::Whole || fit == Fit::Auto && down >= across {
        whole(image, upright)
    } else {
        part(&image, upright, fit)
    };
    let image = in_srgb(image.into_rgb8(), profile.as_deref());
    let widest = image.width();

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
    let name = hex::encode(&digest.finalize()[..16]);
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

/// The largest part in the shape, upright and no wider than needed.
fn part(image: &DynamicImage, upright: Orientation, fit: Fit) -> DynamicImage {
    let (across, down) = SHAPE;
    let (width, height) = sides(image, upright);
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
    let (left, top, wide, high) = as_stored(image, upright, (left, top, wide, high));
    let image = image.crop_imm(left, top, wide, high);
    let (width, _) = sides(&image, upright);
    let width = width.min(PICTURE_WIDTHS[PICTURE_WIDTHS.len() - 1]);
    scaled(image, (width, Picture::height_of(width)), upright)
}

/// Where a rectangle of the upright picture is in the picture as it is stored: left, top, width, height.
fn as_stored(
    image: &DynamicImage,
    upright: Orientation,
    (x, y, wide, high): (u32, u32, u32, u32),
) -> (u32, u32, u32, u32) {
    let (width, height) = (image.width(), image.height());
    match upright {
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

/// All of it, upright, on a blurred copy of itself that fills the shape.
fn whole(image: DynamicImage, upright: Orientation) -> DynamicImage {
    let (across, down) = SHAPE;
    let (width, height) = sides(&image, upright);
    let full = width.max((height * across).div_ceil(down));
    let wide = full.min(PICTURE_WIDTHS[PICTURE_WIDTHS.len() - 1]);
    let high = Picture::height_of(wide);
    let shrunk = |side: u32, most: u32| (side * wide / full).clamp(1, most);
    let size = (shrunk(width, wide), shrunk(height, high));
    let image = scaled(image, size, upright).into_rgb8();
    let (few_across, few_down) = BLURRED;
    let mut ground = DynamicImage::from(image.clone())
        .thumbnail_exact(few_across, few_down)
        .resize_exact(wide, high, imageops::FilterType::CatmullRom)
        .into_rgb8();
    for colour in ground.iter_mut() {
        let dimmed = u16::from(*colour) * BLURRED_LIGHT / 100;
        *colour = u8::try_from(dimmed).unwrap_or(u8::MAX);
    }
    let (left, top) = ((wide - image.width()) / 2, (high - image.height()) / 2);
    imageops::replace(&mut ground, &image, i64::from(left), i64::from(top));
    DynamicImage::from(ground)
}

/// Turned upright, with this width and height then.
fn scaled(image: DynamicImage, size: (u32, u32), upright: Orientation) -> DynamicImage {
    let (width, height) = if is_turned(upright) {
        (size.1, size.0)
    } else {
        size
    };
    // Averages are quick, and good enough for what is far larger than it will be.
    let image = if image.width() > 2 * width {
        image.thumbnail_exact(2 * width, 2 * height)
    } else {
        image
    };
    let mut image = image.resize_exact(width, height, imageops::FilterType::CatmullRom);
    image.apply_orientation(upright);
    image
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
        let developed = develop(&png, Fit::Auto).unwrap_or_else(|error| panic!("{error}"));
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

    /// Every pixel another.
    fn patchwork(width: u32, height: u32) -> DynamicImage {
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([x, y, x ^ y].map(|value| u8::try_from(value % 256).unwrap_or_default()))
        });
        DynamicImage::from(image)
    }

    #[test]
    fn a_part_is_the_same_however_the_picture_is_stored() {
        for upright in [
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
            turned.apply_orientation(upright);
            let wanted = turned.crop_imm(3, 8, 20, 11);
            let (left, top, wide, high) = as_stored(&stored, upright, (3, 8, 20, 11));
            let mut found = stored.crop_imm(left, top, wide, high);
            found.apply_orientation(upright);
            assert!(found == wanted, "{upright:?}");
        }
    }

    /// The red, green and blue of the picture's middle at the top, in the middle and at the bottom.
    fn down_the_middle(fit: Fit, width: u32, height: u32) -> [[u8; 3]; 3] {
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
        let developed = develop(&png, fit).unwrap_or_else(|error| panic!("{error}"));
        let (wide, jpeg) = developed.forms.last().unwrap();
        let drawn = image::load_from_memory(jpeg).unwrap().into_rgb8();
        assert_eq!(drawn.height(), wide * 5 / 8);
        [4, drawn.height() / 2, drawn.height() - 4].map(|y| drawn.get_pixel(wide / 2, y).0)
    }

    #[test]
    fn a_square_poster_keeps_its_head_and_its_feet() {
        let strongest = |[red, green, blue]: [u8; 3]| match red.max(green).max(blue) {
            most if most == red => 'r',
            most if most == green => 'g',
            _ => 'b',
        };
        let seen = |fit, width, height| down_the_middle(fit, width, height).map(strongest);
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
