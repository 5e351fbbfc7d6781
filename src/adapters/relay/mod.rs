//! The relay line and the way to it: `line` says which line and takes it, `sim`, `gpiocdev` and `rppal` are its kinds,
//! `wire` the packets, `client` the daemon's end, `spawner` the guard as a child process. Only the guard process touches
//! a line.

pub mod client;
pub mod gpiocdev;
pub mod line;
#[cfg(feature = "rppal")]
pub mod rppal;
#[cfg(not(feature = "rppal"))]
#[path = "rppal_absent.rs"]
pub mod rppal;
pub mod sim;
pub mod spawner;
pub mod wire;
