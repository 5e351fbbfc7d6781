//! The light handshake: a random colour code on the display must come back from the skin in front of it.
//!
//! * [`code`]: which colours, and when each is shown.
//! * [`detect`]: whether what the camera saw of the skin follows them.
//!
//! The rule, its limits and the measured figures are in `docs/liveness.md`.

pub mod code;
pub mod detect;
