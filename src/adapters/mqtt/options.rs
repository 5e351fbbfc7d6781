//! From the configuration to a connection: last will, credentials, TLS.

use crate::config::sections::Mqtt;
use crate::ports::{PortError, Recovery};
use crate::schema::topics::{AVAILABILITY, Topics};
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject;
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rumqttc::tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use rumqttc::{Broker, LastWill, MqttOptions, NetworkOptions, QoS, TlsConfiguration, Transport};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";

/// Nothing is subscribed to, so the broker has nothing long to say.
const MAX_INCOMING: u32 = 8 * 1024;
/// Passwords, certificates and keys are smaller than this; a device file is not.
const MAX_SECRET_FILE: u64 = 256 * 1024;

/// Options of every connection. Their `Debug` text would hold the password: they are never logged.
pub(super) fn options(mqtt: &Mqtt, topics: &Topics) -> Result<MqttOptions, PortError> {
    let mut options = MqttOptions::new(mqtt.client_id.clone(), Broker::tcp(mqtt.host.clone(), mqtt.port));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options
        // The journal's cursor is the memory; a session kept by the broker would be a second one.
        .set_clean_start(true)
        .set_session_expiry_interval(Some(0))
        .set_max_packet_size(Some(MAX_INCOMING))
        .set_keep_alive(u16::try_from(mqtt.keep_alive.as_secs()).unwrap_or(u16::MAX))
        .set_connect_timeout(Duration::from_secs(5))
        .set_network_options(network)
        .set_last_will(LastWill::new(topics.leaf(AVAILABILITY), OFFLINE, QoS::AtLeastOnce, true, None));
    match (&mqtt.username, &mqtt.password_file) {
        (Some(name), Some(file)) => {
            options.set_credentials(name.clone(), password(file)?);
        }
        (Some(name), None) => {
            options.set_username(name.clone());
        }
        (None, Some(file)) => {
            options.set_password(password(file)?);
        }
        (None, None) => {}
    }
    if let Some(ca) = &mqtt.ca_file {
        let client = mqtt.client_cert_file.as_deref().zip(mqtt.client_key_file.as_deref());
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(ca, client)?))));
    }
    Ok(options)
}

