//! What lies on the disk: the state directory, its stores, the pack and its networks.

use super::Check;
use crate::adapters::infer::manifest::Pack;
use crate::adapters::infer::ort::{ALL_ROLES, Settings, read_checked, runtime_in_use, verify};
use crate::adapters::infer::scripted::Script;
use crate::adapters::store::{EncryptedPeople, SqliteJournal, StoreError, Trouble};
use crate::config::sections::{Models, Provider};
use crate::ports::{Journal, PeopleStore, PortError};
use rustix::fs::{Access, access, statvfs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Below this the journal lives on the space that it holds back (16 MiB) soon.
const LITTLE_MB: u64 = 256;
/// Below this it does already.
const TOO_LITTLE_MB: u64 = 32;

/// Exists, private, writable, with room.
pub(super) fn state_dir(dir: &Path) -> Check {
    const ID: &str = "state_dir";
    let shown = dir.display();
    let meta = match dir.metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return absent(dir),
        Err(e) => return Check::fail(ID, format!("{shown}: {e}"), "run as the daemon's user, or check --state"),
    };
    if !meta.is_dir() {
        return Check::fail(ID, format!("{shown} is no directory"), "point --state or store.dir at a directory");
    }
    if access(dir, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let fix = format!("run as its owner (uid {}), or point --state elsewhere", meta.uid());
        return Check::fail(ID, format!("{shown} cannot be written by this user"), fix);
    }
    let free_mb = match statvfs(dir) {
        Ok(fs) => fs.f_bavail.saturating_mul(fs.f_frsize) >> 20,
        Err(e) => return Check::fail(ID, format!("{shown}: free space: {e}"), "check the file system"),
    };
    if let Some((what, fix)) = too_open(meta.mode(), dir) {
        return Check::fail(ID, what, fix);
    }
    let what = format!("{shown}: private, writable, {free_mb} MiB free");
    match free_mb {
        0..TOO_LITTLE_MB => Check::fail(ID, what, "free space on that file system"),
        TOO_LITTLE_MB..LITTLE_MB => Check::warn(ID, what, "free space on that file system"),
        _ => Check::ok(ID, what),
    }
}

/// What is wrong with a mode that lets others in.
fn too_open(mode: u32, dir: &Path) -> Option<(String, String)> {
    let shown = dir.display();
    (mode & 0o077 != 0)
        .then(|| (format!("{shown} has mode {:04o}: others may look in", mode & 0o7777), format!("chmod 700 {shown}")))
}

fn absent(dir: &Path) -> Check {
    let above = dir.ancestors().skip(1).find(|d| d.exists()).unwrap_or(Path::new("."));
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    let what = format!("{} is not there", dir.display());
    if access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        Check::warn("state_dir", what, "the first start, or the first `cardea enroll`, makes it")
    } else {
        let fix = format!("install -d -m 0700 -o USER {}, or point --state elsewhere", dir.display());
        Check::fail("state_dir", what, fix)
    }
}

fn store_fault(id: &'static str, e: StoreError) -> Check {
    port_fault(id, e.port)
}

fn port_fault(id: &'static str, e: PortError) -> Check {
    Check::fail(id, format!("{}: {}", e.what, e.cause), e.hint)
}

/// Opens, and every hash of the chain is right.
pub(super) fn journal(dir: &Path) -> Check {
    const ID: &str = "journal";
    let mut journal = match SqliteJournal::open_reader(dir) {
        Ok(journal) => journal,
        Err(e) if e.trouble == Trouble::Missing => {
            return Check::skip(ID, "there is none yet; the first start makes it");
        }
        Err(e) => return store_fault(ID, e),
    };
    match journal.verify() {
        Err(e) => port_fault(ID, e),
        Ok(report) => match report.first_bad_seq {
            None => Check::ok(ID, format!("{} records, chain unbroken", report.records)),
            Some(seq) => Check::fail(
                ID,
                format!("the chain is broken at record {seq}: {}", report.cause.unwrap_or_default()),
                "keep a copy of journal.db for study, then restore it from a backup",
            ),
        },
    }
}

