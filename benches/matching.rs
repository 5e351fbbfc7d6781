//! One probe against everybody, exactly, 256 numbers a person. 100,000 people are 102 MB: memory speed is the floor.

use cardea::domain::gallery::{Gallery, Metric};
use cardea::domain::observation::Embedding;
use cardea::schema::ids::PersonId;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::hint::black_box;

const DIM: usize = 256;

/// The same numbers at every start; the mean of a gallery brings them to unit length.
fn vector(seed: u32) -> Embedding {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / f64::from(u32::MAX) - 0.5
    };
    let raw: Vec<f64> = (0..DIM).map(|_| next()).collect();
    let length = raw.iter().map(|v| v * v).sum::<f64>().sqrt();
    raw.iter().map(|v| (v / length) as f32).collect()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("match");
    group.sample_size(10);
    for people in [1_000, 10_000, 100_000_u32] {
        let id = |n: u32| PersonId::new(&format!("p{n}")).expect("a valid name");
        let all: BTreeMap<PersonId, Vec<Embedding>> = (0..people).map(|n| (id(n), vec![vector(n)])).collect();
        let (gallery, left_out) = Gallery::new(Metric::Cosine, DIM, &all);
        assert_eq!((gallery.len(), left_out), (people as usize, 0));
        drop(all);
        let probe = vector(u32::MAX);
        group.throughput(Throughput::Bytes(u64::from(people) * DIM as u64 * 4));
        group.bench_function(format!("search {people}"), |b| b.iter(|| gallery.search(black_box(&probe))));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
