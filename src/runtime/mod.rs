//! Wiring: carries, decides nothing.

pub mod net;
