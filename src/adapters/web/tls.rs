//! The certificate of the console: self-signed at the first start, or the owner's own; a new one is taken while running.

use crate::config::sections::WebConfig;
use crate::ports::{PortError, Recovery};
use crate::schema::record::hex;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, version};

/// Browsers refuse certificates of more days.
const VALID: Duration = Duration::from_hours(397 * 24);
/// A self-signed certificate is replaced when so little is left of it.
const RENEW: Duration = Duration::from_hours(30 * 24);
const DAY_S: i64 = 24 * 3600;

/// Where certificate and key lie, and whether they are ours to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub self_signed: bool,
}

impl Place {
    /// The owner's files, else those in the state directory.
    #[must_use]
    pub fn of(config: &WebConfig, state: &Path) -> Place {
        match &config.own {
            Some((cert, key)) => Place { cert: cert.clone(), key: key.clone(), self_signed: false },
            None => Place { cert: state.join("web-cert.pem"), key: state.join("web-key.pem"), self_signed: true },
        }
    }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CertInfo {
    pub subject: String,
    pub names: Vec<String>,
    /// RFC 3339, UTC.
    pub not_before: String,
    pub not_after: String,
    pub days_left: i64,
    /// SHA-256 of the certificate, pairs of hexadecimal digits with colons, as browsers show it.
    pub fingerprint: String,
    pub self_signed: bool,
}

/// The certificate at a place.
///
/// # Errors
/// It cannot be read, or is none.
pub fn show(place: &Place) -> Result<CertInfo, PortError> {
    info(&chain(place)?, place)
}

/// Makes a self-signed certificate with a new key, in place of what is there.
///
/// # Errors
/// The owner's own files are never replaced; nothing was written.
pub fn renew(place: &Place, names: &[String]) -> Result<CertInfo, PortError> {
    if !place.self_signed {
        let cause = "it is your own, named in web.cert_file";
        return Err(fault("renew the certificate", cause, "replace the files; a running daemon takes them by itself"));
    }
    make(place, names)?;
    show(place)
}

/// Makes sure that a certificate is there, and that a self-signed one lasts.
///
/// # Errors
/// It cannot be read or written.
pub fn ensure(place: &Place, names: &[String]) -> Result<CertInfo, PortError> {
    if !place.self_signed {
        return show(place);
    }
    let missing = !place.cert.exists() || !place.key.exists();
    if missing || show(place)?.days_left < i64::try_from(RENEW.as_secs()).unwrap_or(0) / DAY_S {
        make(place, names)?;
    }
    show(place)
}

fn make(place: &Place, names: &[String]) -> Result<(), PortError> {
    let failed = |e: rcgen::Error| fault("make a certificate", e, "check the clock and web.names");
    let all = own_names(names);
    let mut params = CertificateParams::new(all.clone()).map_err(failed)?;
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, all.first().map_or("cardea", String::as_str));
    dn.push(DnType::OrganizationName, "Cardea");
    params.distinguished_name = dn;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    // An hour back: the clocks of those who visit differ.
    params.not_before = (now - Duration::from_hours(1)).into();
    params.not_after = (now + VALID).into();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let cert = params.self_signed(&key).map_err(failed)?;
    // The key first: a certificate without its key would be found at the next start and be of no use.
    write(&place.key, &key.serialize_pem())?;
    write(&place.cert, &cert.pem())
}

/// Durable, mode 0600, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), PortError> {
    let draft = path.with_extension("new");
    let done = || -> std::io::Result<()> {
        match std::fs::remove_file(&draft) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        if let Some(dir) = path.parent().filter(|_| rustix::process::geteuid().is_root()) {
            use std::os::unix::fs::MetadataExt;
            let owner = dir.metadata()?;
            std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    done().map_err(|e| fault(&format!("write {}", path.display()), e, "check the state directory and its owner"))
}

fn chain(place: &Place) -> Result<Vec<CertificateDer<'static>>, PortError> {
    let what = format!("read the certificate {}", place.cert.display());
    let hint = "name a PEM file that the daemon may read, or run `cardea cert renew`";
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&place.cert).and_then(Iterator::collect);
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(fault(&what, "there is none in it", hint)),
        Err(e) => Err(fault(&what, e, hint)),
    }
}

