//! Which records are on their way, and how far everything before is confirmed.

use std::collections::VecDeque;

/// Records in flight, in the order of sending. The cursor only ever passes a record that was confirmed itself and
/// has nothing unconfirmed before it.
#[derive(Debug)]
pub(super) struct Window {
    limit: usize,
    cursor: u64,
    /// `(seq, confirmed)`; its front is never confirmed.
    flying: VecDeque<(u64, bool)>,
}

impl Window {
    /// Nothing on its way; everything up to `cursor` is confirmed.
    pub(super) fn new(cursor: u64, limit: usize) -> Self {
        Window { limit, cursor, flying: VecDeque::with_capacity(limit) }
    }

    /// Everything up to here is confirmed.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The last record that was handed out, or the cursor.
    pub(super) fn sent(&self) -> u64 {
        self.flying.back().map_or(self.cursor, |(seq, _)| *seq)
    }

    /// Whether another record may go.
    pub(super) fn has_room(&self) -> bool {
        self.flying.len() < self.limit
    }

    /// Records that wait for their confirmation.
    pub(super) fn in_flight(&self) -> usize {
        self.flying.iter().filter(|(_, confirmed)| !confirmed).count()
    }

    /// `seq` goes out; it follows everything that went before.
    pub(super) fn handed(&mut self, seq: u64) {
        debug_assert!(seq > self.sent() && self.has_room());
        self.flying.push_back((seq, false));
    }

    /// The confirmation of `seq` came; true when the cursor moved. One that is not on its way says nothing.
    pub(super) fn confirmed(&mut self, seq: u64) -> bool {
        if let Some(entry) = self.flying.iter_mut().find(|(s, _)| *s == seq) {
            entry.1 = true;
        }
        let before = self.cursor;
        while let Some((seq, true)) = self.flying.front() {
            self.cursor = *seq;
            self.flying.pop_front();
        }
        self.cursor != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_late_confirmation_holds_the_cursor_back() {
        let mut w = Window::new(10, 3);
        for seq in [11, 12, 14] {
            w.handed(seq);
        }
        assert!(!w.has_room());
        assert!(!w.confirmed(12));
        assert!(!w.confirmed(99));
        assert_eq!((w.cursor(), w.in_flight()), (10, 2));
        assert!(w.confirmed(11));
        assert_eq!((w.cursor(), w.sent(), w.in_flight()), (12, 14, 1));
        assert!(w.confirmed(14));
        assert_eq!((w.cursor(), w.sent(), w.in_flight()), (14, 14, 0));
    }

    mod properties {
        use super::*;

        proptest! {
            /// Whatever is confirmed in whatever order, also things that were never sent: the cursor never goes back,
            /// never passes an unconfirmed record, and the window never grows beyond its limit.
            #[test]
            fn the_cursor_never_passes_an_unconfirmed_record(
                limit in 1usize..20,
                steps in prop::collection::vec((prop::bool::ANY, 0u64..60), 0..300),
            ) {
                let (mut w, mut confirmed, mut next) = (Window::new(0, limit), vec![false; 400], 1);
                for (send, pick) in steps {
                    let before = w.cursor();
                    if send && w.has_room() {
                        w.handed(next);
                        next += 1;
                    } else if pick < next {
                        confirmed[usize::try_from(pick).expect("small")] = true;
                        let _moved = w.confirmed(pick);
                    } else {
                        let _moved = w.confirmed(pick);
                    }
                    prop_assert!(w.cursor() >= before && w.sent() < next);
                    prop_assert!(w.in_flight() <= limit);
                    for seq in 1..=w.cursor() {
                        prop_assert!(confirmed[usize::try_from(seq).expect("small")]);
                    }
                }
            }
        }
    }
}
