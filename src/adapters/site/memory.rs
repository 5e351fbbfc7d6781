//! A shelf in memory, for many simulated terminals in one process: blobs lie there once, whoever holds them. And one that is
//! only looked at, for commands beside a daemon that writes.

use crate::ports::{PortError, Shelf};
use crate::schema::directory::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// What all shelves of a process share.
type Common = Arc<Mutex<BTreeMap<Digest, Arc<[u8]>>>>;

/// One terminal's shelf.
#[derive(Clone, Debug, Default)]
pub struct MemoryShelf {
    common: Common,
    own: BTreeSet<Digest>,
    texts: BTreeMap<String, String>,
}

impl MemoryShelf {
    /// An empty shelf beside this one: a blob that both hold takes its memory once.
    #[must_use]
    pub fn beside(&self) -> MemoryShelf {
        MemoryShelf { common: self.common.clone(), ..MemoryShelf::default() }
    }
}

impl Shelf for MemoryShelf {
    fn blob(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError> {
        let common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.own.contains(digest).then(|| common.get(digest).map(|b| b.to_vec())).flatten())
    }

    fn put(&mut self, blobs: &[(Digest, Vec<u8>)], texts: &[(&str, Option<&str>)]) -> Result<(), PortError> {
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        for (digest, bytes) in blobs {
            common.entry(*digest).or_insert_with(|| bytes.as_slice().into());
            self.own.insert(*digest);
        }
        for (name, text) in texts {
            match text {
                Some(text) => drop(self.texts.insert((*name).to_owned(), (*text).to_owned())),
                None => drop(self.texts.remove(*name)),
            }
        }
        Ok(())
    }

    fn keep_only(&mut self, keep: &BTreeSet<Digest>) -> Result<(), PortError> {
        self.own.retain(|d| keep.contains(d));
        Ok(())
    }

    fn texts(&mut self, prefix: &str) -> Result<Vec<(String, String)>, PortError> {
        let begin = |name: &String| name.starts_with(prefix);
        Ok(self.texts.iter().filter(|(n, _)| begin(n)).map(|(n, t)| (n.clone(), t.clone())).collect())
    }
}

/// Another shelf looked at: nothing is ever written to it.
pub struct ReadOnly(pub Box<dyn Shelf>);

impl Shelf for ReadOnly {
    fn blob(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError> {
        self.0.blob(digest)
    }
    fn put(&mut self, _: &[(Digest, Vec<u8>)], _: &[(&str, Option<&str>)]) -> Result<(), PortError> {
        Ok(())
    }
    fn keep_only(&mut self, _: &BTreeSet<Digest>) -> Result<(), PortError> {
        Ok(())
    }
    fn texts(&mut self, prefix: &str) -> Result<Vec<(String, String)>, PortError> {
        self.0.texts(prefix)
    }
}
