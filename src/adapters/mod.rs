//! What touches the world. Adapters do not know each other.

pub mod camera;
pub mod gpio;
pub mod infer;
pub mod inputs;
pub mod learn;
pub mod mqtt;
pub mod panel;
pub mod prompt;
pub mod reader;
pub mod relay;
pub mod site;
pub mod store;
pub mod system;
pub mod web;
