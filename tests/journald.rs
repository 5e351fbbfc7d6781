//! Logs reach journald with their fields.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;

const SOCKET: &str = "/run/systemd/journal/socket";

/// With a journald the message goes to it; without one this test listens in its place, which needs root.
#[test]
fn a_record_is_logged_with_upper_case_fields() {
    let stand_in = (!Path::new(SOCKET).exists()).then(|| {
        std::fs::create_dir_all("/run/systemd/journal").expect("root, or a machine with journald");
        UnixDatagram::bind(SOCKET).expect("root, or a machine with journald")
    });
    let layer = cardea::runtime::logging::journald().expect("journald listens");
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || tracing::info!(seq = 42, "record"));
    let Some(socket) = stand_in else { return };
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let mut text = vec![0; 4096];
    // The layer first sends an empty message to see whether anybody listens.
    let mut n = 0;
    while n == 0 {
        n = socket.recv(&mut text).expect("a message");
    }
    std::fs::remove_file(SOCKET).expect("removed");
    let text = String::from_utf8_lossy(&text[..n]).into_owned();
    assert!(text.contains("CARDEA_SEQ\n") || text.contains("CARDEA_SEQ="), "{text}");
    assert!(text.contains("SYSLOG_IDENTIFIER") && text.contains("cardea"), "{text}");
}
