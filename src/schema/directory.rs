//! The directory of a site on the wire: signed heads, signed revocations, sealed blobs, and what is asked for again.
//!
//! * *site*: terminals that share people and rules.
//! * *signer*: who may speak for the site, known by an ed25519 public key.
//! * *book*: everything that one signer says, as a tree of blobs under one signed head.
//! * *blob*: a sealed node of such a tree, known by the SHA-256 of its sealed bytes, which is also its topic.

use super::record::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Children of an index node: one for each value of four bits.
pub const FAN: usize = 16;
/// A leaf with more bytes than this, and more than one entry, becomes an index node: what one enrolment moves is one leaf.
pub const LEAF_BYTES: usize = 16 << 10;
/// Greatest entry, with its key: 40 templates of 512 numbers, or a large rules file.
pub const ENTRY_BYTES: usize = 192 << 10;
/// Greatest message of a site.
pub const MESSAGE_BYTES: usize = 256 << 10;
/// People in one revocation message; more are sent in several.
pub const REVOKED_AT_ONCE: usize = 32;
/// Blobs that one message asks for at most.
pub const WANT_AT_ONCE: usize = 64;
/// The entry that holds the rules file: no person's name begins with a dot.
pub const RULES: &str = ".rules";

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// 64 lower-case hex digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let (pairs, rest) = text.as_bytes().as_chunks::<2>();
                let lower = |c: &u8| c.is_ascii_digit() || (b'a'..=b'f').contains(c);
                if !rest.is_empty() || pairs.len() != 32 || !text.as_bytes().iter().all(lower) {
                    return None;
                }
                let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let mut out = [0; 32];
                for (byte, [high, low]) in out.iter_mut().zip(pairs) {
                    *byte = digit(*high)? << 4 | digit(*low)?;
                }
                Some($name(out))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                $name::parse(&text).ok_or_else(|| serde::de::Error::custom("not 64 lower-case hex digits"))
            }
        }
    };
}

bytes32!(
    /// A SHA-256.
    Digest
);
bytes32!(
    /// An ed25519 public key.
    Signer
);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Four bits of it: which child of an index node at that depth.
    #[must_use]
    pub fn nibble(&self, depth: usize) -> usize {
        let byte = self.0.get(depth / 2).copied().unwrap_or(0);
        usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
    }
}

/// When and by whom something was said: later counters win, then the greater key. A counter is one more than the
/// greatest that its signer had seen, so what was known when something was said is always outranked by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub counter: u64,
    pub signer: Signer,
}

/// What a signer's book is now; retained on `head/<signer>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub v: u8,
    pub site: String,
    pub signer: Signer,
    /// Rises with every change: the greatest counter that this signer has used.
    pub version: u64,
    /// Entries in the book.
    pub count: u64,
    pub root: Digest,
    /// The heads of other signers that this one has seen: a terminal that knows less asks for them.
    pub seen: BTreeMap<Signer, u64>,
    /// ed25519 over [`Head::signed_text`], hex.
    pub sig: String,
}

impl Head {
    /// What is signed.
    #[must_use]
    pub fn signed_text(&self) -> String {
        let mut text = format!(
            "cardea-site-head-1\n{}\n{}\n{}\n{}\n{}",
            self.site, self.signer, self.version, self.count, self.root
        );
        self.seen.iter().for_each(|(signer, version)| text += &format!("\n{signer} {version}"));
        text
    }
}

/// People who are revoked now, without waiting for the book; retained on `revoked/<signer>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    pub v: u8,
    pub site: String,
    pub signer: Signer,
    /// The greatest counter in it.
    pub version: u64,
    /// A sealed [`Revoked`] list, base64.
    pub sealed: String,
    /// ed25519 over [`Revocation::signed_text`], hex.
    pub sig: String,
}

impl Revocation {
    /// What is signed.
    #[must_use]
    pub fn signed_text(&self) -> String {
        format!("cardea-site-revocation-1\n{}\n{}\n{}\n{}", self.site, self.signer, self.version, self.sealed)
    }
}

/// One of a revocation's people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    pub person: String,
    pub counter: u64,
}

/// Asks for what the broker did not deliver, on `request/<signer>` and later on `request/any`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Want {
    pub v: u8,
    /// How often this was asked for; from the second time on others than the signer answer.
    pub attempt: u8,
    #[serde(default)]
    pub blobs: Vec<Digest>,
    #[serde(default)]
    pub heads: Vec<Signer>,
}

/// What an entry says of its key.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    Revoked,
    Present(Zeroizing<Vec<u8>>),
}

/// Never a template in a log.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Revoked => f.write_str("Revoked"),
            Content::Present(bytes) => write!(f, "Present({} bytes)", bytes.len()),
        }
    }
}

