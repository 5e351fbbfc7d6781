//! What every room may use: time as a value, units in types, the newest-wins slot, stop and heartbeat.
//! Knows nothing of doors, faces or networks.

pub mod slot;
pub mod stop;
pub mod time;
pub mod units;
