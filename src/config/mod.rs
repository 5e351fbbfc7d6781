//! From text to the truth: raw sections as typed, then [`Config`], which is only made when nothing is wrong.

pub mod sections;

pub use sections::Config;
