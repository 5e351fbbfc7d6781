//! A disk that loses its power: what a process did to its files, as strace saw it, and what of that may be there
//! afterwards.
//!
//! A write counts from the next fsync of its file on. Until then each sector of it may be there or not, whatever came
//! later; a name counts from the next fsync of its directory on, in the order in which names were given.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One call that the process made, with its answer.
#[derive(Clone, Debug)]
pub enum Call {
    Open {
        name: String,
        fd: u64,
        creates: bool,
        truncates: bool,
    },
    Write {
        fd: u64,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Cut {
        fd: u64,
        len: usize,
    },
    Sync {
        fd: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        name: String,
    },
    /// A line on standard output.
    Said(String),
}

/// What strace must be told to follow.
pub const CALLS: &str = "openat,open,creat,pwrite64,write,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,\
                         unlinkat,writev,pwritev,pwritev2,copy_file_range,sendfile";

/// The calls of a trace (`strace -f -y -xx`) that touch files of `dir`, or standard output.
pub fn calls(trace: &str, dir: &Path) -> Vec<Call> {
    let root = format!("{}/", dir.display());
    trace.lines().filter_map(|line| call(line, &root)).collect()
}

fn call(line: &str, root: &str) -> Option<Call> {
    assert!(
        !line.contains("<unfinished"),
        "calls of two threads ran into each other: {}",
        &line[..line.len().min(200)]
    );
    let (_, rest) = line.split_once(' ')?;
    let (name, rest) = rest.trim_start().split_once('(')?;
    let (args, answer) = rest.rsplit_once(" = ")?;
    if answer.starts_with('-') {
        return None;
    }
    let args = args.strip_suffix(')')?;
    let texts: Vec<Vec<u8>> = args.split('"').skip(1).step_by(2).map(unhex).collect();
    let number = |text: &str| text.trim().split('<').next().and_then(|n| n.parse::<u64>().ok());
    let last = |text: &str| text.rsplit(", ").next().and_then(number);
    let here = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).strip_prefix(root).map(str::to_owned);
    let of_fd = || {
        let path = args.split(['<', '>']).nth(1).map(unhex).unwrap_or_default();
        let path = String::from_utf8_lossy(&path).into_owned();
        path.starts_with(root) || format!("{path}/") == root
    };
    match name {
        "openat" | "open" | "creat" => {
            let path = texts.first()?;
            let at = String::from_utf8_lossy(path).into_owned();
            let name = here(path).or_else(|| (format!("{at}/") == root).then(String::new))?;
            let (creates, truncates) = (args.contains("O_CREAT"), args.contains("O_TRUNC"));
            Some(Call::Open { name, fd: number(answer)?, creates, truncates })
        }
        "write" if number(args) == Some(1) => {
            Some(Call::Said(String::from_utf8_lossy(texts.first()?).trim().to_owned()))
        }
        "write" if of_fd() => Some(Call::Write { fd: number(args)?, at: None, bytes: texts.first()?.clone() }),
        "pwrite64" if of_fd() => {
            let at = usize::try_from(last(args)?).expect("64 bits");
            let bytes = texts.first()?.clone();
            assert_eq!(number(answer), Some(bytes.len() as u64), "strace cut a write short");
            Some(Call::Write { fd: number(args)?, at: Some(at), bytes })
        }
        "ftruncate" if of_fd() => {
            Some(Call::Cut { fd: number(args)?, len: usize::try_from(last(args)?).expect("64 bits") })
        }
        "fsync" | "fdatasync" if of_fd() => Some(Call::Sync { fd: number(args)? }),
        "rename" | "renameat" | "renameat2" => {
            Some(Call::Rename { from: here(texts.first()?)?, to: here(texts.get(1)?)? })
        }
        "unlink" | "unlinkat" => Some(Call::Unlink { name: here(texts.first()?)? }),
        "writev" | "pwritev" | "pwritev2" | "copy_file_range" | "sendfile" if of_fd() => {
            panic!("the disk does not know {name}")
        }
        _ => None,
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<&str> = text.split("\\x").skip(1).collect();
    digits.iter().map(|d| u8::from_str_radix(&d[..2], 16).expect("strace writes hexadecimal")).collect()
}

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    /// On the disk for certain.
    safe: Vec<u8>,
    /// Done since the last fsync.
    pending: Vec<Pending>,
    /// Where a plain `write` goes on.
    end: usize,
}

