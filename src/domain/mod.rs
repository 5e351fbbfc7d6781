//! What Cardea knows about visits, faces and doors, as pure values: no I/O, no clock, no threads, no randomness,
//! no errors. Refusals are data.

pub mod gallery;
pub mod observation;
pub mod screen;
