//! What the trace of a real run on the real ONNX Runtime tells of who computed it. In a process of its own, since there is
//! one environment of ONNX Runtime for each.
//!
//! Needs `make models`.

use cardea::adapters::infer::provider::{judge, share};
use cardea::config::sections::Provider;
use ndarray::Array4;
use ort::session::Session;
use ort::value::TensorRef;
use std::path::Path;

#[test]
fn the_trace_of_a_run_tells_what_computed_it_and_a_run_on_the_cpu_is_no_run_on_a_gpu() {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cache");
    let environment = ort::init_from(cache.join("libonnxruntime.so")).expect("make models").build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let builder = Session::builder(&environment).unwrap();
    let mut session = builder
        .with_profiling(dir.path().join("run"))
        .unwrap()
        .commit_from_file(cache.join("blazeface_short_128.onnx"))
        .expect("make models");
    let input = Array4::<f32>::zeros((1, 3, 128, 128));
    session.run(ort::inputs!["input" => TensorRef::from_array_view(&input).unwrap()]).unwrap();
    let trace = std::fs::read_to_string(session.end_profiling().unwrap()).unwrap();
    let on_cpu = share(&trace, Provider::Cpu).unwrap();
    assert!(on_cpu.heavy_taken > 10 && on_cpu.taken > on_cpu.heavy_taken, "{on_cpu:?}");
    for provider in [Provider::Xnnpack, Provider::Cuda, Provider::Tensorrt] {
        let there = share(&trace, provider).unwrap();
        assert_eq!((there.taken, there.heavy_left), (0, on_cpu.heavy_taken));
        assert!(judge(there, provider).unwrap_err().contains("computed nothing"));
    }
}