#[derive(Clone, Debug)]
enum Naming {
    Is(String, usize),
    Moves(String, String),
    Goes(String),
}

/// The disk while the process goes on.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    open: BTreeMap<u64, Option<usize>>,
    /// Names as the process sees them.
    seen: BTreeMap<String, usize>,
    /// Names that are on the disk for certain, and those that are not yet.
    safe: BTreeMap<String, usize>,
    naming: Vec<Naming>,
}

impl Disk {
    pub fn follow(&mut self, call: &Call) {
        match call {
            Call::Open { name, fd, .. } if name.is_empty() => {
                self.open.insert(*fd, None);
            }
            Call::Open { name, fd, creates, truncates } => {
                let file = match self.seen.get(name) {
                    Some(file) => *file,
                    None => {
                        assert!(*creates, "{name} was there before the trace began");
                        self.files.push(File::default());
                        let file = self.files.len() - 1;
                        self.seen.insert(name.clone(), file);
                        self.naming.push(Naming::Is(name.clone(), file));
                        file
                    }
                };
                self.files[file].end = 0;
                if *truncates {
                    self.files[file].pending.push(Pending::Cut(0));
                }
                self.open.insert(*fd, Some(file));
            }
            Call::Write { fd, at, bytes } => {
                let Some(Some(file)) = self.open.get(fd) else { panic!("a write to {fd}, which is not open") };
                let file = &mut self.files[*file];
                let at = at.unwrap_or(file.end);
                file.end = at + bytes.len();
                file.pending.push(Pending::Write(at, bytes.clone()));
            }
            Call::Cut { fd, len } => {
                if let Some(Some(file)) = self.open.get(fd) {
                    self.files[*file].pending.push(Pending::Cut(*len));
                }
            }
            Call::Sync { fd } => match self.open.get(fd) {
                Some(Some(file)) => {
                    let file = &mut self.files[*file];
                    for what in std::mem::take(&mut file.pending) {
                        apply(&mut file.safe, &what, |_| true);
                    }
                }
                _ => {
                    for naming in std::mem::take(&mut self.naming) {
                        name(&mut self.safe, &naming);
                    }
                }
            },
            Call::Rename { from, to } => {
                let naming = Naming::Moves(from.clone(), to.clone());
                name(&mut self.seen, &naming);
                self.naming.push(naming);
            }
            Call::Unlink { name: gone } => {
                let naming = Naming::Goes(gone.clone());
                name(&mut self.seen, &naming);
                self.naming.push(naming);
            }
            Call::Said(_) => {}
        }
    }

    /// Writes into `dir` what a cut at this moment leaves. `skip` are files that do not matter.
    pub fn cut(&self, rng: &mut ChaCha20Rng, dir: &Path, skip: &[&str]) {
        let mut names = self.safe.clone();
        // Names are journalled in their order: some of them are there, then none.
        let upto = rng.next_u64() as usize % (self.naming.len() + 1);
        self.naming[..upto].iter().for_each(|n| name(&mut names, n));
        // Everything, nothing, or a part of what was not yet safe.
        let chance = [0, 50, 50, 90, 100][rng.next_u64() as usize % 5];
        for (name, file) in names {
            if skip.iter().any(|s| name.ends_with(s)) {
                continue;
            }
            let file = &self.files[file];
            let mut bytes = file.safe.clone();
            for what in &file.pending {
                apply(&mut bytes, what, |_| rng.next_u64() % 100 < chance);
            }
            let path = dir.join(name);
            std::fs::write(&path, bytes).expect("writes");
            // What the rights were is not followed: they are those that every file of the journal has.
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("sets");
        }
    }
}

fn name(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Is(name, file) => {
            names.insert(name.clone(), *file);
        }
        Naming::Moves(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Naming::Goes(name) => {
            names.remove(name);
        }
    }
}

fn apply(bytes: &mut Vec<u8>, what: &Pending, mut there: impl FnMut(usize) -> bool) {
    match what {
        Pending::Cut(len) => {
            if there(0) {
                bytes.resize(*len, 0);
            }
        }
        Pending::Write(at, new) => {
            let mut from = *at;
            while from < at + new.len() {
                let to = ((from / SECTOR + 1) * SECTOR).min(at + new.len());
                if there(from) {
                    if bytes.len() < to {
                        bytes.resize(to, 0);
                    }
                    bytes[from..to].copy_from_slice(&new[from - at..to - at]);
                }
                from = to;
            }
        }
    }
}
