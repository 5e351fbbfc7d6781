//! Stands in for `tract.rs` in a build without it; `provider::dispatches` has refused it before.

use crate::vision::family::NetSpec;
use ndarray::{ArrayD, ArrayView4};

/// There is none.
pub enum Network {}

impl Network {
    /// Says what is missing.
    ///
    /// # Errors
    /// Always.
    pub fn load(_bytes: &[u8], _spec: &NetSpec) -> Result<Self, String> {
        Err("this build has no tract".into())
    }

    /// # Errors
    /// Never, since there is none.
    pub fn run(&mut self, _input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, String> {
        match *self {}
    }
}
