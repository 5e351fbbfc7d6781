//! The relay line and the way to it: `sim` is the line (others will follow), `wire` the packets, `client` the daemon's
//! end, `spawner` the guard as a child process. Only the guard process touches a line.

pub mod client;
pub mod sim;
pub mod spawner;
pub mod wire;
