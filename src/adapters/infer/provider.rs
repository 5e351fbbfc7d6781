//! Which part of the machine computes the networks, and whether it really does.
//!
//! ONNX Runtime falls back to its CPU provider for everything that another provider does not take, and says so nowhere.
//! So a provider that was asked for must register, and the trace of a first run must show that it did the work.

use crate::config::sections::Provider;
use crate::ports::{PortError, Recovery};
use ort::ep::ExecutionProviderDispatch;
use serde::Deserialize;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// ONNX Runtime's name of its own fallback.
const CPU: &str = "CPUExecutionProvider";
/// Parts of the names of operators that do the work of a network; the rest moves, clips and adds.
const HEAVY: [&str; 3] = ["Conv", "MatMul", "Gemm"];

/// What to register with a session, in this order; none for ONNX Runtime's own.
///
/// # Errors
/// The provider is not part of this build; the error names the feature.
pub fn dispatches(provider: Provider) -> Result<Vec<ExecutionProviderDispatch>, PortError> {
    match provider {
        Provider::Cpu => Ok(Vec::new()),
        #[cfg(feature = "xnnpack")]
        Provider::Xnnpack => Ok(vec![ort::ep::XNNPACK::default().build().error_on_failure()]),
        #[cfg(feature = "cuda")]
        Provider::Cuda => Ok(vec![ort::ep::CUDA::default().build().error_on_failure()]),
        // What TensorRT does not take stays on the GPU.
        #[cfg(feature = "tensorrt")]
        Provider::Tensorrt => Ok(vec![
            ort::ep::TensorRT::default().build().error_on_failure(),
            ort::ep::CUDA::default().build().error_on_failure(),
        ]),
        #[cfg(not(feature = "xnnpack"))]
        Provider::Xnnpack => absent(provider),
        #[cfg(not(feature = "cuda"))]
        Provider::Cuda => absent(provider),
        #[cfg(not(feature = "tensorrt"))]
        Provider::Tensorrt => absent(provider),
    }
}

/// The error for a provider that was left out of this build.
#[cfg(not(all(feature = "xnnpack", feature = "cuda", feature = "tensorrt")))]
fn absent(provider: Provider) -> Result<Vec<ExecutionProviderDispatch>, PortError> {
    let name = provider.name();
    Err(PortError::new(
        format!("use models.provider = {name:?}"),
        format!("this build has no {name}"),
        format!("build with --features {name}, or set models.provider to another one"),
        Recovery::Fatal,
    ))
}

/// The error for a provider that is part of this build and does not do what it was asked for.
pub(super) fn unused(provider: Provider, cause: impl std::fmt::Display) -> PortError {
    PortError::new(
        format!("use models.provider = {:?}", provider.name()),
        cause,
        "point models.runtime at an ONNX Runtime that was built with it and see that its libraries load, or set \
         models.provider to \"cpu\"",
        Recovery::Fatal,
    )
}

/// ONNX Runtime's name of a provider.
fn runtime_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => CPU,
        Provider::Xnnpack => "XnnpackExecutionProvider",
        Provider::Cuda => "CUDAExecutionProvider",
        Provider::Tensorrt => "TensorrtExecutionProvider",
    }
}

/// A directory of our own for the trace of one run, gone with its value.
pub(super) struct TraceDir(PathBuf);

impl TraceDir {
    /// # Errors
    /// The directory for temporary files takes none.
    pub(super) fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("cardea-trace-{}", uuid::Uuid::now_v7().simple()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(TraceDir(path))
    }

    /// What ONNX Runtime begins the trace's name with.
    pub(super) fn prefix(&self) -> PathBuf {
        self.0.join("run")
    }
}

impl Drop for TraceDir {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), "a trace stays behind: {e}");
        }
    }
}

/// How many operators of one network ran where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// On the provider that was asked for.
    pub taken: usize,
    /// Of these the heavy ones.
    pub heavy_taken: usize,
    /// Heavy ones that ran on the CPU provider.
    pub heavy_left: usize,
}

#[derive(Deserialize)]
struct Event {
    cat: Option<String>,
    args: Option<EventArgs>,
}

#[derive(Deserialize)]
struct EventArgs {
    provider: Option<String>,
    op_name: Option<String>,
}

/// Reads the trace of a run.
///
/// # Errors
/// The trace is no list of events, or tells of no operator.
pub fn share(trace: &str, provider: Provider) -> Result<Share, String> {
    let events: Vec<Event> = serde_json::from_str(trace).map_err(|e| format!("the trace of a run: {e}"))?;
    let mut share = Share::default();
    let mut operators = 0_usize;
    for args in events.into_iter().filter(|e| e.cat.as_deref() == Some("Node")).filter_map(|e| e.args) {
        let Some(on) = args.provider.filter(|p| !p.is_empty()) else { continue };
        let heavy = args.op_name.is_some_and(|op| HEAVY.iter().any(|h| op.contains(h)));
        operators += 1;
        if on == runtime_name(provider) {
            share.taken += 1;
            share.heavy_taken += usize::from(heavy);
        } else if on == CPU && heavy {
            share.heavy_left += 1;
        }
    }
    if operators == 0 { Err("the trace of a run tells of no operator".into()) } else { Ok(share) }
}