fn info(chain: &[CertificateDer<'static>], place: &Place) -> Result<CertInfo, PortError> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let what = format!("read the certificate {}", place.cert.display());
    let leaf = chain.first().ok_or_else(|| fault(&what, "there is none in it", "name another file"))?;
    let (_, cert) = X509Certificate::from_der(leaf).map_err(|e| fault(&what, e, "name another file"))?;
    let alternative = cert.subject_alternative_name().ok().flatten();
    let name = |n: &GeneralName<'_>| match n {
        GeneralName::DNSName(d) => Some((*d).to_owned()),
        GeneralName::IPAddress(b) => match b.len() {
            4 => <[u8; 4]>::try_from(*b).ok().map(|b| Ipv4Addr::from(b).to_string()),
            _ => <[u8; 16]>::try_from(*b).ok().map(|b| Ipv6Addr::from(b).to_string()),
        },
        _ => None,
    };
    let names = alternative.map(|a| a.value.general_names.iter().filter_map(name).collect()).unwrap_or_default();
    let time = |t: x509_parser::time::ASN1Time| {
        jiff::Timestamp::from_second(t.timestamp()).map(|t| t.to_string()).unwrap_or_default()
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Ok(CertInfo {
        subject: cert.subject().to_string(),
        names,
        not_before: time(cert.validity().not_before),
        not_after: time(cert.validity().not_after),
        days_left: (cert.validity().not_after.timestamp() - i64::try_from(now).unwrap_or(0)).div_euclid(DAY_S),
        fingerprint: fingerprint(leaf),
        self_signed: place.self_signed,
    })
}

/// As browsers show it.
fn fingerprint(der: &CertificateDer<'_>) -> String {
    let digits = hex(&Sha256::digest(der)).to_uppercase();
    let mut out = String::with_capacity(95);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && i % 2 == 0 {
            out.push(':');
        }
        let _never = out.write_char(c);
    }
    out
}

/// Host, host.local, localhost, the machine's addresses, and what the owner names.
fn own_names(more: &[String]) -> Vec<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.').collect();
    let mut all: Vec<String> = Vec::new();
    if !host.is_empty() {
        let short = host.split('.').next().unwrap_or_default().to_owned();
        all.extend([host, format!("{short}.local")]);
    }
    all.push("localhost".into());
    all.extend(addresses().iter().map(IpAddr::to_string));
    all.extend(more.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|n| seen.insert(n.clone()));
    all
}

/// How others reach what listens there; `None` on loopback.
pub fn reached_at(listen: IpAddr) -> Option<String> {
    let named = |ip: IpAddr| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    if listen.is_loopback() {
        return None;
    }
    if !listen.is_unspecified() {
        return Some(named(listen));
    }
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(a) => !a.is_loopback() && !a.is_link_local(),
        IpAddr::V6(_) => false,
    };
    let own = addresses().into_iter().find(usable).map(named);
    own.or_else(|| own_names(&[]).into_iter().find(|n| n.ends_with(".local")))
}

/// Addresses of this machine, from /proc: asking by netlink is forbidden to the service.
fn addresses() -> Vec<IpAddr> {
    let v4 = local_v4(&std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default());
    let v6 = local_v6(&std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default());
    v4.into_iter().map(IpAddr::V4).chain(v6.into_iter().map(IpAddr::V6)).collect()
}

/// An address stands on the line before `/32 host LOCAL`.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut last: Option<Ipv4Addr> = None;
    let mut all = std::collections::BTreeSet::new();
    for line in trie.lines() {
        if let Some(a) = line.trim().strip_prefix("|-- ") {
            last = a.parse().ok();
        } else if line.contains("/32 host LOCAL") {
            all.extend(last);
        }
    }
    all.into_iter().collect()
}

/// Loopback and global addresses; a link-local one means nothing without its interface.
fn local_v6(text: &str) -> Vec<Ipv6Addr> {
    let parse = |l: &str| u128::from_str_radix(l.split_whitespace().next()?, 16).ok().map(Ipv6Addr::from);
    text.lines().filter_map(parse).filter(|a| !a.is_unicast_link_local()).collect()
}

/// The certificate in use; replaced while connections run.
#[derive(Debug)]
pub struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().expect("certificate lock: no holder panics").clone())
    }
}

/// Loads certificate and key.
fn certified(place: &Place) -> Result<Arc<CertifiedKey>, PortError> {
    let hint = "name the key that belongs to the certificate";
    let what = format!("use the key {}", place.key.display());
    let key = PrivateKeyDer::from_pem_file(&place.key).map_err(|e| fault(&what, e, hint))?;
    let key =
        CertifiedKey::from_der(chain(place)?, key, &ring::default_provider()).map_err(|e| fault(&what, e, hint))?;
    Ok(Arc::new(key))
}

