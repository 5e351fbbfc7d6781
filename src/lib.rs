//! Cardea opens doors for faces it knows.
//!
//! The rooms, and which may use which, are drawn in `docs/architecture.md`; `tests/architecture.rs` holds the table.
#![forbid(unsafe_code)]

pub mod adapters;
pub mod base;
pub mod cli;
pub mod config;
pub mod domain;
pub mod guard;
pub mod ports;
pub mod runtime;
pub mod schema;
pub mod vision;
