//! This terminal's copy of its site's directory: believes what is signed, fetches what it lacks, answers what others lack,
//! and signs what changed here where it may.
//!
//! Everything that is decided is in `domain::directory`; here it meets keys, sealing and the shelf. The client at the broker
//! sees a [`crate::ports::SiteDesk`], of which [`Replica`] is the greater part.

mod crypto;
mod keys;
mod memory;
mod outbox;
mod replica;

#[cfg(test)]
mod tests;

pub use crypto::Keys;
pub use keys::{KeyFiles, SiteKey, generate, public_of};
pub use memory::{MemoryShelf, ReadOnly};
pub use replica::{Change, News, Replica, Settings, Standing};
