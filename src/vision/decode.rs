//! From stored bytes to an upright RGB picture.
//!
//! Whatever is decoded has passed [`Limits`] on its header before a byte of memory is taken for it, and data that is
//! cut or damaged is an error, never a picture with a grey lower half.

use super::frame::{Frame, Picture, PixelFormat, jpeg};
use super::orient::{Orientation, upright};
use super::yuv;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use std::io::Cursor;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// What a picture may cost. The `image` crate alone has no limit on a side and takes up to 512 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest side in pixels.
    pub max_side: u32,
    /// Width times height.
    pub max_pixels: u64,
    /// Bytes that a decoder may hold at once, its result included. Turning the result by a quarter adds as many bytes
    /// as the result has.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_side: 8192, max_pixels: 4096 * 4096, max_bytes: 64 << 20 }
    }
}

impl Limits {
    /// Checks a claimed size and what a decoder would hold for it.
    fn admit(&self, width: u32, height: u32, bytes: u64) -> Result<(), DecodeError> {
        let pixels = u64::from(width) * u64::from(height);
        if width > self.max_side || height > self.max_side || pixels > self.max_pixels || bytes > self.max_bytes {
            return Err(DecodeError::TooBig { width, height, bytes, limits: *self });
        }
        if pixels == 0 {
            return Err(DecodeError::Corrupt { format: "picture", cause: format!("its size is {width}x{height}") });
        }
        Ok(())
    }
}

/// Why there is no picture. The caller adds which file or frame it was.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Refused by its header alone.
    #[error(
        "the picture claims {width}x{height} pixels and {} MiB to decode, allowed are {} pixels a side, {} in all and {} MiB; scale it down",
        bytes >> 20, limits.max_side, limits.max_pixels, limits.max_bytes >> 20
    )]
    TooBig { width: u32, height: u32, bytes: u64, limits: Limits },
    /// Damaged, cut, or not what it says to be.
    #[error("the {format} is damaged: {cause}; take or send it again")]
    Corrupt { format: &'static str, cause: String },
    /// Not one of the formats that are read.
    #[error("this is no picture that can be read ({what}); use JPEG, PNG, WebP, BMP, TIFF or GIF")]
    Unknown { what: String },
}

/// Decodes and turns one frame.
///
/// # Errors
/// Too big, cut or damaged; raw formats must have exactly the bytes that their size needs.
pub fn decode(frame: &Frame, limits: &Limits) -> Result<Picture, DecodeError> {
    let (picture, _) = match frame.format {
        PixelFormat::Jpeg => jpeg(&frame.data, limits)?,
        _ => (raw(frame, limits)?, Orientation::Upright),
    };
    // An EXIF orientation inside of a camera's frame is not honoured: how the camera hangs is what the configuration says.
    Ok(upright(picture, frame.rotation.into()))
}

/// Decodes a file of whatever format its content (never its name) shows, and turns it as its EXIF orientation says.
/// Of an animation the first frame is taken; transparent parts become black, so that what is decoded is what a viewer
/// shows and nothing can hide in pixels that nobody sees.
///
/// # Errors
/// Too big, cut, damaged or of another format.
pub fn decode_file(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Unknown { what: "it is empty".into() });
    }
    let (picture, orientation) =
        if bytes.starts_with(&[0xFF, 0xD8]) { jpeg(bytes, limits)? } else { other(bytes, limits)? };
    Ok(upright(picture, orientation))
}

