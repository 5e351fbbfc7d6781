//! From a frame to an observation.

pub mod decode;
pub mod frame;
pub mod orient;
