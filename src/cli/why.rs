//! `cardea why RECORD`: what the journal knows of a visit, in an administrator's words. Never a score: there is none in the
//! journal.

use super::state::{self, io, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::store::{SqliteJournal, Trouble};
use crate::ports::Journal;
use crate::schema::event::{Cause, Event, Reason, Verdict};
use crate::schema::ids::VisitId;
use crate::schema::record::Record;
use serde_json::json;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Number (`seq`) or id of any record of the visit.
    #[arg(value_name = "RECORD")]
    record: String,
}

/// Records read at once.
const PAGE: usize = 1000;

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let dir = state::dir(globals)?;
    let mut journal = match SqliteJournal::open_reader(&dir) {
        Ok(journal) => journal,
        Err(e) if e.trouble == Trouble::Missing => {
            let file = dir.join("journal.db").display().to_string();
            return Err(Failure::new(Code::Io, file, "there is no journal", "check --state"));
        }
        Err(e) => return Err(e.into()),
    };
    let asked = |r: &Record| args.record == r.seq.to_string() || args.record == r.id.to_string();
    let mut visits: Vec<Record> = Vec::new();
    let mut found: Option<Record> = None;
    let mut after = 0;
    loop {
        let page = journal.after(after, PAGE).map_err(io)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for stored in &page {
            let record: Record = serde_json::from_str(&stored.text).map_err(|e| {
                let subject = format!("record {}", stored.seq);
                Failure::new(Code::BadInput, subject, e, "run `cardea events verify`")
            })?;
            if asked(&record) {
                found = Some(record.clone());
            }
            if visit_of(&record.event).is_some() {
                visits.push(record);
            }
        }
    }
    let found = found.ok_or_else(|| {
        let hint = "see `cardea events list`; give its seq or its id";
        Failure::new(Code::Usage, args.record.clone(), "there is no such record", hint)
    })?;
    let Some(visit) = visit_of(&found.event) else {
        let what = format!("a {} belongs to no visit", found.event.kind());
        return Err(Failure::new(Code::Usage, args.record, what, "give a record of a visit, as visit.ended"));
    };
    // Visits are numbered anew at every start.
    visits.retain(|r| r.boot == found.boot && visit_of(&r.event) == Some(visit));
    print(&explain(globals, &visits)).map(|_| Exit::Done)
}

fn visit_of(event: &Event) -> Option<VisitId> {
    match event {
        Event::VisitStarted { visit, .. }
        | Event::VisitPrompted { visit, .. }
        | Event::VisitEnded { visit, .. }
        | Event::AccessGranted { visit, .. }
        | Event::AccessDenied { visit, .. }
        | Event::AccessPaired { visit, .. }
        | Event::AccessReported { visit, .. }
        | Event::PanelSent { visit, .. }
        | Event::PanelDropped { visit, .. }
        | Event::SessionDoor { visit, .. }
        | Event::AlarmDuress { visit, .. }
        | Event::AlarmSpoof { visit }
        | Event::RelayCoalesced { visit } => Some(*visit),
        Event::RelayEnergised { visit, .. } | Event::RelayReleased { visit, .. } => *visit,
        _ => None,
    }
}

fn explain(globals: &Globals, records: &[Record]) -> String {
    let mut end = None;
    let (mut door, mut rule, mut paired) = (None, None, None);
    for r in records {
        match &r.event {
            Event::VisitEnded { verdict, reason, person, cause, gates, duration_ms, .. } => {
                end = Some((*verdict, *reason, person.clone(), *cause, gates.clone(), *duration_ms));
            }
            Event::AccessDenied { reason, rule: objected, .. } => {
                door = Some(*reason);
                rule = objected.clone();
            }
            Event::AccessPaired { person, with, .. } => {
                paired = Some(format!("{person} went along with visit {}", with.0))
            }
            _ => {}
        }
    }
    let prompts: Vec<&str> = records
        .iter()
        .filter_map(|r| if let Event::VisitPrompted { action, .. } = &r.event { Some(action.name()) } else { None })
        .collect();
    let seqs: Vec<u64> = records.iter().map(|r| r.seq).collect();
    let Some((verdict, reason, person, cause, gates, ms)) = end else {
        let what = "the visit has no end: the daemon was stopped in the middle of it, nothing was opened";
        return if globals.json {
            format!("{}\n", json!({"records": seqs, "verdict": null, "what": what, "asked": prompts}))
        } else {
            format!("{what}\n")
        };
    };
    // The door may refuse what the visit granted.
    let verdict = door.map_or(verdict, Reason::verdict);
    let reason = door.or(reason);
    let what = paired.as_deref().unwrap_or(reason.map_or("everything that was asked for was shown", meaning));
    let fix = reason.and_then(remedy);
    if globals.json {
        let value = json!({"records": seqs, "verdict": verdict, "reason": reason, "cause": cause, "person": person, "rule": rule,
            "what": what, "fix": fix, "gates": gates, "asked": prompts, "duration_ms": ms});
        return format!("{value}\n");
    }
    let mut text = format!("{}: {what}\n", verdict_name(verdict));
    text.extend(cause.map(|c| format!("  seen:    {}\n", seen(c))));
    text.extend(person.map(|p| format!("  person:  {p}\n")));
    text.extend(rule.map(|r| format!("  rule:    {r}\n")));
    if !prompts.is_empty() {
        text += &format!("  asked:   {}\n", prompts.join(", "));
    }
    for (gate, state) in &gates {
        let word = if state == "fail" { "objected" } else { "had nothing to go by" };
        text += &format!("  gate:    {gate} {word}\n");
    }
    text += &format!("  took:    {ms} ms, records {}\n", seqs.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
    text.extend(fix.map(|f| format!("  do:      {f}\n")));
    text
}

const fn verdict_name(v: Verdict) -> &'static str {
    match v {
        Verdict::Granted => "granted",
        Verdict::Denied => "denied",
        Verdict::TryAgain => "no decision",
    }
}