fn jpeg(bytes: &[u8], limits: &Limits) -> Result<(Picture, Orientation), DecodeError> {
    let corrupt = |cause: String| DecodeError::Corrupt { format: "JPEG", cause };
    let head = jpeg::head(bytes).map_err(|e| corrupt(e.into()))?;
    let pixels = u64::from(head.width) * u64::from(head.height);
    // Three bytes a pixel come out; who must keep the coefficients needs two more for each sample.
    let coefficients = if head.buffered { pixels * 2 * u64::from(head.samples_64) / 64 } else { 0 };
    limits.admit(head.width, head.height, pixels * 3 + coefficients)?;
    // The decoder stops at the last block, so a picture whose end is missing or follows early is found here.
    let bytes = match jpeg::extent(bytes) {
        jpeg::Extent::Whole(n) => &bytes[..n],
        jpeg::Extent::More => return Err(corrupt("it ends before its end marker".into())),
        jpeg::Extent::Broken(why) => return Err(corrupt(why.into())),
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(limits.max_side as usize)
        .set_max_height(limits.max_side as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let rgb = decoder.decode().map_err(|e| corrupt(format!("{e:?}")))?;
    if rgb.len() as u64 != pixels * 3 {
        return Err(corrupt(format!("{} bytes came out for {}x{}", rgb.len(), head.width, head.height)));
    }
    let orientation = decoder
        .exif()
        .and_then(|exif| image::metadata::Orientation::from_exif_chunk(exif))
        .map_or(Orientation::Upright, Orientation::from);
    Ok((Picture { width: head.width, height: head.height, rgb }, orientation))
}

fn raw(frame: &Frame, limits: &Limits) -> Result<Picture, DecodeError> {
    let (width, height) = (frame.width, frame.height);
    let pixels = u64::from(width) * u64::from(height);
    limits.admit(width, height, pixels * 3)?;
    let (name, needed, even) = match frame.format {
        PixelFormat::Yuyv => ("YUYV frame", pixels * 2, width % 2 == 0),
        PixelFormat::Nv12 => ("NV12 frame", pixels * 3 / 2, width % 2 == 0 && height % 2 == 0),
        PixelFormat::Grey => ("GREY frame", pixels, true),
        PixelFormat::Rgb | PixelFormat::Jpeg => ("RGB frame", pixels * 3, true),
    };
    let corrupt = |cause: String| DecodeError::Corrupt { format: name, cause };
    if !even {
        return Err(corrupt(format!("{width}x{height} has an odd side")));
    }
    if frame.data.len() as u64 != needed {
        return Err(corrupt(format!("{width}x{height} needs {needed} bytes, it has {}", frame.data.len())));
    }
    let mut rgb = vec![0; pixels as usize * 3];
    match frame.format {
        PixelFormat::Yuyv => yuv::yuyv(&frame.data, &mut rgb),
        PixelFormat::Nv12 => {
            let (luma, chroma) = frame.data.split_at(pixels as usize);
            yuv::nv12(luma, chroma, width as usize, &mut rgb);
        }
        // V4L2's grey has full range by default.
        PixelFormat::Grey => rgb.chunks_exact_mut(3).zip(&frame.data).for_each(|(p, &y)| p.fill(y)),
        PixelFormat::Rgb | PixelFormat::Jpeg => rgb.copy_from_slice(&frame.data),
    }
    Ok(Picture { width, height, rgb })
}

fn other(bytes: &[u8], limits: &Limits) -> Result<(Picture, Orientation), DecodeError> {
    let format = match image::guess_format(bytes) {
        Ok(f @ (ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Tiff | ImageFormat::Gif)) => f,
        Ok(f) => return Err(DecodeError::Unknown { what: format!("{f:?}") }),
        Err(_) => return Err(DecodeError::Unknown { what: "its first bytes are of no known format".into() }),
    };
    let name = match format {
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        _ => "GIF",
    };
    let corrupt = |e: image::ImageError| DecodeError::Corrupt { format: name, cause: e.to_string() };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // The sides are checked below with a better message; these limits bind what a decoder does while it opens.
    let mut bounds = image::Limits::default();
    bounds.max_image_width = None;
    bounds.max_image_height = None;
    bounds.max_alloc = Some(limits.max_bytes);
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(corrupt)?;
    let (width, height) = decoder.dimensions();
    limits.admit(width, height, decoder.total_bytes())?;
    let whole = match format {
        ImageFormat::Png => whole_png(bytes),
        ImageFormat::WebP => whole_riff(bytes),
        _ => Ok(()),
    };
    whole.map_err(|cause| DecodeError::Corrupt { format: name, cause })?;
    let orientation = decoder.orientation().map_err(corrupt)?.into();
    let decoded = DynamicImage::from_decoder(decoder).map_err(corrupt)?;
    Ok((Picture { width, height, rgb: opaque(decoded) }, orientation))
}

/// Checks every chunk's checksum up to the end chunk. The decoder stops at the last pixel and so never looks at the
/// checksum of the last data chunk, nor at whether an end follows.
fn whole_png(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    loop {
        let (Some(len), Some(kind)) = (rest.first_chunk::<4>(), rest.get(4..8)) else {
            return Err("it ends before its end chunk".into());
        };
        let end = (u32::from_be_bytes(*len) as usize).saturating_add(8);
        let (Some(covered), Some(crc)) = (rest.get(4..end), rest.get(end..).and_then(<[u8]>::first_chunk::<4>)) else {
            return Err(format!("it ends inside of its {} chunk", kind.escape_ascii()));
        };
        if crc32fast::hash(covered) != u32::from_be_bytes(*crc) {
            return Err(format!("the checksum of its {} chunk is wrong", kind.escape_ascii()));
        }
        if kind == b"IEND" {
            return Ok(());
        }
        rest = &rest[end + 4..];
    }
}

/// Checks that all bytes are there which the container claims; the decoder does not miss the last ones.
fn whole_riff(bytes: &[u8]) -> Result<(), String> {
    let claimed = bytes.get(4..8).and_then(<[u8]>::first_chunk::<4>).map_or(0, |n| u64::from(u32::from_le_bytes(*n)));
    if (bytes.len() as u64) < claimed + 8 {
        return Err(format!("it claims {} bytes and has {}", claimed + 8, bytes.len()));
    }
    Ok(())
}

/// Three bytes a pixel, transparent parts over black.
fn opaque(decoded: DynamicImage) -> Vec<u8> {
    if !decoded.color().has_alpha() {
        return decoded.into_rgb8().into_raw();
    }
    let rgba = decoded.into_rgba8().into_raw();
    let over_black = |value: u8, alpha: u8| ((u32::from(value) * u32::from(alpha) + 127) / 255) as u8;
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for p in rgba.chunks_exact(4) {
        rgb.extend([over_black(p[0], p[3]), over_black(p[1], p[3]), over_black(p[2], p[3])]);
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Tick;
    use crate::vision::frame::Rotation;

    fn frame(format: PixelFormat, width: u32, height: u32, data: Vec<u8>) -> Frame {
        Frame { seq: 0, captured: Tick::ZERO, epoch: 0, format, width, height, rotation: Rotation::None, data }
    }

    fn near(rgb: &[u8], want: [u8; 3]) {
        for p in rgb.chunks_exact(3) {
            assert!(p.iter().zip(want).all(|(a, b)| a.abs_diff(b) <= 3), "{p:?} instead of {want:?}");
        }
    }

    #[test]
    fn yuyv_and_nv12_are_bt601_with_limited_range() {
        // 100 % red, as BT.601 writes it in studio range: Y 82, Cb 90, Cr 240.
        let yuyv = frame(PixelFormat::Yuyv, 32, 2, [82, 90, 82, 240].repeat(32));
        near(&decode(&yuyv, &Limits::default()).expect("decodes").rgb, [255, 0, 0]);
        let mut planes = vec![82; 32 * 2];
        planes.extend([90, 240].repeat(16));
        let nv12 = frame(PixelFormat::Nv12, 32, 2, planes);
        near(&decode(&nv12, &Limits::default()).expect("decodes").rgb, [255, 0, 0]);
        // Studio black and white reach the ends of the scale.
        let black = frame(PixelFormat::Yuyv, 32, 2, [16, 128, 16, 128].repeat(32));
        near(&decode(&black, &Limits::default()).expect("decodes").rgb, [0; 3]);
        let white = frame(PixelFormat::Yuyv, 32, 2, [235, 128, 235, 128].repeat(32));
        near(&decode(&white, &Limits::default()).expect("decodes").rgb, [255; 3]);
    }

    #[test]
    fn grey_and_rgb_come_through_unchanged_and_turned() {
        let mut grey = frame(PixelFormat::Grey, 2, 1, vec![7, 9]);
        grey.rotation = Rotation::Cw90;
        let p = decode(&grey, &Limits::default()).expect("decodes");
        assert_eq!((p.width, p.height, p.rgb), (1, 2, vec![7, 7, 7, 9, 9, 9]));
        let rgb = frame(PixelFormat::Rgb, 1, 1, vec![1, 2, 3]);
        assert_eq!(decode(&rgb, &Limits::default()).expect("decodes").rgb, [1, 2, 3]);
    }

    #[test]
    fn a_raw_frame_with_a_byte_too_few_or_too_many_is_refused() {
        for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Grey, PixelFormat::Rgb] {
            let bytes = match format {
                PixelFormat::Yuyv => 4 * 2 * 2,
                PixelFormat::Nv12 => 4 * 2 * 3 / 2,
                PixelFormat::Grey => 4 * 2,
                _ => 4 * 2 * 3,
            };
            assert!(decode(&frame(format, 4, 2, vec![0; bytes]), &Limits::default()).is_ok(), "{format:?}");
            for wrong in [0, bytes - 1, bytes + 1] {
                assert!(
                    decode(&frame(format, 4, 2, vec![0; wrong]), &Limits::default()).is_err(),
                    "{format:?} {wrong}"
                );
            }
        }
        assert!(decode(&frame(PixelFormat::Yuyv, 3, 2, vec![0; 12]), &Limits::default()).is_err());
        assert!(decode(&frame(PixelFormat::Grey, 0, 2, vec![]), &Limits::default()).is_err());
    }

    #[test]
    fn limits_bind_side_area_and_memory() {
        let limits = Limits { max_side: 10, max_pixels: 50, max_bytes: 120 };
        assert!(limits.admit(10, 4, 120).is_ok());
        for (w, h, bytes) in [(11, 1, 33), (1, 11, 33), (8, 8, 1), (4, 4, 121)] {
            let e = limits.admit(w, h, bytes).expect_err("too big");
            assert!(e.to_string().contains(&format!("{w}x{h}")), "{e}");
        }
        assert!(limits.admit(0, 5, 0).is_err());
    }

    #[test]
    fn transparent_pixels_become_black() {
        let mut rgba = image::RgbaImage::new(2, 1);
        rgba.put_pixel(0, 0, image::Rgba([200, 100, 50, 0]));
        rgba.put_pixel(1, 0, image::Rgba([200, 100, 50, 255]));
        let mut png = Vec::new();
        rgba.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).expect("writes");
        assert_eq!(decode_file(&png, &Limits::default()).expect("decodes").rgb, [0, 0, 0, 200, 100, 50]);
    }
}