/// One line of a book. The stamp's signer need not be the book's: a revocation of somebody whom this book holds is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub stamp: Stamp,
    pub content: Content,
}

impl Entry {
    /// Bytes that it takes in a leaf.
    #[must_use]
    pub fn size(&self) -> usize {
        let content = match &self.content {
            Content::Revoked => 0,
            Content::Present(bytes) => bytes.len(),
        };
        2 + self.key.len() + 8 + 32 + 1 + 4 + content
    }
}

/// A node of a book's tree, before it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// The children by four bits of the SHA-256 of a key.
    Index(BTreeMap<u8, Digest>),
    /// In the order of keys.
    Leaf(Vec<Entry>),
}

const INDEX: u8 = 1;
const LEAF: u8 = 2;

impl Node {
    /// Its one form in bytes: `1`, then (slot, digest) pairs; or `2`, then entries with little-endian lengths.
    #[must_use]
    pub fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::new());
        match self {
            Node::Index(children) => {
                out.push(INDEX);
                for (slot, digest) in children {
                    out.push(*slot);
                    out.extend_from_slice(&digest.0);
                }
            }
            Node::Leaf(entries) => {
                out.reserve(1 + entries.iter().map(Entry::size).sum::<usize>());
                out.push(LEAF);
                for e in entries {
                    out.extend_from_slice(&u16::try_from(e.key.len()).unwrap_or(u16::MAX).to_le_bytes());
                    out.extend_from_slice(e.key.as_bytes());
                    out.extend_from_slice(&e.stamp.counter.to_le_bytes());
                    out.extend_from_slice(&e.stamp.signer.0);
                    let (kind, content): (u8, &[u8]) = match &e.content {
                        Content::Revoked => (0, &[]),
                        Content::Present(bytes) => (1, bytes),
                    };
                    out.push(kind);
                    out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
                    out.extend_from_slice(content);
                }
            }
        }
        out
    }

    /// The way back; `None` unless the bytes are a node's one form.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Node> {
        let (kind, mut rest) = bytes.split_first()?;
        match *kind {
            INDEX => {
                let (children, odd) = rest.as_chunks::<33>();
                if !odd.is_empty() || children.is_empty() || children.len() > FAN {
                    return None;
                }
                let mut all = BTreeMap::new();
                let mut last = None;
                for [slot, digest @ ..] in children {
                    if usize::from(*slot) >= FAN || last.is_some_and(|l| l >= *slot) {
                        return None;
                    }
                    last = Some(*slot);
                    all.insert(*slot, Digest(*digest));
                }
                Some(Node::Index(all))
            }
            LEAF => {
                let mut all: Vec<Entry> = Vec::new();
                while !rest.is_empty() {
                    let entry = entry(&mut rest)?;
                    if all.last().is_some_and(|l| l.key >= entry.key) {
                        return None;
                    }
                    all.push(entry);
                }
                Some(Node::Leaf(all))
            }
            _ => None,
        }
    }
}

fn entry(rest: &mut &[u8]) -> Option<Entry> {
    let length = usize::from(u16::from_le_bytes(chunk(rest)?));
    let key = std::str::from_utf8(take(rest, length)?).ok()?.to_owned();
    let counter = u64::from_le_bytes(chunk(rest)?);
    let stamp = Stamp { counter, signer: Signer(chunk(rest)?) };
    let [kind] = chunk(rest)?;
    let length = usize::try_from(u32::from_le_bytes(chunk(rest)?)).ok()?;
    let content = take(rest, length)?;
    let content = match kind {
        0 if content.is_empty() => Content::Revoked,
        1 => Content::Present(Zeroizing::new(content.to_vec())),
        _ => return None,
    };
    Some(Entry { key, stamp, content })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn chunk<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// The topics of a site below `<base>/site/<site>/directory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTopics {
    root: String,
}

/// What a topic of the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteTopic {
    Head(Signer),
    Revoked(Signer),
    Blob(Digest),
    /// To one signer, or to anybody.
    Request(Option<Signer>),
}

impl SiteTopics {
    /// `base` and `site` have been checked by the configuration.
    #[must_use]
    pub fn new(base: &str, site: &str) -> Self {
        SiteTopics { root: format!("{base}/site/{site}/directory") }
    }

    /// The topic of something.
    #[must_use]
    pub fn of(&self, what: SiteTopic) -> String {
        let root = &self.root;
        match what {
            SiteTopic::Head(s) => format!("{root}/head/{s}"),
            SiteTopic::Revoked(s) => format!("{root}/revoked/{s}"),
            SiteTopic::Blob(d) => format!("{root}/blob/{d}"),
            SiteTopic::Request(Some(s)) => format!("{root}/request/{s}"),
            SiteTopic::Request(None) => format!("{root}/request/any"),
        }
    }

