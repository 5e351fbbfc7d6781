//! The only types that leave the process as text: records, health, commands, topics.
//! A serialisable type is a promise to strangers, so every variant's text is pinned by a test.

pub mod access;
pub mod command;
pub mod directory;
pub mod discovery;
pub mod event;
pub mod head;
pub mod health;
pub mod ids;
pub mod receipt;
pub mod record;
pub mod request;
pub mod topics;
