//! Hands one card to the panel's line, and sees to it that the panel takes it soon or never.
//!
//! ```text
//! GONE --the channel stands, the panel asks--> READY --a card--> UNDERWAY --the panel went on--> READY
//!   ^------------- it falls silent, or the channel ends ------------'  |
//!                                    READY <--its time is over-------'
//! ```
//!
//! A card that comes late opens the door for somebody else. So nothing waits for a panel that is not there, and the line
//! is made to forget a card that was not taken in time.

use super::card::CardBits;
use crate::base::time::Tick;
use crate::schema::event::Event;
use crate::schema::ids::VisitId;
use std::time::Duration;

/// A panel that asked nothing for so long is gone. Panels ask 5 to 20 times a second.
pub const SILENT: Duration = Duration::from_millis(1000);
/// A card is taken within this time after the verdict, or never.
pub const FRESH: Duration = Duration::from_millis(1500);
/// A panel that is not there so long after the start is an alarm.
const START: Duration = Duration::from_secs(10);

/// What the line says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineState {
    /// The way to the panel is as it must be; on OSDP: the secure channel stands.
    pub secure: bool,
    /// When the panel last spoke to us; `None` for never. A line without a way back says now.
    pub heard: Option<Tick>,
    /// Cards that the panel has taken, since the line was opened; on a line without a way back: that went out.
    pub taken: u64,
}

/// A card for the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel {
    pub visit: VisitId,
    pub card: CardBits,
    /// The verdict's time: what counts for being fresh.
    pub at: Tick,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum CourierEffect {
    /// Put this on the line.
    Send(CardBits),
    /// See to it that what the line still holds never goes out.
    Forget,
    Record(Event),
}

#[derive(Clone, Copy, Debug)]
struct Underway {
    visit: VisitId,
    until: Tick,
    /// What the line had counted before.
    before: u64,
}

/// One line's courier.
#[derive(Clone, Debug)]
pub struct Courier {
    via: &'static str,
    /// The panel says when it has taken something.
    confirms: bool,
    started: Tick,
    /// What was last told of the panel.
    told: Option<bool>,
    ready: bool,
    underway: Option<Underway>,
}

impl Courier {
    /// `via` names the line in records; `confirms` says whether the panel answers.
    #[must_use]
    pub fn new(via: &'static str, confirms: bool, now: Tick) -> Self {
        Courier { via, confirms, started: now, told: None, ready: false, underway: None }
    }

    /// Whether a card would be sent now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// A card is to go out. It does so at once or not at all.
    #[must_use]
    pub fn send(&mut self, now: Tick, line: &LineState, parcel: &Parcel) -> Vec<CourierEffect> {
        let why = if !self.stands(now, line) {
            "the panel is not there"
        } else if self.underway.is_some() {
            "the one before is still on its way"
        } else if now.since(parcel.at) >= FRESH {
            "it came too late"
        } else {
            self.underway = Some(Underway { visit: parcel.visit, until: parcel.at + FRESH, before: line.taken });
            return vec![CourierEffect::Send(parcel.card)];
        };
        vec![self.dropped(parcel.visit, why)]
    }

    /// The line was looked at.
    #[must_use]
    pub fn look(&mut self, now: Tick, line: &LineState) -> Vec<CourierEffect> {
        let mut out = Vec::new();
        self.ready = self.stands(now, line);
        if let Some(sent) = self.underway {
            if line.taken > sent.before {
                self.underway = None;
                let (visit, via, confirmed) = (sent.visit, self.via.into(), self.confirms);
                out.push(CourierEffect::Record(Event::PanelSent { visit, via, confirmed }));
            } else if now >= sent.until || !self.ready {
                let why = if self.ready { "the panel did not take it in time" } else { "the panel went away" };
                self.give_up(why, &mut out);
            }
        }
        self.tell(now, if line.secure { "it asks nothing" } else { "there is no secure channel" }, &mut out);
        out
    }

    /// The line failed and is closed.
    #[must_use]
    pub fn lost(&mut self, now: Tick, why: &str) -> Vec<CourierEffect> {
        let mut out = Vec::new();
        self.ready = false;
        self.give_up("the line failed", &mut out);
        self.tell(now, why, &mut out);
        out
    }

    fn stands(&self, now: Tick, line: &LineState) -> bool {
        line.secure && line.heard.is_some_and(|heard| now.since(heard) < SILENT)
    }

    fn give_up(&mut self, why: &str, out: &mut Vec<CourierEffect>) {
        if let Some(sent) = self.underway.take() {
            out.push(CourierEffect::Forget);
            out.push(self.dropped(sent.visit, why));
        }
    }

    fn dropped(&self, visit: VisitId, why: &str) -> CourierEffect {
        CourierEffect::Record(Event::PanelDropped { visit, via: self.via.into(), what: why.into() })
    }