    /// Filters of all heads and all revocations.
    #[must_use]
    pub fn standing(&self) -> [String; 2] {
        [format!("{}/head/+", self.root), format!("{}/revoked/+", self.root)]
    }

    /// What a topic is; `None` of one that is none of the directory's.
    #[must_use]
    pub fn parse(&self, topic: &str) -> Option<SiteTopic> {
        let (kind, name) = topic.strip_prefix(&self.root)?.strip_prefix('/')?.split_once('/')?;
        Some(match kind {
            "head" => SiteTopic::Head(Signer::parse(name)?),
            "revoked" => SiteTopic::Revoked(Signer::parse(name)?),
            "blob" => SiteTopic::Blob(Digest::parse(name)?),
            "request" if name == "any" => SiteTopic::Request(None),
            "request" => SiteTopic::Request(Some(Signer::parse(name)?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signer(n: u8) -> Signer {
        Signer([n; 32])
    }

    fn some() -> Vec<Entry> {
        let stamp = Stamp { counter: 7, signer: signer(1) };
        let content = Content::Present(Zeroizing::new(b"{}".to_vec()));
        vec![Entry { key: "ada".into(), stamp, content }, Entry { key: "bob".into(), stamp, content: Content::Revoked }]
    }

    #[test]
    fn a_head_keeps_its_text_and_what_is_signed() {
        let head = Head {
            v: 1,
            site: "works".into(),
            signer: signer(0xab),
            version: 9,
            count: 2,
            root: Digest([1; 32]),
            seen: BTreeMap::from([(signer(2), 4)]),
            sig: "00".into(),
        };
        let (ab, one, two) = ("ab".repeat(32), "01".repeat(32), "02".repeat(32));
        let text = format!(
            r#"{{"v":1,"site":"works","signer":"{ab}","version":9,"count":2,"root":"{one}","seen":{{"{two}":4}},"sig":"00"}}"#
        );
        assert_eq!(serde_json::to_string(&head).expect("serialises"), text);
        assert_eq!(serde_json::from_str::<Head>(&text).expect("reads"), head);
        assert_eq!(head.signed_text(), format!("cardea-site-head-1\nworks\n{ab}\n9\n2\n{one}\n{two} 4"));
    }

    #[test]
    fn a_node_is_read_back_and_has_one_form_only() {
        let nodes = [Node::Leaf(some()), Node::Index(BTreeMap::from([(0, Digest([3; 32])), (15, Digest([4; 32]))]))];
        for node in nodes {
            let bytes = node.bytes();
            assert_eq!(Node::parse(&bytes), Some(node));
            for n in 0..bytes.len() {
                let cut = Node::parse(&bytes[..n]);
                assert!(cut.is_none_or(|c| c.bytes()[..] == bytes[..n]), "cut to {n} bytes");
            }
        }
        let mut swapped = some();
        swapped.reverse();
        assert_eq!(Node::parse(&Node::Leaf(swapped).bytes()), None, "not in order");
        assert_eq!(Node::parse(&[1]), None, "an index without children");
        assert_eq!(Node::parse(&[1, 16].iter().copied().chain([0; 32]).collect::<Vec<_>>()), None, "no such slot");
    }

    #[test]
    fn topics_are_told_apart_and_foreign_ones_are_none() {
        let topics = SiteTopics::new("cardea", "works");
        let all = [
            SiteTopic::Head(signer(1)),
            SiteTopic::Revoked(signer(1)),
            SiteTopic::Blob(Digest([2; 32])),
            SiteTopic::Request(Some(signer(1))),
            SiteTopic::Request(None),
        ];
        for what in all {
            assert_eq!(topics.parse(&topics.of(what)), Some(what));
            assert_eq!(SiteTopics::new("cardea", "other").parse(&topics.of(what)), None);
        }
        assert_eq!(topics.of(all[0]), format!("cardea/site/works/directory/head/{}", "01".repeat(32)));
        for bad in ["", "cardea/site/works/directory/head/AB", "cardea/site/works/directory/blob"] {
            assert_eq!(topics.parse(bad), None, "{bad}");
        }
        assert_eq!(Digest::parse(&"AB".repeat(32)), None, "one spelling only");
    }

    proptest! {
        /// Bytes from outside never do more than not being a node, and a node that is read writes the same bytes.
        #[test]
        fn any_bytes_are_a_node_or_none(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..4) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            if let Some(node) = Node::parse(&bytes) {
                prop_assert_eq!(&node.bytes()[..], &bytes[..]);
            }
        }
    }
}