fn tls(ca: &Path, client: Option<(&Path, &Path)>) -> Result<ClientConfig, PortError> {
    let mut roots = RootCertStore::empty();
    for cert in certificates("mqtt.ca_file", ca)? {
        roots.add(cert).map_err(|e| fault("mqtt.ca_file", ca, e, "give the certificate of the broker's issuer"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| fault("mqtt.ca_file", ca, e, "this build has no TLS version to offer"))?
        .with_root_certificates(roots);
    let Some((cert, key)) = client else { return Ok(config.with_no_client_auth()) };
    let chain = certificates("mqtt.client_cert_file", cert)?;
    let pem = read("mqtt.client_key_file", key, Audience::NotEverybody)?;
    let parsed = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|e| fault("mqtt.client_key_file", key, e, "give an unencrypted private key in PEM"))?;
    config
        .with_client_auth_cert(chain, parsed)
        .map_err(|e| fault("mqtt.client_cert_file", cert, e, "give the certificate that belongs to the key"))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, PortError> {
    let pem = read(setting, path, Audience::Anybody)?;
    let certs: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|e| fault(setting, path, e, "give certificates in PEM"))?;
    if certs.is_empty() {
        return Err(fault(setting, path, "there is no certificate in it", "give certificates in PEM"));
    }
    Ok(certs)
}

/// Shortest key for commands: what can be guessed opens doors.
const MIN_KEY: usize = 16;

/// The key that commands are signed with, where there is one.
///
/// # Errors
/// The file cannot be read, can be read by everybody, or holds less than 16 bytes.
pub fn command_key(mqtt: &Mqtt) -> Result<Option<Vec<u8>>, PortError> {
    let Some(path) = &mqtt.command_key_file else { return Ok(None) };
    let key = line("mqtt.command_key_file", path)?;
    if key.len() < MIN_KEY {
        let hint = format!("openssl rand -hex 32 > {}", path.display());
        return Err(fault("mqtt.command_key_file", path, format!("less than {MIN_KEY} bytes are in it"), &hint));
    }
    Ok(Some(key))
}

/// A secret file's text without the line end that editors add.
fn line(setting: &str, path: &Path) -> Result<Vec<u8>, PortError> {
    let mut text = read(setting, path, Audience::NotEverybody)?;
    while matches!(text.last(), Some(b'\n' | b'\r')) {
        text.pop();
    }
    Ok(text)
}

fn password(path: &Path) -> Result<Vec<u8>, PortError> {
    let text = line("mqtt.password_file", path)?;
    if text.is_empty() {
        return Err(fault("mqtt.password_file", path, "it is empty", "put the password into it, or leave the key out"));
    }
    Ok(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Anybody,
    NotEverybody,
}

fn read(setting: &str, path: &Path, audience: Audience) -> Result<Vec<u8>, PortError> {
    let failed = |e: std::io::Error| fault(setting, path, e, "check the path and who may read it");
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if audience == Audience::NotEverybody && mode & 0o007 != 0 {
        let cause = format!("its mode {:03o} lets everybody in", mode & 0o777);
        return Err(fault(setting, path, cause, &format!("chmod 600 {}", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SECRET_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_SECRET_FILE {
        return Err(fault(setting, path, "it is far too long", "check the path"));
    }
    Ok(bytes)
}

fn fault(setting: &str, path: &Path, cause: impl ToString, hint: &str) -> PortError {
    PortError::new(format!("{setting}: use {}", path.display()), cause, hint, Recovery::Degrade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::RemoteUnlock;
    use crate::schema::ids::DeviceId;
    use rumqttc::ConnectAuth;
    use std::path::PathBuf;

    fn plain() -> Mqtt {
        Mqtt {
            enabled: true,
            host: "127.0.0.1".into(),
            port: 1883,
            base: "cardea".into(),
            client_id: "cardea-front".into(),
            username: Some("door".into()),
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            keep_alive: Duration::from_secs(15),
            names: false,
            commands: Default::default(),
            command_key_file: None,
            remote_unlock: RemoteUnlock::Off,
            discovery: false,
            discovery_prefix: "homeassistant".into(),
        }
    }

    fn check(mqtt: &Mqtt) -> Result<MqttOptions, String> {
        options(mqtt, &Topics::new("cardea", &DeviceId::new("front").expect("valid"))).map_err(|e| e.to_string())
    }

    fn file(dir: &tempfile::TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("sets the mode");
        path
    }

    #[test]
    fn the_will_is_retained_and_the_broker_keeps_no_session() {
        let options = check(&plain()).expect("plain options");
        let will = options.last_will().expect("a will");
        assert_eq!((&will.topic[..], &will.message[..]), (&b"cardea/front/availability"[..], &b"offline"[..]));
        assert_eq!((will.retain, will.qos), (true, QoS::AtLeastOnce));
        assert!(options.clean_start());
        assert_eq!(options.session_expiry_interval(), Some(0));
    }

    #[test]
    fn a_password_that_everybody_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mqtt = plain();
        mqtt.password_file = Some(file(&dir, "open", "s3cret\n", 0o644));
        let error = check(&mqtt).expect_err("refused");
        assert!(error.contains("mqtt.password_file") && error.contains("chmod 600"), "{error}");
        assert!(!error.contains("s3cret"));
        mqtt.password_file = Some(file(&dir, "closed", "s3cret\n", 0o640));
        let options = check(&mqtt).expect("accepted");
        let want = ConnectAuth::UsernamePassword { username: "door".into(), password: b"s3cret".as_slice().into() };
        assert_eq!(options.auth(), &want);
    }

    #[test]
    fn a_key_for_commands_is_long_and_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mqtt = plain();
        assert_eq!(command_key(&mqtt).expect("none"), None);
        for (name, text, mode) in [("short", "fifteen letters\n", 0o600), ("open", "sixteen letters!\n", 0o604)] {
            mqtt.command_key_file = Some(file(&dir, name, text, mode));
            let error = command_key(&mqtt).expect_err(name).to_string();
            assert!(error.contains("mqtt.command_key_file") && !error.contains("letters"), "{error}");
        }
        mqtt.command_key_file = Some(file(&dir, "good", "sixteen letters!\n", 0o600));
        assert_eq!(command_key(&mqtt).expect("a key").as_deref(), Some(&b"sixteen letters!"[..]));
    }

    #[test]
    fn a_broken_file_is_named_with_its_setting() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mqtt = plain();
        mqtt.password_file = Some(file(&dir, "empty", "\n", 0o600));
        assert!(check(&mqtt).expect_err("empty").contains("mqtt.password_file"));
        mqtt.password_file = None;
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            mqtt.ca_file = Some(file(&dir, "ca.pem", text, 0o644));
            assert!(check(&mqtt).expect_err(text).contains("mqtt.ca_file"), "{text}");
        }
        mqtt.ca_file = Some(dir.path().join("absent"));
        assert!(check(&mqtt).expect_err("absent").contains("absent"));
    }
}
