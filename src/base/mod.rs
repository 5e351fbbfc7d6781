//! What every room may use: time as a value, units in types, the newest-wins slot, precedence, stop and heartbeat.
//! Knows nothing of doors, faces or networks.

pub mod precedence;
pub mod slot;
pub mod stop;
pub mod time;
pub mod units;
