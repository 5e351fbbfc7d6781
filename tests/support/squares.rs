//! What a camera sees where faces come by a script.

use std::path::Path;

/// `count` pictures of 320 by 240 as `frame_00000.jpg` and so on: squares, sharp and neither dark nor bright, of which those in
/// the upper half wander, so that none is like one of the 79 before it.
pub fn film(frames: &Path, count: u32) {
    std::fs::create_dir(frames).expect("a directory");
    for i in 0..count {
        let picture = image::RgbImage::from_fn(320, 240, |x, y| {
            let wanders = if y < 120 { i * 3 } else { 0 };
            let on = ((x + wanders) / 40 + y / 8).is_multiple_of(2);
            image::Rgb(if on { [170, 160, 150] } else { [90, 80, 70] })
        });
        picture.save(frames.join(format!("frame_{i:05}.jpg"))).expect("a picture");
    }
}
