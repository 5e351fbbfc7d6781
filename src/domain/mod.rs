//! What Cardea knows about visits, faces and doors, as pure values: no I/O, no clock, no threads, no randomness,
//! no errors. Refusals are data.

pub mod access;
pub mod challenge;
pub mod command;
pub mod directory;
pub mod door;
pub mod enrolment;
pub mod fusion;
pub mod gallery;
pub mod gesture;
pub mod guide;
pub mod light;
pub mod liveness;
pub mod observation;
pub mod panel;
pub mod relief;
pub mod screen;
pub mod visit;
