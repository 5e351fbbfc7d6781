//! Networks on tract: in pure Rust and without a library, for processors that ONNX Runtime is not built for (armv7). fp32
//! only; several times slower than ONNX Runtime.

use crate::vision::family::NetSpec;
use ndarray::{ArrayD, ArrayView4};
use std::sync::Arc;
use tract_onnx::prelude::{DatumExt, Framework, InferenceModelExt, IntoRunnable, Tensor, TypedRunnableModel, tvec};

/// One network.
pub struct Network {
    plan: Arc<TypedRunnableModel>,
    /// Where each output of the manifest is among those of the graph.
    order: Vec<usize>,
}

impl Network {
    /// Reads a network's bytes.
    ///
    /// # Errors
    /// tract does not read them, or the graph has no output of a name in the manifest; the text is the cause.
    pub fn load(mut bytes: &[u8], spec: &NetSpec) -> Result<Self, String> {
        let told = |e: tract_onnx::prelude::TractError| format!("{e:#}");
        let model = tract_onnx::onnx().model_for_read(&mut bytes).map_err(told)?;
        let outlets = model.output_outlets().map_err(told)?.to_vec();
        let order = spec
            .outputs
            .iter()
            .map(|name| {
                let at = outlets.iter().position(|o| model.outlet_label(*o) == Some(name.as_str()));
                at.ok_or_else(|| format!("output {name} is missing"))
            })
            .collect::<Result<_, _>>()?;
        let plan = model
            .with_input_fact(0, f32::fact(spec.input.shape).into())
            .and_then(InferenceModelExt::into_optimized)
            .and_then(IntoRunnable::into_runnable)
            .map_err(told)?;
        Ok(Network { plan, order })
    }

    /// Outputs in the manifest's order.
    ///
    /// # Errors
    /// tract's own; the text is the cause.
    pub fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, String> {
        let outputs = self.plan.run(tvec!(Tensor::from(input.to_owned()).into())).map_err(|e| format!("{e:#}"))?;
        let take = |at: &usize| {
            let tensor = outputs.get(*at).ok_or_else(|| format!("output {at} is missing"))?;
            tensor.to_plain_array_view::<f32>().map(|view| view.to_owned()).map_err(|e| format!("{e:#}"))
        };
        self.order.iter().map(take).collect()
    }
}
