//! From a frame to an observation.

pub mod frame;
