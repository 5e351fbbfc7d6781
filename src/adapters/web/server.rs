//! Sockets: binding with an error that names the port's owner, TLS, and limits against clients that are slow on purpose.

use super::linger::Lingering;
use super::tls::Tls;
use crate::ports::{PortError, Recovery};
use axum::Router;
use axum::body::Body;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tower::ServiceExt;

/// A handshake, and the header of a request, must be there by then.
const SLOW: Duration = Duration::from_secs(10);
/// A certificate that was replaced is taken after so long.
const FOLLOW: Duration = Duration::from_mins(1);
/// Connections of one address that have not sent a request yet.
const YOUNG: usize = 32;
/// When the daemon stops, open requests have so long.
const GOODBYE: Duration = Duration::from_secs(2);

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Binds the port that the configuration's `key` names.
///
/// # Errors
/// The address is not ours or the port is taken; then the error names the process that has it, as far as it can be seen.
pub fn bind(listen: SocketAddr, key: &str) -> Result<std::net::TcpListener, PortError> {
    let bound = std::net::TcpListener::bind(listen).and_then(|l| l.set_nonblocking(true).map(|()| l));
    bound.map_err(|e| {
        let hint = match e.kind() {
            std::io::ErrorKind::AddrInUse => match owner(listen.port()) {
                Some(who) => format!("{who} has this port: end it, or set {key} to another port"),
                None => format!("another process has this port: end it, or set {key} to another port"),
            },
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 belong to root: use 8443, or CAP_NET_BIND_SERVICE".into()
            }
            _ => format!("set {key} to an address of this machine"),
        };
        PortError::new(format!("listen on {listen}"), e, hint, Recovery::Fatal)
    })
}

/// Name and number of the process that listens on a TCP port.
fn owner(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|f| std::fs::read_to_string(f).ok())
        .flat_map(|t| listening(&t, port))
        .collect();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let path = process.path();
        let Some(pid) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(open) = std::fs::read_dir(path.join("fd")) else { continue };
        let has = open.flatten().any(|fd| {
            let target = std::fs::read_link(fd.path()).unwrap_or_default();
            inodes.iter().any(|i| target == Path::new(&format!("socket:[{i}]")))
        });
        if has {
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

/// Inodes of the sockets that listen on a port, of /proc/net/tcp: state 0A, the port in hexadecimal.
fn listening(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let of = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let listens = words.get(3) == Some(&"0A") && words.get(1).is_some_and(|a| a.ends_with(&suffix));
        listens.then(|| words.get(9).map(|i| (*i).to_owned())).flatten()
    };
    table.lines().filter_map(of).collect()
}

/// Young connections by address.
#[derive(Clone, Default)]
struct Nursery(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One young connection; grows up when its first request has come, or ends.
struct Young {
    nursery: Nursery,
    address: IpAddr,
}

impl Nursery {
    fn enter(&self, address: IpAddr) -> Option<Young> {
        let mut all = self.0.lock().expect("nursery mutex: no holder panics");
        let count = all.entry(address).or_insert(0);
        if *count >= YOUNG {
            return None;
        }
        *count += 1;
        Some(Young { nursery: self.clone(), address })
    }
}

impl Drop for Young {
    fn drop(&mut self) {
        let mut all = self.nursery.0.lock().expect("nursery mutex: no holder panics");
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

/// Takes new certificates until `stop` becomes true.
pub async fn follow(mut tls: Tls, mut stop: watch::Receiver<bool>) {
    while tokio::time::timeout(FOLLOW, stopped(&mut stop)).await.is_err() {
        let follow = tokio::task::spawn_blocking(move || {
            tls.follow();
            tls
        });
        match follow.await {
            Ok(t) => tls = t,
            Err(_) => return,
        }
    }
}

/// Serves until `stop` becomes true.
pub async fn serve(
    listener: std::net::TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    most: usize,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(l) => l,
        Err(e) => return tracing::error!(error = %e, "a listener cannot be served"),
    };
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(most));
    let nursery = Nursery::default();
    loop {
        let accepted = tokio::select! {
            a = listener.accept() => a,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(a) => a,
            Err(e) => {
                // Out of descriptors, mostly: some end soon.
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (Ok(place), Some(young)) = (places.clone().try_acquire_owned(), nursery.enter(peer.ip())) else {
            continue;
        };
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            connection(stream, peer, acceptor, router, young, stop).await;
            drop(place);
        });
    }
    // What runs may end; who does not is cut off with the runtime.
    let _in_time = tokio::time::timeout(GOODBYE, places.acquire_many(u32::try_from(most).unwrap_or(u32::MAX))).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    young: Young,
    stop: watch::Receiver<bool>,
) {
    let _may_fail = stream.set_nodelay(true);
    match acceptor {
        None => http(stream, peer, router, young, stop).await,
        Some(acceptor) => match tokio::time::timeout(SLOW, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, peer, router, young, stop).await,
            Ok(Err(e)) => tracing::debug!(error = %e, "no TLS"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn http<S>(stream: S, peer: SocketAddr, router: Router, young: Young, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let young = Arc::new(Mutex::new(Some(young)));
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        drop(young.lock().expect("nursery mutex: no holder panics").take());
        request.extensions_mut().insert(Peer(peer));
        let waits = request.headers().contains_key(hyper::header::EXPECT);
        router.clone().oneshot(request.map(|body| Body::new(Lingering::new(body, !waits))))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SLOW)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        e = connection.as_mut() => e,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "a connection broke");
    }
}

/// Returns when the daemon stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    drop(stop.wait_for(|s| *s).await);
}

/// The address that limits are counted by: an IPv6 client has a whole /64, and mapped IPv4 is IPv4.
#[must_use]
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(a) => IpAddr::V4(a),
        IpAddr::V6(a) if a == Ipv6Addr::LOCALHOST => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from(u128::from(a) >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_its_owner() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "web.listen").expect("a free port");
        let error = bind(first.local_addr().expect("an address"), "web.compat.s1.listen").expect_err("it is taken");
        let own = std::process::id().to_string();
        assert!(error.hint.contains(&own) && error.hint.contains("web.compat.s1.listen"), "{error}");
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
            1: 0100007F:20FB 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n\
            2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1\n";
        assert_eq!(listening(table, 8443), ["4711"]);
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_network() {
        let of = |a: &str| counted(a.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(of("::1"), "127.0.0.1");
    }
}
