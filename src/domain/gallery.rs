//! Templates. The search itself follows.

use super::observation::Embedding;

/// A stored embedding with the digest (SHA-256 in hex) of the network that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub model: String,
    pub embedding: Embedding,
}
