//! From a picture to the inputs of the networks.

use cardea::vision::align::Affine;
use cardea::vision::family::{InputSpec, Order};
use cardea::vision::frame::Picture;
use cardea::vision::tensor::{NetInput, Place};
use cardea::vision::warp::{Border, warp_affine};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn bench(c: &mut Criterion) {
    let (width, height) = (640, 480);
    let rgb = (0..width * height * 3).map(|i: u32| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
    let picture = Picture { width, height, rgb };
    let mut group = c.benchmark_group("align");
    group.sample_size(20);
    for side in [128, 192] {
        let m = Affine::square([320.0, 240.0], 220.0, 0.1, side).expect("a square with an area");
        let mut out = Vec::new();
        group.bench_function(format!("warp_affine {side}"), |b| {
            b.iter(|| warp_affine(black_box(&picture), &m, side, side, Border::Zero, &mut out));
        });
    }
    let spec = InputSpec { name: "x".into(), shape: [1, 3, 320, 320], order: Order::Bgr, lo: 0.0, hi: 255.0 };
    let mut input = NetInput::new(&spec);
    group.bench_function("letterbox 320", |b| b.iter(|| input.letterbox(black_box(&picture), Place::TopLeft)));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
