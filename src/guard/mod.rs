//! The relay process: owns the line, and nothing else. Its decisions are in [`machine`], its sockets and clocks in
//! [`serve`]. `docs/guard.md` draws the states and the protocol.
//!
//! Invariants: knows nothing of faces, models, MQTT or the web; runs in one thread; once it owns the line it neither
//! logs nor waits for anything but `poll`, since a full pipe behind a log line would hold the door open.

pub mod machine;
pub mod serve;

#[cfg(test)]
mod machine_properties;
#[cfg(test)]
mod machine_tests;