    /// Comings and goings, each once.
    fn tell(&mut self, now: Tick, why: &str, out: &mut Vec<CourierEffect>) {
        let early = self.told.is_none() && !self.ready && now.since(self.started) < START;
        if early || self.told == Some(self.ready) {
            return;
        }
        self.told = Some(self.ready);
        let what = if self.ready { "the panel asks and is answered" } else { why };
        let what = format!("{}: {what}", self.via);
        out.push(CourierEffect::Record(match self.ready {
            true => Event::SystemPanel { what },
            false => Event::AlarmPanel { what },
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::panel::card::CardFormat;
    use CourierEffect::{Forget, Record, Send};

    fn ms(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    fn card() -> CardBits {
        CardFormat::Bits26.encode("17:4242", 0).unwrap()
    }

    fn parcel(at: u64) -> Parcel {
        Parcel { visit: VisitId(7), card: card(), at: ms(at) }
    }

    fn line(heard: u64, taken: u64) -> LineState {
        LineState { secure: true, heard: Some(ms(heard)), taken }
    }

    fn dropped(what: &str) -> CourierEffect {
        Record(Event::PanelDropped { visit: VisitId(7), via: "osdp".into(), what: what.into() })
    }

    fn alarm(what: &str) -> CourierEffect {
        Record(Event::AlarmPanel { what: what.into() })
    }

    /// At 100 ms the panel is there.
    fn courier() -> Courier {
        let mut courier = Courier::new("osdp", true, ms(0));
        let there = Event::SystemPanel { what: "osdp: the panel asks and is answered".into() };
        assert_eq!(courier.look(ms(100), &line(100, 0)), [Record(there)]);
        courier
    }

    #[test]
    fn a_card_is_sent_once_and_told_when_the_panel_has_taken_it() {
        let mut courier = courier();
        assert_eq!(courier.send(ms(200), &line(190, 0), &parcel(195)), [Send(card())]);
        assert_eq!(courier.look(ms(250), &line(240, 0)), []);
        let sent = Event::PanelSent { visit: VisitId(7), via: "osdp".into(), confirmed: true };
        assert_eq!(courier.look(ms(300), &line(290, 1)), [Record(sent)]);
        assert_eq!(courier.look(ms(1000), &line(990, 1)), []);
        assert!(courier.is_ready());
    }

    #[test]
    fn a_panel_that_is_not_there_is_sent_nothing_even_when_it_comes_back() {
        for state in [
            LineState::default(),
            LineState { secure: false, heard: Some(ms(1990)), taken: 0 },
            LineState { secure: true, heard: None, taken: 0 },
            // Fallen silent a second ago.
            line(1000, 0),
        ] {
            let mut courier = courier();
            assert_eq!(courier.send(ms(2000), &state, &parcel(2000)), [dropped("the panel is not there")], "{state:?}");
            let later = courier.look(ms(2100), &line(2090, 0));
            assert!(later.iter().all(|e| matches!(e, Record(Event::SystemPanel { .. }))), "{later:?}");
        }
    }

    #[test]
    fn a_card_that_the_panel_does_not_take_in_time_is_forgotten_and_never_late() {
        let mut courier = courier();
        assert_eq!(courier.send(ms(200), &line(190, 0), &parcel(200)), [Send(card())]);
        // It goes on asking, and takes nothing.
        assert_eq!(courier.look(ms(1699), &line(1690, 0)), []);
        let told = courier.look(ms(1700), &line(1690, 0));
        assert_eq!(told, [Forget, dropped("the panel did not take it in time")]);
        // A count that rises afterwards belongs to nobody.
        assert!(courier.look(ms(1800), &line(1790, 1)).iter().all(|e| !matches!(e, Record(Event::PanelSent { .. }))));
    }

    #[test]
    fn a_panel_that_goes_away_with_a_card_underway_makes_the_line_forget_it() {
        let mut courier = courier();
        assert_eq!(courier.send(ms(200), &line(190, 0), &parcel(200)), [Send(card())]);
        let told = courier.look(ms(1190), &line(190, 0));
        assert_eq!(told, [Forget, dropped("the panel went away"), alarm("osdp: it asks nothing")]);
        let mut courier = self::courier();
        assert_eq!(courier.send(ms(200), &line(190, 0), &parcel(200)), [Send(card())]);
        let told = courier.lost(ms(300), "unplugged");
        assert_eq!(told, [Forget, dropped("the line failed"), alarm("osdp: unplugged")]);
        assert_eq!(courier.lost(ms(400), "unplugged"), [], "once");
    }

    #[test]
    fn a_verdict_of_a_while_ago_and_a_second_card_are_not_sent() {
        let mut courier = courier();
        assert_eq!(courier.send(ms(2000), &line(1990, 0), &parcel(500)), [dropped("it came too late")]);
        assert_eq!(courier.send(ms(2000), &line(1990, 0), &parcel(2000)), [Send(card())]);
        assert_eq!(
            courier.send(ms(2010), &line(1990, 0), &parcel(2010)),
            [dropped("the one before is still on its way")]
        );
        // Its own time counts from the verdict.
        let mut courier = self::courier();
        assert_eq!(courier.send(ms(1400), &line(1390, 0), &parcel(0)), [Send(card())]);
        assert_eq!(courier.look(ms(1500), &line(1490, 0))[0], Forget);
    }

    #[test]
    fn a_panel_that_never_comes_is_an_alarm_once_after_the_start() {
        let mut courier = Courier::new("osdp", true, ms(0));
        let none = LineState::default();
        assert_eq!(courier.look(ms(9_999), &none), []);
        assert_eq!(courier.look(ms(10_000), &none), [alarm("osdp: there is no secure channel")]);
        assert_eq!(courier.look(ms(20_000), &none), []);
        assert!(!courier.is_ready());
    }

    #[test]
    fn a_line_without_a_way_back_says_that_nobody_confirmed() {
        let mut courier = Courier::new("wiegand", false, ms(0));
        let _there = courier.look(ms(0), &line(0, 0));
        assert_eq!(courier.send(ms(10), &line(10, 0), &parcel(10)), [Send(card())]);
        let sent = Event::PanelSent { visit: VisitId(7), via: "wiegand".into(), confirmed: false };
        assert_eq!(courier.look(ms(20), &line(20, 1)), [Record(sent)]);
    }
}
