//! Who may use the console and the API: names, roles, password hashes and API tokens, in `accounts.db`.
//!
//! Passwords are kept as argon2id (19 MiB, 2 passes), tokens as SHA-256 of 256 random bits, which needs no slow hash.

use crate::ports::{PortError, Recovery};
use crate::schema::record::hex;
use argon2::{Algorithm, Argon2, Params, Version};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// What an account may do; each may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Begins sessions for others, redeems tokens, opens the door where that is allowed.
    Operator,
    /// People, accounts, tokens.
    Admin,
}

impl Role {
    const ALL: [(Role, &str); 3] = [(Role::Viewer, "viewer"), (Role::Operator, "operator"), (Role::Admin, "admin")];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(r, _)| *r == self).map_or("viewer", |(_, n)| n)
    }

    fn named(name: &str) -> Option<Role> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(r, _)| *r)
    }
}

/// Somebody who logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    pub name: String,
    pub role: Role,
    pub created_unix_ms: i64,
}

/// A token for programs, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiToken {
    /// Number, for removing it.
    pub id: i64,
    pub name: String,
    pub role: Role,
    pub created_unix_ms: i64,
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("{0}")]
    Refused(&'static str),
    /// It goes against what is there.
    #[error("{0}")]
    Conflict(&'static str),
    #[error(transparent)]
    Store(#[from] PortError),
}

/// Shortest and longest password, in characters; length is what counts (NIST SP 800-63B).
const PASSWORD: std::ops::RangeInclusive<usize> = 10..=128;
/// Marks tokens, so that scanners find one that has leaked.
const TOKEN_PREFIX: &str = "cardea_";

const LAYOUT: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL,
        created_unix_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS tokens (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
        sha256 TEXT NOT NULL UNIQUE, created_unix_ms INTEGER NOT NULL) STRICT;
    ";

/// The accounts of one terminal.
pub struct Accounts {
    conn: Connection,
    path: PathBuf,
}

impl Accounts {
    /// Opens or makes the file, mode 0600.
    ///
    /// # Errors
    /// It cannot be opened, or is something else.
    pub fn open(state: &Path) -> Result<Self, PortError> {
        let path = state.join("accounts.db");
        let made = std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let hint = "check the state directory and its owner";
        let file = made.map_err(|e| PortError::new(format!("open {}", path.display()), e, hint, Recovery::Fatal))?;
        if let (true, Ok(owner)) = (rustix::process::geteuid().is_root(), state.metadata()) {
            use std::os::unix::fs::MetadataExt;
            let _best_effort = std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()));
        }
        drop(file);
        let open = || -> rusqlite::Result<Connection> {
            let conn = Connection::open(&path)?;
            conn.busy_timeout(std::time::Duration::from_secs(2))?;
            conn.execute_batch(LAYOUT)?;
            Ok(conn)
        };
        let conn = open().map_err(|e| sql(&path, &e))?;
        Ok(Accounts { conn, path })
    }

    /// Whether nobody can log in yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_empty(&self) -> Result<bool, PortError> {
        let n: i64 = self.conn.query_row("SELECT count(*) FROM users", [], |r| r.get(0)).map_err(|e| self.sql(&e))?;
        Ok(n == 0)
    }

    /// Everybody who can log in, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn users(&self) -> Result<Vec<User>, PortError> {
        let read = || -> rusqlite::Result<Vec<User>> {
            let mut rows = self.conn.prepare("SELECT name, role, created_unix_ms FROM users ORDER BY name")?;
            let row = |r: &rusqlite::Row<'_>| {
                let role: String = r.get(1)?;
                let role = Role::named(&role).unwrap_or(Role::Viewer);
                Ok(User { name: r.get(0)?, role, created_unix_ms: r.get(2)? })
            };
            rows.query_map([], row)?.collect()
        };
        read().map_err(|e| self.sql(&e))
    }

    /// Adds somebody, or gives them another role and password.
    ///
    /// # Errors
    /// A name or a hash that cannot be stored.
    pub fn put_user(&self, name: &str, role: Role, hash: &str, unix_ms: i64) -> Result<(), AccountError> {
        if !is_name(name) {
            return Err(AccountError::Refused("a name has 1 to 32 letters, digits or _ - ."));
        }
        let text = "INSERT INTO users VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (name) DO UPDATE SET role = excluded.role, hash = excluded.hash";
        self.conn.execute(text, params![name, role.name(), hash, unix_ms]).map_err(|e| self.sql(&e))?;
        Ok(())
    }

    /// Removes somebody; false when there is no such account. The last administrator stays.
    ///
    /// # Errors
    /// It is the last administrator, or the file cannot be written.
    pub fn remove_user(&self, name: &str) -> Result<bool, AccountError> {
        let users = self.users()?;
        let Some(user) = users.iter().find(|u| u.name == name) else { return Ok(false) };
        if user.role == Role::Admin && users.iter().filter(|u| u.role == Role::Admin).count() == 1 {
            return Err(AccountError::Conflict("the last administrator cannot be removed; add another one first"));
        }
        self.conn.execute("DELETE FROM users WHERE name = ?1", [name]).map_err(|e| self.sql(&e))?;
        Ok(true)
    }

    /// Role and password hash of an account.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn hash_of(&self, name: &str) -> Result<Option<(Role, String)>, PortError> {
        let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?));
        let found = self.conn.query_row("SELECT role, hash FROM users WHERE name = ?1", [name], row).optional();
        let found = found.map_err(|e| self.sql(&e))?;
        Ok(found.and_then(|(role, hash)| Some((Role::named(&role)?, hash))))
    }

    /// Makes a token; its secret is shown this once.
    ///
    /// # Errors
    /// The name is taken or is none.
    pub fn add_token(
        &self,
        name: &str,
        role: Role,
        secret: [u8; 32],
        unix_ms: i64,
    ) -> Result<(ApiToken, String), AccountError> {
        if !is_name(name) {
            return Err(AccountError::Refused("a name has 1 to 32 letters, digits or _ - ."));
        }
        let text = format!("{TOKEN_PREFIX}{}", hex(&secret));
        let digest = hex(&Sha256::digest(text.as_bytes()));
        let sql = "INSERT INTO tokens (name, role, sha256, created_unix_ms) VALUES (?1, ?2, ?3, ?4)";
        match self.conn.execute(sql, params![name, role.name(), digest, unix_ms]) {
            Ok(_) => {}
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                return Err(AccountError::Conflict("there is a token of this name; remove it or choose another name"));
            }
            Err(e) => return Err(self.sql(&e).into()),
        }
        let id = self.conn.last_insert_rowid();
        Ok((ApiToken { id, name: name.to_owned(), role, created_unix_ms: unix_ms }, text))
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn tokens(&self) -> Result<Vec<ApiToken>, PortError> {
        self.tokens_where("1 = 1 OR ?1", "")
    }

    /// The token whose secret this is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn token_of(&self, secret: &str) -> Result<Option<ApiToken>, PortError> {
        if !secret.starts_with(TOKEN_PREFIX) || secret.len() != TOKEN_PREFIX.len() + 64 {
            return Ok(None);
        }
        // Equal digests are found through the index; what that takes tells nothing of a secret of 256 random bits.
        Ok(self.tokens_where("sha256 = ?1", &hex(&Sha256::digest(secret.as_bytes())))?.pop())
    }

    fn tokens_where(&self, condition: &str, value: &str) -> Result<Vec<ApiToken>, PortError> {
        let read = || -> rusqlite::Result<Vec<ApiToken>> {
            let text = format!("SELECT id, name, role, created_unix_ms FROM tokens WHERE {condition} ORDER BY name");
            let mut rows = self.conn.prepare_cached(&text)?;
            let row = |r: &rusqlite::Row<'_>| {
                let role: String = r.get(2)?;
                let role = Role::named(&role).unwrap_or(Role::Viewer);
                Ok(ApiToken { id: r.get(0)?, name: r.get(1)?, role, created_unix_ms: r.get(3)? })
            };
            rows.query_map([value], row)?.collect()
        };
        read().map_err(|e| self.sql(&e))
    }

    /// Removes a token; false when there is none of that number.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove_token(&self, id: i64) -> Result<bool, PortError> {
        let n = self.conn.execute("DELETE FROM tokens WHERE id = ?1", [id]).map_err(|e| self.sql(&e))?;
        Ok(n > 0)
    }

    fn sql(&self, e: &rusqlite::Error) -> PortError {
        sql(&self.path, e)
    }
}

