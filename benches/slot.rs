//! What handing over the newest frame costs.

use cardea::base::slot::LatestSlot;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than any hand-over takes; a benchmark that hangs must end.
const LONG: Duration = Duration::from_secs(10);

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("slot");
    group.sample_size(20);
    let slot = LatestSlot::default();
    group.bench_function("put and take, one thread", |b| {
        b.iter(|| {
            slot.put(black_box(1_u64));
            slot.take(Duration::ZERO)
        });
    });
    group.bench_function("put over a value", |b| b.iter(|| slot.put(black_box(1_u64))));
    // A round trip: one value to the other thread and one back, so two hand-overs and two wake-ups.
    group.bench_function("there and back, two threads", |b| {
        b.iter_custom(|rounds| {
            let (there, back) = (Arc::new(LatestSlot::default()), Arc::new(LatestSlot::default()));
            let echo = std::thread::spawn({
                let (there, back) = (Arc::clone(&there), Arc::clone(&back));
                move || {
                    while let Some(n) = there.take(LONG) {
                        back.put(n);
                    }
                }
            });
            let began = Instant::now();
            for n in 0..rounds {
                there.put(n);
                assert_eq!(back.take(LONG), Some(n), "the other thread answers");
            }
            let took = began.elapsed();
            there.close();
            echo.join().expect("the other thread ends");
            took
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
