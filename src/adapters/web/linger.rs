//! What a client still sends when it has its answer already: an upload over the limit, or without a login.
//!
//! A socket that is closed with something unread in it resets the connection, and the client that was still sending never
//! reads why. So what is left of a body is read and thrown away for a while.

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes that are thrown away at most: the greatest upload that can be allowed.
const MOST: usize = 64 << 20;
/// For so long at most.
const LONGEST: Duration = Duration::from_secs(10);

/// A request's body, whose rest is thrown away when nobody wants it any more.
pub(super) struct Lingering {
    body: Option<Incoming>,
    linger: bool,
}

impl Lingering {
    /// `linger` is false for a client that waits for a word before it sends a body.
    pub fn new(body: Incoming, linger: bool) -> Self {
        Lingering { body: Some(body), linger }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|b| self.linger && !b.is_end_stream());
        // Outside of the runtime the server is at its end.
        if let (Some(body), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { tokio::time::timeout(LONGEST, throw_away(body)).await });
        }
    }
}

async fn throw_away(mut body: Incoming) {
    let mut left = MOST;
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}