/// Opens with a key that nobody else can read.
pub(super) fn people(dir: &Path, digest: Option<&str>) -> Check {
    const ID: &str = "people";
    if !EncryptedPeople::exists(dir) {
        return Check::warn(ID, "nobody is enrolled", "cardea enroll NAME --image FILE");
    }
    let mut store = match EncryptedPeople::open(dir) {
        Ok(store) => store,
        Err(e) => return store_fault(ID, e),
    };
    match store.list() {
        Err(e) => port_fault(ID, e),
        Ok(all) if all.is_empty() => Check::warn(ID, "nobody is enrolled", "cardea enroll NAME --image FILE"),
        Ok(all) => {
            let waiting = digest.map_or(0, |d| all.iter().filter(|p| !p.models.iter().any(|m| m == d)).count());
            let what = format!("{} people, key private", all.len());
            if waiting == 0 {
                return Check::ok(ID, what);
            }
            let fix =
                "enrol them again (`cardea people list` names them), or go back to the pack they were enrolled with";
            Check::warn(
                ID,
                format!("{what}; {waiting} have no template of the network in use and are not recognised"),
                fix,
            )
        }
    }
}

/// `models` and `runtime`: the files in use by digest, then the library and what the networks answer on it.
pub(super) fn networks(models: &Models) -> [Check; 2] {
    if let Some(script) = &models.script {
        let read = match Script::read(script) {
            Ok(s) => Check::ok("models", format!("{}: {} rows instead of networks", script.display(), s.rows.len())),
            Err(e) => port_fault("models", e),
        };
        return [read, Check::skip("runtime", "a script needs none")];
    }
    let pack = match Pack::read(&models.packs, &models.pack) {
        Ok(pack) => pack,
        Err(e) => {
            let cause = format!("{}: {}", e.what, e.cause);
            return [Check::fail("models", cause, e.hint), runtime(models, None)];
        }
    };
    let files = pack.models.iter().map(|model| model.file_for(models.precision).map(|file| (model, file)));
    let files: Vec<_> = match files.collect() {
        Ok(files) => files,
        Err(e) => return [port_fault("models", e), runtime(models, None)],
    };
    let bad: Vec<String> = files
        .iter()
        .filter_map(|(_, file)| read_checked(file, &models.cache).err().map(|b| (file, b)))
        .map(|(file, bad)| format!("{}: {}", file.file, bad.state.name()))
        .collect();
    let here = files.len() - bad.len();
    let place = models.cache.display();
    if bad.is_empty() {
        let checked = Check::ok("models", format!("{here} of {} files in {place}, digests right", files.len()));
        return [checked, runtime(models, Some(&pack))];
    }
    let what = format!("{here} of {} files in {place} are right; {}", files.len(), bad.join(", "));
    [Check::fail("models", what, "run `make models` or `cardea models install`"), runtime(models, None)]
}

/// The library; with a pack whose files are right also the known answers.
fn runtime(models: &Models, pack: Option<&Pack>) -> Check {
    const ID: &str = "runtime";
    let name = if models.provider == Provider::Tract {
        "tract, which is part of the program,".to_owned()
    } else {
        let (path, version) = match runtime_in_use(models.runtime.as_deref(), &models.cache) {
            Ok(found) => found,
            Err(e) => return port_fault(ID, e),
        };
        format!("ONNX Runtime {} ({})", version.as_deref().unwrap_or("of unknown version"), path.display())
    };
    let Some(pack) = pack else {
        let fix = "mend `models` first";
        return Check::warn(ID, format!("{name} loads; the networks could not be tried on it"), fix);
    };
    let settings = Settings {
        cache: &models.cache,
        precision: models.precision,
        provider: models.provider,
        runtime: models.runtime.as_deref(),
        threads: models.threads,
        roles: ALL_ROLES,
    };
    for model in &pack.models {
        let tried = model.file_for(models.precision).and_then(|file| verify(model, file, &settings));
        match tried {
            Ok(Ok(())) => {}
            Ok(Err(bad)) => return port_fault(ID, bad.error),
            Err(e) => return port_fault(ID, e),
        }
    }
    Check::ok(ID, format!("{name}, {} known answers right", pack.models.len()))
}

/// Whether the pack can tell a picture of a face from a face.
pub(super) fn pack(models: &Models) -> Check {
    if models.script.is_some() {
        return Check::warn(
            "pack",
            "a script says who is there and whether alive",
            "choose models.pack = \"standard\"",
        );
    }
    match Pack::read(&models.packs, &models.pack) {
        Err(e) => port_fault("pack", e),
        Ok(pack) => judge_pack(&pack.name, pack.passive_pad),
    }
}

