//! The shell: puts the parts together, carries effects out, decides nothing.

pub mod engine;
pub mod net;
