//! Several connections of one session: what the camera of one is told, the others hear too. The name in `/ws?session=NAME` is
//! the key, so that who does not know it hears nothing.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;

/// Results that a slow viewer may lag behind; older ones are left out.
const BEHIND: usize = 16;
/// Longest name.
const NAME: usize = 64;

type Said = (u64, Arc<Value>);

/// All rooms that somebody is in.
pub(super) struct Rooms {
    by_name: Mutex<HashMap<String, broadcast::Sender<Said>>>,
    next: AtomicU64,
    most: usize,
}

/// A place in one.
pub(super) struct Seat {
    me: u64,
    out: broadcast::Sender<Said>,
    inbox: broadcast::Receiver<Said>,
}

impl Rooms {
    pub(super) fn new(most: usize) -> Self {
        Rooms { by_name: Mutex::default(), next: AtomicU64::new(0), most }
    }

    /// Takes a place; `None` for no name, too long a one, or when there are too many rooms.
    pub(super) fn enter(&self, name: &str) -> Option<Seat> {
        if name.is_empty() || name.len() > NAME {
            return None;
        }
        let mut all = self.by_name.lock().expect("rooms mutex: no holder panics");
        all.retain(|_, room| room.receiver_count() > 0);
        if all.len() >= self.most && !all.contains_key(name) {
            return None;
        }
        let out = all.entry(name.to_owned()).or_insert_with(|| broadcast::channel(BEHIND).0).clone();
        Some(Seat { me: self.next.fetch_add(1, Ordering::Relaxed), inbox: out.subscribe(), out })
    }
}

impl Seat {
    /// Tells the others.
    pub(super) fn tell(&self, what: &Value) {
        let _nobody_else = self.out.send((self.me, Arc::new(what.clone())));
    }

    async fn hear(&mut self) -> Option<Arc<Value>> {
        loop {
            match self.inbox.recv().await {
                Ok((from, what)) if from != self.me => return Some(what),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The next result of another camera in the room; never returns without one.
pub(super) async fn of_others(seat: &mut Option<Seat>) -> Arc<Value> {
    if let Some(seat) = seat
        && let Some(what) = seat.hear().await
    {
        return what;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_knows_the_name_hears_and_nobody_else() {
        let rooms = Rooms::new(2);
        let (camera, mut viewer) = (rooms.enter("a").expect("a seat"), rooms.enter("a").expect("a seat"));
        let mut other = rooms.enter("b").expect("a seat");
        assert!(rooms.enter("c").is_none(), "as many rooms as may be");
        assert!(rooms.enter("").is_none() && rooms.enter(&"x".repeat(65)).is_none());
        camera.tell(&json!({"n": 1}));
        viewer.tell(&json!({"n": 2}));
        let heard = viewer.inbox.try_recv().expect("the camera's");
        assert_eq!(*heard.1, json!({"n": 1}));
        assert!(other.inbox.try_recv().is_err());
        drop(other);
        assert!(rooms.enter("c").is_some(), "an empty room is none");
    }
}
