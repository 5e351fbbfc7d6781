//! From a camera's bytes to a picture, 640x480.

use cardea::base::time::Tick;
use cardea::vision::decode::{Limits, decode};
use cardea::vision::frame::{Frame, PixelFormat, Rotation};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

fn frame(format: PixelFormat, data: Vec<u8>) -> Frame {
    let (width, height) = if format == PixelFormat::Jpeg { (0, 0) } else { (WIDTH, HEIGHT) };
    Frame { seq: 0, captured: Tick::ZERO, epoch: 0, format, width, height, rotation: Rotation::None, data }
}

/// Slopes with a little texture.
fn rgb() -> Vec<u8> {
    let pixel = |i: u32| {
        let (x, y) = (i % WIDTH, i / WIDTH);
        let grain = (i.wrapping_mul(0x9E37_79B9) >> 28) as u8;
        [(x / 4) as u8 + grain, (y / 3) as u8 + grain, ((x + y) / 8) as u8 + grain]
    };
    (0..WIDTH * HEIGHT).flat_map(pixel).collect()
}

fn bench(c: &mut Criterion) {
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 85)
        .encode(&rgb(), WIDTH, HEIGHT, image::ExtendedColorType::Rgb8)
        .expect("a JPEG can be written to memory");
    let pixels = (WIDTH * HEIGHT) as usize;
    let raw = |bytes: usize| (0..bytes).map(|i| (i % 200 + 20) as u8).collect();
    let mut group = c.benchmark_group("decode");
    group.sample_size(20);
    for (name, frame) in [
        ("jpeg", frame(PixelFormat::Jpeg, jpeg)),
        ("yuyv", frame(PixelFormat::Yuyv, raw(pixels * 2))),
        ("nv12", frame(PixelFormat::Nv12, raw(pixels * 3 / 2))),
    ] {
        decode(&frame, &Limits::default()).expect("the frame is whole");
        group.bench_function(name, |b| b.iter(|| decode(black_box(&frame), &Limits::default())));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