fn judge_pack(name: &str, passive_pad: bool) -> Check {
    if passive_pad {
        Check::ok("pack", format!("{name}: passive and active liveness"))
    } else {
        let what = format!("{name} has no passive_pad: active liveness only, the challenge is the one defence");
        Check::warn("pack", what, "keep challenge.mode = \"always\", or choose a pack with PAD networks")
    }
}

/// One warning for each setting in force.
pub(super) fn insecure(in_force: &[&str]) -> Vec<Check> {
    if in_force.is_empty() {
        return vec![Check::ok("insecure", "no insecure setting is on")];
    }
    let warn = |name: &&str| {
        let fix = format!("take insecure.{name} out of the configuration before this machine guards a door");
        Check::warn("insecure", format!("insecure.{name} is on"), fix)
    };
    in_force.iter().map(warn).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_others_can_look_into_fails_with_the_command_that_closes_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        create_dir(&state).unwrap();
        set_permissions(&state, Permissions::from_mode(0o750)).unwrap();
        let check = state_dir(&state);
        assert_eq!(check.status, Status::Fail);
        assert!(check.what.contains("mode 0750"), "{check:?}");
        assert_eq!(check.fix, Some(format!("chmod 700 {}", state.display())));
        set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
        assert_ne!(state_dir(&state).fix, check.fix);
    }

    #[test]
    fn a_directory_that_can_be_made_is_a_warning_and_a_file_in_its_place_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(state_dir(&dir.path().join("a/b")).status, Status::Warn);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(state_dir(&file).status, Status::Fail);
    }

    #[test]
    fn stores_that_are_not_there_are_no_faults_and_stay_away() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(journal(dir.path()).status, Status::Skip);
        assert_eq!(people(dir.path(), None).status, Status::Warn);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_sound_journal_is_counted_and_a_foreign_file_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        drop(SqliteJournal::open(dir.path()).unwrap());
        assert_eq!(journal(dir.path()), Check::ok("journal", "0 records, chain unbroken"));
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("journal.db"), "not a database, but long enough to be read as one").unwrap();
        let check = journal(other.path());
        assert_eq!(check.status, Status::Fail);
        assert!(check.fix.is_some());
    }

    #[test]
    fn a_key_that_others_can_read_is_a_fault_with_its_fix() {
        let dir = tempfile::tempdir().unwrap();
        drop(EncryptedPeople::open(dir.path()).unwrap());
        assert_eq!(people(dir.path(), None).status, Status::Warn);
        let key = dir.path().join("people.key");
        set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        let check = people(dir.path(), None);
        assert_eq!(check.status, Status::Fail);
        assert!(check.fix.unwrap().starts_with("chmod 600"));
    }

    #[test]
    fn people_whose_templates_are_of_another_network_are_counted() {
        use crate::domain::gallery::Template;
        use crate::schema::ids::PersonId;
        let dir = tempfile::tempdir().unwrap();
        let mut store = EncryptedPeople::open(dir.path()).unwrap();
        for (name, model) in [("ada", "old"), ("bob", "new"), ("eve", "old"), ("eve", "new")] {
            let template = Template { model: model.into(), embedding: vec![0.5; 4].into() };
            store.add(&PersonId::new(name).unwrap(), &[template], 0).unwrap();
        }
        let check = people(dir.path(), Some("new"));
        assert!(check.status == Status::Warn && check.what.contains("3 people") && check.what.contains("; 1 have"));
        assert_eq!(people(dir.path(), Some("old")).status, Status::Warn);
        assert_eq!(people(dir.path(), None).status, Status::Ok);
    }

    #[test]
    fn every_insecure_setting_and_a_pack_without_pad_are_said() {
        assert_eq!(insecure(&[])[0].status, Status::Ok);
        let two = insecure(&["challenge_off", "virtual_camera"]);
        assert_eq!(two.len(), 2);
        assert!(two.iter().all(|c| c.status == Status::Warn) && two[1].what.contains("virtual_camera"));
        assert_eq!(judge_pack("a", true).status, Status::Ok);
        let check = judge_pack("a", false);
        assert!(check.status == Status::Warn && check.what.contains("active liveness only"));
    }
}