const fn seen(cause: Cause) -> &'static str {
    match cause {
        Cause::DuplicateFrames => "whole pictures came twice",
        Cause::FrameOrder => "numbers or times of frames went backwards",
        Cause::FrameRate => "more frames a second than the camera was asked for",
        Cause::FrozenFace => "a face pixel for pixel as in the frame before, without a sensor's noise",
    }
}

/// The reason as a sentence.
const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::NoMatch => "the face is nobody's who is enrolled, at the threshold for this number of people",
        Reason::AmbiguousMatch => "two people are too much alike to tell which of them it was",
        Reason::Spoof => "what was shown is a picture, a screen or a plane, not a living head",
        Reason::Injection => "the frames cannot have come out of this camera as they came",
        Reason::ChallengeFailed => "a turn, nod or open mouth came unasked, or before its prompt could be seen",
        Reason::ChallengeTimeout => "an action that was asked for was not seen in its time",
        Reason::ChallengeMismatch => "after the last action the face was not that of the beginning",
        Reason::FaceChanged => "the face was lost for too long, or became another one, after the first prompt",
        Reason::OutsideSchedule => "the person may enter, but not at this time",
        Reason::Expired => "the person's permission has run out",
        Reason::AntiPassback => "the person is inside already, as far as the records say",
        Reason::LockedOut => "too many failures: the door decides nothing until the time is over",
        Reason::SecondFactor => "a second factor is needed, or nothing that could be asked is possible for this person",
        Reason::TwoPerson => "two people have to come within the time set, and one did",
        Reason::Lockdown => "the door is in lockdown",
        Reason::RelayFault => "the relay or its guard did not answer",
        Reason::RelayRate => "too many pulses in a minute",
        Reason::JournalFailed => "the record could not be written, and what is not recorded does not open",
        Reason::Panel => "the access panel could not be told, or the person has no card number that it knows",
        Reason::PoorQuality => "no picture was good enough, or too few of them, to judge",
        Reason::SeveralFaces => "more than one face was in front of the camera",
        Reason::Degraded => "frames were too old or too rare to decide on",
        Reason::NoFace => "whoever was there went away",
        Reason::Stopped => "the daemon was stopped",
        Reason::CameraChanged => "the camera was opened again, or is another one",
    }
}

/// What can be done about it, where something can.
const fn remedy(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::NoMatch => "if it is somebody who should come in: enrol some pictures more, taken at this door",
        Reason::AmbiguousMatch => "enrol both with more pictures, or give one of them another way in",
        Reason::Spoof => {
            "look at who was there; if it was a person, `cardea pad calibrate` shows how this place differs"
        }
        Reason::Injection => "look at the cable and the device: `cardea doctor camera`",
        Reason::ChallengeFailed | Reason::ChallengeTimeout => {
            "people learn it within a visit or two; for who cannot do an action: `cardea people limits`"
        }
        Reason::PoorQuality => "light, distance and a clean lens: `cardea replay --json` on a clip shows which it is",
        Reason::Degraded => "`cardea doctor camera` and `cardea bench` show whether camera or processor is slow",
        Reason::OutsideSchedule => "`cardea who-can DOOR AT` shows who may; `cardea doctor` looks at the clock",
        Reason::Expired => "`cardea people set NAME --valid-to DAY`, if the person is to come on",
        Reason::AntiPassback => "`cardea rules release NAME` lets the person count as having left",
        Reason::LockedOut => "wait, or `cardea rules release`, with a name for a person's own lockout",
        Reason::SecondFactor => "`cardea people set NAME --pin` or `--card`, and look at the keypad or reader",
        Reason::TwoPerson => "two different people come, one right after the other",
        Reason::Lockdown => "close the housing, or `cardea rules release --lockdown`",
        Reason::RelayFault => "`cardea doctor`; the guard says why in its own log",
        Reason::JournalFailed => "make room on the disk",
        Reason::Panel => "`cardea doctor` looks at the line; `cardea people set NAME --card NUMBER` gives a number",
        Reason::CameraChanged => "look at the cable: a camera that is opened again ends the visit",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_of_the_contract_has_a_sentence_of_its_own() {
        const NAMES: [&str; 25] = [
            "no_match",
            "ambiguous_match",
            "spoof",
            "injection",
            "challenge_failed",
            "challenge_timeout",
            "challenge_mismatch",
            "face_changed",
            "outside_schedule",
            "expired",
            "anti_passback",
            "locked_out",
            "second_factor",
            "two_person",
            "lockdown",
            "relay_fault",
            "relay_rate",
            "journal_failed",
            "panel",
            "poor_quality",
            "several_faces",
            "degraded",
            "no_face",
            "stopped",
            "camera_changed",
        ];
        let all = NAMES.map(|n| serde_json::from_value::<Reason>(json!(n)).expect("a reason"));
        let sentences: BTreeSet<&str> = all.iter().map(|r| meaning(*r)).collect();
        assert_eq!(sentences.len(), NAMES.len());
    }
}
