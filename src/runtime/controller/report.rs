//! The controller and an access panel: who came is told to it, and it decides.

use super::{Controller, millis};
use crate::domain::panel::card::CardBits;
use crate::domain::visit::Decision;
use crate::schema::event::{Event, Reason};
use crate::schema::ids::{PersonId, VisitId};

impl Controller {
    /// Whether nobody but the panel opens this door.
    pub(super) fn panel_alone(&self) -> bool {
        self.panel.as_ref().is_some_and(|p| p.alone())
    }

    /// The panel alone opens, and cannot be told.
    pub(super) fn panel_missing(&self) -> bool {
        self.panel.as_ref().is_some_and(|p| p.alone() && !p.is_ready())
    }

    /// In the place of a grant: log, then tell the panel.
    pub(super) fn report(&mut self, d: &Decision, person: PersonId) -> Result<(), Reason> {
        let (Some(card), Some(panel)) = (self.card_of(d.visit, &person), self.panel.clone()) else {
            return Err(Reason::Panel);
        };
        let event = Event::AccessReported {
            visit: d.visit,
            person,
            door: self.door.clone(),
            via: panel.via().into(),
            decision_ms: millis(d.at.since(d.began)),
            passive_pad: self.passive_pad,
        };
        if let Err(e) = self.recorder.commit(event) {
            tracing::error!(error = %e, "who came could not be written: the panel is not told");
            return Err(Reason::JournalFailed);
        }
        self.hand_over(d.visit, card).map_err(|()| Reason::Panel)?;
        let now = self.clock.now();
        self.at_the_door(|door, hands| door.granted(now, d.visit, hands));
        Ok(())
    }

    /// After a grant by the relay, where the panel is told too. It changes nothing of the grant.
    pub(super) fn tell_panel(&mut self, visit: VisitId, person: &PersonId) {
        if let Some(card) = self.card_of(visit, person) {
            let _recorded = self.hand_over(visit, card);
        }
    }

    /// The person's number as the panel's bits; the record says why there is none.
    fn card_of(&mut self, visit: VisitId, person: &PersonId) -> Option<CardBits> {
        let panel = self.panel.as_ref()?;
        let what = match self.rules.card(person).map(|number| panel.encode(number)) {
            Some(Ok(card)) if panel.is_ready() => return Some(card),
            Some(Ok(_)) => "the panel is not there".to_owned(),
            Some(Err(fault)) => format!("the person's card number: {fault}"),
            None => "the person has no card number".to_owned(),
        };
        let via = panel.via().into();
        self.recorder.record(Event::PanelDropped { visit, via, what });
        None
    }

    fn hand_over(&mut self, visit: VisitId, card: CardBits) -> Result<(), ()> {
        let panel = self.panel.as_ref().ok_or(())?;
        if panel.send(visit, card, self.clock.now()) {
            return Ok(());
        }
        let (via, what) = (panel.via().into(), "the one before still waits".into());
        self.recorder.record(Event::PanelDropped { visit, via, what });
        Err(())
    }
}