/// The TLS side of the server, and what follows new files.
pub struct Tls {
    pub config: Arc<ServerConfig>,
    pub info: CertInfo,
    current: Arc<Current>,
    place: Place,
    names: Vec<String>,
    taken: Option<SystemTime>,
}

impl Tls {
    /// Makes what is missing and loads it.
    ///
    /// # Errors
    /// As [`ensure`], and for a key that does not belong to the certificate.
    pub fn open(place: Place, names: &[String]) -> Result<Tls, PortError> {
        let info = ensure(&place, names)?;
        let current = Arc::new(Current(RwLock::new(certified(&place)?)));
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|e| fault("set TLS up", e, "please report this"))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let taken = modified(&place.cert);
        Ok(Tls { config: Arc::new(config), info, current, place, names: names.to_vec(), taken })
    }

    /// Takes a new certificate, once a minute; a broken one leaves the old in use.
    pub fn follow(&mut self) {
        let outcome = ensure(&self.place, &self.names).and_then(|info| {
            let now = modified(&self.place.cert);
            if now == self.taken {
                return Ok(());
            }
            let key = certified(&self.place)?;
            *self.current.0.write().expect("certificate lock: no holder panics") = key;
            self.taken = now;
            tracing::warn!(
                fingerprint = info.fingerprint,
                not_after = info.not_after,
                "the console has a new certificate"
            );
            self.info = info;
            Ok(())
        });
        if let Err(e) = outcome {
            tracing::error!(error = %e, "the certificate could not be renewed; the old one stays in use");
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|m| m.modified()).ok()
}

fn fault(what: &str, cause: impl ToString, hint: &str) -> PortError {
    PortError::new(what, cause, hint, Recovery::Fatal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> Place {
        Place { cert: dir.join("web-cert.pem"), key: dir.join("web-key.pem"), self_signed: true }
    }

    #[test]
    fn a_self_signed_certificate_names_the_machine_and_lasts_a_year() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = place(dir.path());
        let first = ensure(&place, &["door.example.org".into(), "192.0.2.7".into()]).expect("made");
        for name in ["localhost", "127.0.0.1", "door.example.org", "192.0.2.7"] {
            assert!(first.names.iter().any(|n| n == name), "{name} is missing in {:?}", first.names);
        }
        assert!((395..=397).contains(&first.days_left), "{}", first.days_left);
        assert_eq!(first.fingerprint.len(), 95);
        assert_eq!(ensure(&place, &[]).expect("kept").fingerprint, first.fingerprint);
        assert_ne!(renew(&place, &[]).expect("renewed").fingerprint, first.fingerprint);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(place.key.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_new_file_is_taken_while_running_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = place(dir.path());
        let mut tls = Tls::open(place.clone(), &[]).expect("opens");
        let before = tls.info.fingerprint.clone();
        make(&place, &[]).expect("made");
        std::fs::File::open(&place.cert)
            .and_then(|f| f.set_modified(SystemTime::now() + Duration::from_secs(9)))
            .expect("set");
        tls.follow();
        assert_ne!(tls.info.fingerprint, before);
        let kept = tls.info.fingerprint.clone();
        std::fs::write(&place.cert, "nonsense").expect("written");
        tls.follow();
        assert_eq!(tls.info.fingerprint, kept);
    }

    #[test]
    fn the_owners_files_are_never_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let mine = Place { self_signed: false, ..place(dir.path()) };
        assert!(renew(&mine, &[]).is_err());
        assert!(Tls::open(mine.clone(), &[]).is_err(), "and never made");
        assert!(!mine.cert.exists());
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let trie = "  |-- 10.1.2.0\n     /24 link UNICAST\n  |-- 10.1.2.3\n     /32 host LOCAL\n  |-- 10.1.2.255\n     /32 link BROADCAST\n";
        assert_eq!(local_v4(trie), [Ipv4Addr::new(10, 1, 2, 3)]);
        let v6 = "00000000000000000000000000000001 01 80 10 80 lo\nfe800000000000000000000000000001 02 40 20 80 eth0\n";
        assert_eq!(local_v6(v6), [Ipv6Addr::LOCALHOST]);
    }
}
