//! Signed receipts of removals, kept in `receipts/` of the state directory: the tombstones of people who were removed.

use super::device_key::{DeviceKey, PublicKey};
use super::people::Removal;
use super::{StoreError, files, seal};
use crate::schema::ids::PersonId;
use crate::schema::receipt::Receipt;
use crate::schema::record::{Record, chain_hash, hex};
use std::path::{Path, PathBuf};

const DIR: &str = "receipts";

/// Signs what the record of a removal says, and keeps the receipt; returns it with its file.
///
/// # Errors
/// There is no device key, or the file cannot be written. The person is removed all the same.
pub fn issue(
    dir: &Path,
    person: &PersonId,
    removal: &Removal,
    record: &Record,
) -> Result<(Receipt, PathBuf), StoreError> {
    let key = DeviceKey::existing(dir)?;
    let home = dir.join(DIR);
    let path = home.join(format!("removal-{}.json", record.seq));
    let salt = hex(&seal::random::<16>(&path)?);
    let mut receipt = Receipt {
        v: 1,
        what: record.event.kind(),
        device: record.device.clone(),
        person_sha256: Receipt::hash_of(&salt, person.as_str()),
        salt,
        templates: removal.templates,
        master_key_replaced: removal.key_replaced,
        erased: removal.erased,
        at: record.time.clone(),
        seq: record.seq,
        record: chain_hash(&record.text()),
        key: key.public().hex(),
        sig: String::new(),
    };
    receipt.sig = key.sign(&receipt.signed_text());
    files::private_dir(&home)?;
    files::replace(&path, format!("{}\n", receipt.text()).as_bytes())?;
    Ok((receipt, path))
}

/// What is wrong with a receipt; `person` is whose it is said to be.
///
/// # Errors
/// The sentence for people.
pub fn check(receipt: &Receipt, key: &PublicKey, person: Option<&PersonId>) -> Result<(), String> {
    if receipt.key != key.hex() {
        return Err(format!("it is signed by another key ({})", receipt.key));
    }
    if !key.verifies(&receipt.signed_text(), &receipt.sig) {
        return Err("the signature is not right: the receipt was changed, or is from elsewhere".into());
    }
    match person {
        Some(p) if Receipt::hash_of(&receipt.salt, p.as_str()) != receipt.person_sha256 => {
            Err(format!("it is not the receipt of {p}"))
        }
        _ => Ok(()),
    }
}
