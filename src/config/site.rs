//! `[site]` in both forms: as it is typed and as it was checked.

use super::check::Checker;
use super::raw::Raw;
use crate::schema::directory::Signer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSite {
    /// Name of the site whose people this terminal shares, 1 to 32 of a-z 0-9 _ - (docs/site.md). Unset: it shares nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"works")]
    pub name: Option<String>,
    /// File with the site's key, the same at every terminal. Unset: the systemd credential site.key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/site.key")]
    pub key_file: Option<PathBuf>,
    /// File with the key that this terminal signs with. Unset: the credential site-signer.key; without one it only follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/site-signer.key")]
    pub signer_key_file: Option<PathBuf>,
    /// Who may enrol and revoke for the site: "label:public key", as cardea site keygen prints it; the same at every terminal.
    pub signers: Vec<String>,
    /// Whether the rules that a signer published hold here in place of rules.file; until there are some rules.file holds, and without one nobody passes.
    pub rules: bool,
}

/// Section `[site]`, checked; only there when it has a name.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// `site.name`.
    pub name: String,
    /// `site.key_file`.
    pub key_file: Option<PathBuf>,
    /// `site.signer_key_file`.
    pub signer_key_file: Option<PathBuf>,
    /// `site.signers`: never empty.
    pub signers: BTreeMap<Signer, String>,
    /// `site.rules`, default false.
    pub rules: bool,
}

pub(super) fn check(c: &mut Checker<'_>, raw: &Raw) {
    let site = &raw.site;
    let Some(name) = &site.name else {
        if !site.signers.is_empty() || site.rules || site.key_file.is_some() || site.signer_key_file.is_some() {
            let key = if site.signers.is_empty() { "site.name" } else { "site.signers" };
            c.fault_between("site.name", key, "the site needs a name: set site.name, or leave [site] out");
        }
        return;
    };
    if !is_name(name) {
        c.fault("site.name", format!("`{name}` is not 1 to 32 of a-z 0-9 _ -"));
    }
    if !raw.mqtt.enabled {
        c.fault("site.name", "a site is shared over MQTT: set mqtt.enabled = true as well");
    }
    if site.signers.is_empty() {
        let what = "needs site.signers: the public keys of those who may enrol; nobody is trusted unnamed";
        c.fault_between("site.signers", "site.name", what);
    }
    let mut seen = BTreeMap::new();
    for text in &site.signers {
        match signer(text) {
            None => c.fault("site.signers", format!("`{text}` is not label:KEY with 64 lower-case hex digits")),
            Some((label, key)) => {
                let twice = seen.insert(key, label).is_some() || seen.values().filter(|l| **l == label).count() > 1;
                if twice {
                    c.fault("site.signers", format!("`{text}` names a key or a label a second time"));
                }
            }
        }
    }
}

pub(super) fn build(site: &RawSite) -> Option<SiteConfig> {
    Some(SiteConfig {
        name: site.name.clone()?,
        key_file: site.key_file.clone(),
        signer_key_file: site.signer_key_file.clone(),
        signers: site.signers.iter().filter_map(|t| signer(t)).map(|(l, k)| (k, l.to_owned())).collect(),
        rules: site.rules,
    })
}

/// Whether a site may be called so: one level of a topic.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(letter)
}

fn signer(text: &str) -> Option<(&str, Signer)> {
    let (label, key) = text.split_once(':')?;
    Some((label, Signer::parse(key)?)).filter(|_| is_name(label))
}
