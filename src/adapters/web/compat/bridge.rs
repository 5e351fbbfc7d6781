//! What stands before the Socket.IO server: it bounds what a client may send.
//!
//! The server crate reads WebSocket messages of any size and collects as many attachments of a packet as the client
//! announces. So this module ends each WebSocket itself, looks at every message, and hands the good ones on through a
//! connection inside of the process; the bodies of polling clients are looked at in the same way. What is over a limit ends
//! the connection: with a close frame that says why, or a 4xx.

use crate::adapters::web::auth::Rate;
use crate::adapters::web::server::{Peer, counted, stopped};
use crate::config::sections::Cors;
use axum::Router;
use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite;
use tower::ServiceExt;

/// Greatest message: a picture of a mebibyte in base64 with its prefix.
pub(super) const MESSAGE: usize = 3 << 19;
/// Attachments of a packet: a picture is one.
const ATTACHMENTS: usize = 1;
/// Messages of a connection a second, and those that may come at once.
const PER_SECOND: f64 = 100.0;
const AT_ONCE: f64 = 200.0;
/// Sessions of an address that may begin in a minute; a client that loses its connection begins one each second at most.
const HANDSHAKES: u32 = 120;
/// Bytes between the two ends inside of the process.
const PIPE: usize = 64 << 10;
/// A client that takes nothing for so long is gone.
const STALLED: Duration = Duration::from_secs(10);

/// What stands between clients and the server.
pub(super) struct Bridge {
    /// The routes with the Socket.IO server around them.
    inner: Router,
    cors: Cors,
    handshakes: Rate,
    stop: watch::Receiver<bool>,
}

impl Bridge {
    pub(super) fn new(inner: Router, cors: Cors, stop: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Bridge { inner, cors, handshakes: Rate::per_minute(HANDSHAKES), stop })
    }
}

/// Lets a request pass, bridges its WebSocket, or refuses it.
pub(super) async fn guard(State(bridge): State<Arc<Bridge>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/socket.io") {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let begins = request.uri().query().is_none_or(|q| !q.split('&').any(|p| p.starts_with("sid=")));
    if begins {
        let address = peer.map_or(IpAddr::from([0, 0, 0, 0]), |Peer(p)| counted(p.ip()));
        if !bridge.handshakes.take(address, Instant::now()) {
            return refuse(StatusCode::TOO_MANY_REQUESTS, "too many connections; wait a minute");
        }
    }
    if request.headers().get(header::UPGRADE).is_some_and(|u| u.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return upgrade(bridge, request, peer).await;
    }
    if *request.method() != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MESSAGE).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "a message is at most 1.5 MiB");
    };
    let packets = String::from_utf8_lossy(&body);
    // Packets of one body are parted by this character; the first one of each says that it is a message.
    if let Some(why) = packets.split('\u{1e}').find_map(|p| p.strip_prefix('4').and_then(too_many)) {
        return refuse(StatusCode::BAD_REQUEST, why);
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(serde_json::json!({"error": why}))).into_response()
}

/// Why a Socket.IO packet is not taken: it announces more attachments than one.
fn too_many(packet: &str) -> Option<&'static str> {
    let rest = packet.strip_prefix(['5', '6'])?;
    let announced = rest.split('-').next().and_then(|n| n.parse::<usize>().ok());
    announced.is_none_or(|n| n > ATTACHMENTS).then_some("a packet has at most one attachment")
}

async fn upgrade(bridge: Arc<Bridge>, request: Request, peer: Option<Peer>) -> Response {
    if !super::cors::may_connect(&bridge.cors, request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "this page may not connect; see cors_origins");
    }
    let (mut parts, _) = request.into_parts();
    let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
    let ws = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(ws) => ws,
        Err(e) => return e.into_response(),
    };
    let ws = ws.max_message_size(MESSAGE).max_frame_size(MESSAGE).max_write_buffer_size(256 << 10);
    ws.on_upgrade(move |client| async move {
        let Some(server) = connect(&bridge, &uri, &headers, peer).await else {
            return end(client, close_code::POLICY, "unknown session").await;
        };
        carry(client, server, bridge.stop.clone()).await;
    })
}

type Inside = tokio_tungstenite::WebSocketStream<tokio::io::DuplexStream>;

