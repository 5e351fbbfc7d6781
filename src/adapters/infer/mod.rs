//! Networks: what a pack holds, whether its files are sound, and running them.

pub mod install;
pub mod known;
pub mod manifest;
pub mod ort;
pub mod provider;
pub mod scripted;
pub mod site;