fn sql(path: &Path, e: &rusqlite::Error) -> PortError {
    PortError::new(format!("use {}", path.display()), e, "check the disk and the file", Recovery::Degrade)
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// OWASP's minimum for argon2id: 19 MiB, 2 passes; a Raspberry Pi 4 needs about a tenth of a second for it.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

fn derive(password: &str, salt: &[u8; 16], memory: u32, passes: u32) -> Option<Zeroizing<[u8; 32]>> {
    let params = Params::new(memory, passes, 1, Some(32)).ok()?;
    let mut out = Zeroizing::new([0; 32]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.as_bytes(), salt, out.as_mut_slice()).ok()?;
    Some(out)
}

/// The hash to be stored, `argon2id$<KiB>$<passes>$<salt>$<hash>`; slow on purpose. `salt` is fresh from the kernel.
///
/// # Errors
/// A password that is too short or too long.
pub fn hash(password: &Zeroizing<String>, salt: [u8; 16]) -> Result<String, AccountError> {
    if !PASSWORD.contains(&password.chars().count()) {
        return Err(AccountError::Refused("a password has 10 to 128 characters"));
    }
    let hashed = derive(password, &salt, MEMORY_KIB, PASSES);
    let hashed = hashed.ok_or(AccountError::Refused("this password cannot be stored"))?;
    Ok(format!("argon2id${MEMORY_KIB}${PASSES}${}${}", hex(&salt), hex(hashed.as_slice())))
}

/// Whether the password is that of the hash. Takes as long without one, so that nobody learns which names exist.
#[must_use]
pub fn verify(password: &Zeroizing<String>, stored: Option<&str>) -> bool {
    if password.chars().count() > *PASSWORD.end() {
        return false;
    }
    let known = stored.and_then(parse);
    let (memory, passes, salt, expected) = known.unwrap_or((MEMORY_KIB, PASSES, [0; 16], [0; 32]));
    let Some(found) = derive(password, &salt, memory, passes) else { return false };
    let differing = found.iter().zip(expected).fold(0, |d, (a, b)| d | (a ^ b));
    differing == 0 && known.is_some()
}

fn parse(stored: &str) -> Option<(u32, u32, [u8; 16], [u8; 32])> {
    let mut parts = stored.strip_prefix("argon2id$")?.split('$');
    let (memory, passes) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((memory, passes, unhex(parts.next()?)?, unhex(parts.next()?)?))
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (i, b) in out.iter_mut().enumerate() {
        *b = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn a_password_opens_its_own_hash_and_no_other() {
        let stored = hash(&password("correct horse"), [7; 16]).expect("hashed");
        assert!(stored.starts_with("argon2id$19456$2$"), "{stored}");
        assert!(verify(&password("correct horse"), Some(&stored)));
        assert!(!verify(&password("correct Horse"), Some(&stored)));
        assert!(!verify(&password("correct horse"), None));
        for broken in ["", "argon2id$", "argon2id$19456$2$00$00", &stored[..stored.len() - 2], "plain"] {
            assert!(!verify(&password("correct horse"), Some(broken)), "{broken}");
        }
        assert!(hash(&password("short"), [7; 16]).is_err());
        assert!(hash(&password(&"x".repeat(129)), [7; 16]).is_err());
    }

    #[test]
    fn the_last_administrator_stays_and_names_are_plain() {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(dir.path()).expect("opens");
        assert!(accounts.is_empty().expect("read"));
        accounts.put_user("root", Role::Admin, "h", 1).expect("added");
        accounts.put_user("guest", Role::Viewer, "h", 1).expect("added");
        assert!(matches!(accounts.remove_user("root"), Err(AccountError::Conflict(_))));
        assert!(accounts.remove_user("guest").expect("removed"));
        assert!(!accounts.remove_user("guest").expect("nobody"));
        for bad in ["", "a b", "a'; --", &"x".repeat(33)] {
            assert!(accounts.put_user(bad, Role::Admin, "h", 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_kept_as_a_digest_and_found_by_its_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(dir.path()).expect("opens");
        let (made, secret) = accounts.add_token("till", Role::Operator, [3; 32], 1).expect("made");
        assert_eq!(accounts.token_of(&secret).expect("read"), Some(made.clone()));
        assert_eq!(accounts.token_of(&secret.replace("03", "04")).expect("read"), None);
        assert!(accounts.add_token("till", Role::Operator, [4; 32], 1).is_err(), "the name is taken");
        let clear = secret.trim_start_matches(TOKEN_PREFIX).as_bytes().to_vec();
        for file in std::fs::read_dir(dir.path()).expect("a directory").flatten() {
            let bytes = std::fs::read(file.path()).expect("readable");
            assert!(!bytes.windows(clear.len()).any(|w| w == clear), "{:?} holds the secret", file.path());
        }
        assert!(accounts.remove_token(made.id).expect("removed"));
        assert_eq!(accounts.token_of(&secret).expect("read"), None);
    }
}