/// A connection to the Socket.IO server inside of this process, for one client; `None` when the server refuses it.
async fn connect(bridge: &Bridge, uri: &Uri, headers: &HeaderMap, peer: Option<Peer>) -> Option<Inside> {
    let (near, far) = tokio::io::duplex(PIPE);
    let router = bridge.inner.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        router.clone().oneshot(request.map(Body::new))
    });
    tokio::spawn(async move {
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
        if let Err(e) = connection.with_upgrades().await {
            tracing::debug!(error = %e, "a connection inside ended");
        }
    });
    let mut request = tungstenite::http::Request::builder().uri(format!("ws://inside{}", uri.path_and_query()?));
    // Each hop has a handshake of its own; what the client says of itself goes on.
    let own: [HeaderName; 3] = [header::CONNECTION, header::UPGRADE, header::HOST];
    for (name, value) in headers.iter().filter(|(n, _)| !own.contains(n) && !n.as_str().starts_with("sec-websocket")) {
        request = request.header(name, value);
    }
    let request = request
        .header(header::HOST, "inside")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, tungstenite::handshake::client::generate_key())
        .body(())
        .ok()?;
    match tokio_tungstenite::client_async(request, near).await {
        Ok((socket, _)) => Some(socket),
        Err(e) => {
            tracing::debug!(error = %e, "a Socket.IO client was refused");
            None
        }
    }
}

/// How many messages may come now: refills with time.
struct Bucket {
    tokens: f64,
    last: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Bucket { tokens: AT_ONCE, last: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let refilled = self.tokens + now.duration_since(self.last).as_secs_f64() * PER_SECOND;
        (self.tokens, self.last) = (refilled.min(AT_ONCE) - 1.0, now);
        self.tokens >= 0.0
    }
}

/// Carries messages to and fro until one side ends.
async fn carry(mut client: WebSocket, mut server: Inside, mut stop: watch::Receiver<bool>) {
    let mut bucket = Bucket::full(Instant::now());
    loop {
        tokio::select! {
            said = client.recv() => {
                let message = match said {
                    Some(Ok(message)) => message,
                    // Too large or no message at all, where the other side is still there.
                    Some(Err(_)) => return end(client, close_code::SIZE, "a message is at most 1.5 MiB").await,
                    None => break,
                };
                if !bucket.take(Instant::now()) {
                    return end(client, close_code::POLICY, "too many messages").await;
                }
                let on = match message {
                    Message::Text(t) => {
                        if let Some(why) = t.as_str().strip_prefix('4').and_then(too_many) {
                            return end(client, close_code::POLICY, why).await;
                        }
                        tungstenite::Message::text(t.as_str())
                    }
                    Message::Binary(b) => tungstenite::Message::Binary(b),
                    Message::Ping(_) | Message::Pong(_) => continue,
                    Message::Close(_) => break,
                };
                if server.send(on).await.is_err() {
                    break;
                }
            }
            said = server.next() => {
                let back = match said {
                    Some(Ok(tungstenite::Message::Text(t))) => Message::text(t.as_str()),
                    Some(Ok(tungstenite::Message::Binary(b))) => Message::Binary(b),
                    Some(Ok(tungstenite::Message::Close(_)) | Err(_)) | None => {
                        return end(client, close_code::NORMAL, "").await;
                    }
                    Some(Ok(_)) => continue,
                };
                if !matches!(tokio::time::timeout(STALLED, client.send(back)).await, Ok(Ok(()))) {
                    break;
                }
            }
            () = stopped(&mut stop) => return end(client, close_code::AWAY, "the terminal stops").await,
        }
    }
    let _gone = server.close(None).await;
}

async fn end(mut client: WebSocket, code: u16, why: &'static str) {
    let last = Message::Close(Some(CloseFrame { code, reason: why.into() }));
    let _gone = tokio::time::timeout(STALLED, client.send(last)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_may_announce_one_attachment() {
        for good in ["2[\"start_verify\"]", "51-[\"frame\",{\"_placeholder\":true,\"num\":0}]", "50-[\"x\"]", "0", ""] {
            assert_eq!(too_many(good), None, "{good}");
        }
        for bad in ["52-[]", "51000000000-[]", "5[]", "5-[]", "5x-[]", "61000-[]"] {
            assert!(too_many(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_flood_is_noticed_and_a_camera_is_none() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let camera = (0_u64..1000).all(|i| bucket.take(start + Duration::from_millis(i * 33)));
        assert!(camera, "thirty pictures a second");
        let mut bucket = Bucket::full(start);
        assert_eq!((0..1000).filter(|_| bucket.take(start)).count(), 200);
    }
}
