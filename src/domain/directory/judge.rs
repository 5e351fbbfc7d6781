//! Whether a signed message of the directory may be believed.

use crate::schema::directory::{Digest, Signer};
use std::collections::BTreeSet;

/// Why a message was refused; the word stands in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    TooLarge,
    /// Not in the form of such a message.
    Malformed,
    /// Of another site.
    Foreign,
    /// Of nobody whom the configuration trusts.
    UnknownSigner,
    /// Not signed by whom it names, or a blob that is not what its digest says.
    Forged,
    /// Older than what this signer has said already.
    RolledBack,
    /// Another text under a version that is known: two who sign with one key.
    Forked,
    /// Sealed with another key, or for another place.
    Unreadable,
}

impl Refusal {
    /// The word in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Refusal::TooLarge => "too_large",
            Refusal::Malformed => "malformed",
            Refusal::Foreign => "foreign",
            Refusal::UnknownSigner => "unknown_signer",
            Refusal::Forged => "forged",
            Refusal::RolledBack => "rolled_back",
            Refusal::Forked => "forked",
            Refusal::Unreadable => "unreadable",
        }
    }
}

/// What a signed message says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub site: &'a str,
    pub signer: Signer,
    /// The signer whose topic it came on.
    pub topic: Signer,
    pub version: u64,
    /// What the version stands for: the root of a book, or the digest of a revocation.
    pub content: Digest,
}

/// What this terminal knows.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    pub site: &'a str,
    pub trusted: &'a BTreeSet<Signer>,
    /// The newest of this signer that was believed.
    pub newest: Option<(u64, Digest)>,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Accept,
    /// It is the one that is known: brokers repeat themselves.
    Known,
    Refuse(Refusal),
}

/// Judges a message. `signed` tells whether its signature is that of the signer it names; it is only asked when all else is
/// right, so that strangers cost no arithmetic.
pub fn judge(claim: &Claim<'_>, here: &Here<'_>, signed: impl FnOnce() -> bool) -> Judgement {
    if claim.site != here.site {
        return Judgement::Refuse(Refusal::Foreign);
    }
    if !here.trusted.contains(&claim.signer) {
        return Judgement::Refuse(Refusal::UnknownSigner);
    }
    if claim.topic != claim.signer || !signed() {
        return Judgement::Refuse(Refusal::Forged);
    }
    match here.newest {
        Some((version, _)) if claim.version < version => Judgement::Refuse(Refusal::RolledBack),
        Some((version, content)) if claim.version == version => {
            if claim.content == content {
                Judgement::Known
            } else {
                Judgement::Refuse(Refusal::Forked)
            }
        }
        _ => Judgement::Accept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_refuse_is_told_and_only_the_next_version_is_accepted() {
        let (ada, eve) = (Signer([1; 32]), Signer([2; 32]));
        let trusted = BTreeSet::from([ada]);
        let here = Here { site: "works", trusted: &trusted, newest: Some((5, Digest([7; 32]))) };
        let claim = Claim { site: "works", signer: ada, topic: ada, version: 6, content: Digest([8; 32]) };
        use Judgement::{Accept, Known, Refuse};
        for (claim, signed, want) in [
            (claim, true, Accept),
            (claim, false, Refuse(Refusal::Forged)),
            (Claim { topic: eve, ..claim }, true, Refuse(Refusal::Forged)),
            (Claim { signer: eve, topic: eve, ..claim }, true, Refuse(Refusal::UnknownSigner)),
            (Claim { site: "other", ..claim }, true, Refuse(Refusal::Foreign)),
            (Claim { version: 4, ..claim }, true, Refuse(Refusal::RolledBack)),
            (Claim { version: 4, ..claim }, false, Refuse(Refusal::Forged)),
            (Claim { version: 5, ..claim }, true, Refuse(Refusal::Forked)),
            (Claim { version: 5, content: Digest([7; 32]), ..claim }, true, Known),
        ] {
            assert_eq!(judge(&claim, &here, || signed), want, "{claim:?}");
        }
        assert_eq!(judge(&Claim { version: 0, ..claim }, &Here { newest: None, ..here }, || true), Accept);
    }
}