/// Whether the provider did what it was asked for. A GPU leaves no heavy operator to the CPU; XNNPACK takes those that it
/// has kernels for, and must have most of them.
///
/// # Errors
/// It did not; the text is the cause.
pub fn judge(share: Share, provider: Provider) -> Result<(), String> {
    let name = runtime_name(provider);
    let Share { taken, heavy_taken, heavy_left } = share;
    let bound = match provider {
        Provider::Cpu => return Ok(()),
        Provider::Xnnpack => heavy_taken,
        Provider::Cuda | Provider::Tensorrt => 0,
    };
    if taken == 0 {
        return Err(format!("{name} registered, but computed nothing: all ran on the CPU"));
    }
    if heavy_left > bound {
        return Err(format!("{name} took {heavy_taken} heavy operators and left {heavy_left} to the CPU"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as ONNX Runtime 1.31.1 writes them.
    fn trace(nodes: &[(&str, &str)]) -> String {
        let node = |(op, on): &(&str, &str)| {
            format!(
                r#"{{"cat":"Node","pid":7,"tid":7,"dur":26,"ts":5313,"ph":"X","name":"n_kernel_time","args":{{"op_name":"{op}","provider":"{on}","node_index":"4"}}}}"#
            )
        };
        let session = r#"{"cat":"Session","pid":7,"tid":7,"dur":9,"ts":4,"ph":"X","name":"model_run","args":{}}"#;
        let events = std::iter::once(session.to_owned()).chain(nodes.iter().map(node));
        format!("[{}]", events.collect::<Vec<_>>().join(","))
    }

    fn verdict(provider: Provider, nodes: &[(&str, &str)]) -> Result<(), String> {
        judge(share(&trace(nodes), provider)?, provider)
    }

    const CUDA: &str = "CUDAExecutionProvider";
    const RT: &str = "TensorrtExecutionProvider";
    const XNN: &str = "XnnpackExecutionProvider";

    #[test]
    fn a_provider_that_registered_and_did_nothing_is_told() {
        for provider in [Provider::Xnnpack, Provider::Cuda, Provider::Tensorrt] {
            let e = verdict(provider, &[("Conv", CPU), ("Relu", CPU)]).unwrap_err();
            assert!(e.contains(runtime_name(provider)) && e.contains("computed nothing"), "{e}");
        }
        // TensorRT is not what CUDA did in its place.
        assert!(verdict(Provider::Tensorrt, &[("Conv", CUDA)]).is_err());
    }

    #[test]
    fn a_gpu_leaves_no_heavy_operator_to_the_cpu_and_xnnpack_not_most() {
        assert_eq!(verdict(Provider::Cuda, &[("Conv", CUDA), ("Gather", CPU)]), Ok(()));
        assert!(verdict(Provider::Cuda, &[("Conv", CUDA), ("FusedConv", CPU)]).is_err());
        assert_eq!(verdict(Provider::Tensorrt, &[("TRTKernel_graph_1", RT), ("Conv", CUDA)]), Ok(()));
        assert!(verdict(Provider::Tensorrt, &[("TRTKernel_graph_1", RT), ("QLinearConv", CPU)]).is_err());
        assert_eq!(verdict(Provider::Xnnpack, &[("Conv", XNN), ("Conv", CPU)]), Ok(()));
        let e = verdict(Provider::Xnnpack, &[("Conv", XNN), ("Gemm", CPU), ("MatMul", CPU)]).unwrap_err();
        assert!(e.contains("took 1 heavy operators and left 2"), "{e}");
    }

    #[test]
    fn a_trace_that_tells_nothing_is_no_proof() {
        assert!(share(&trace(&[]), Provider::Cuda).unwrap_err().contains("no operator"));
        assert!(share("", Provider::Cuda).is_err());
        assert!(share("{}", Provider::Cuda).is_err());
    }

    #[test]
    fn a_provider_that_is_not_built_in_names_its_feature() {
        for (provider, built_in) in [
            (Provider::Xnnpack, cfg!(feature = "xnnpack")),
            (Provider::Cuda, cfg!(feature = "cuda")),
            (Provider::Tensorrt, cfg!(feature = "tensorrt")),
        ] {
            match dispatches(provider) {
                Ok(found) => assert!(built_in && !found.is_empty()),
                Err(e) => {
                    assert!(!built_in && e.hint.contains(&format!("--features {}", provider.name())), "{e}");
                }
            }
        }
        assert!(dispatches(Provider::Cpu).is_ok_and(|none| none.is_empty()));
    }

    #[test]
    fn a_trace_leaves_nothing_behind() {
        let dir = TraceDir::new().unwrap();
        let path = dir.0.clone();
        std::fs::write(dir.prefix(), "x").unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777, 0o700);
        drop(dir);
        assert!(!path.exists());
    }
}
