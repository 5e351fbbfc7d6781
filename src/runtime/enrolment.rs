//! Pictures of somebody, looked at and judged: shared by the commands on people and by uploads.

use super::engine::Engine;
use crate::base::time::Tick;
use crate::config::Config;
use crate::domain::observation::{Embedding, FaceSeen, Observation, Quality, Wants};
use crate::ports::{Infer, Person, PortError};
use crate::schema::event::Goal;
use crate::schema::ids::PersonId;
use crate::vision::decode::{Limits, decode_file};
use crate::vision::pipeline::{Pipeline, VisionError};

/// In a picture that names or asks for one person, a second face of this part of the first one's size is too many.
pub const SECOND_FACE: f32 = 0.4;

/// A picture that cannot be decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a picture, or a broken or too big one.
    Undecodable(String),
    NoFace,
    /// So many faces.
    Several(u32),
    Quality(Quality),
}

impl Refusal {
    /// The word, or the sentence, in JSON.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Refusal::Undecodable(why) => why.clone(),
            Refusal::NoFace => "no_face".into(),
            Refusal::Several(_) => "several_faces".into(),
            Refusal::Quality(q) => q.name().into(),
        }
    }

    /// How many faces there are, where that is the reason.
    #[must_use]
    pub fn faces(&self) -> Option<u32> {
        match self {
            Refusal::NoFace => Some(0),
            Refusal::Several(n) => Some(*n),
            Refusal::Undecodable(_) | Refusal::Quality(_) => None,
        }
    }

    /// What the person who took the picture can do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Refusal::Undecodable(_) => "use a JPEG or PNG picture of at most 4096 pixels a side",
            Refusal::NoFace => "use a picture that shows the whole face from the front",
            Refusal::Several(_) => "use a picture with one person in it",
            Refusal::Quality(Quality::TooSmall) => "come closer",
            Refusal::Quality(Quality::Blurred) => "hold still, clean the lens",
            Refusal::Quality(Quality::Dark) => "add light",
            Refusal::Quality(Quality::Bright) => "take light away",
            Refusal::Quality(_) => "look straight into the camera",
        }
    }
}

/// Looks at one picture with everything computed.
///
/// # Errors
/// The outer error is a fault of the runtime, the inner a picture that cannot be decided on.
pub fn observe<I: Infer>(
    pipeline: &mut Pipeline<I>,
    bytes: &[u8],
) -> Result<Result<(Observation, FaceSeen), Refusal>, VisionError> {
    let picture = match decode_file(bytes, &Limits::default()) {
        Ok(p) => p,
        Err(e) => return Ok(Err(Refusal::Undecodable(e.to_string()))),
    };
    pipeline.reset();
    let seen = pipeline.look(&picture, 0, Tick::ZERO, 0, Wants::ALL)?;
    Ok(match seen.face.clone() {
        Some(face) => Ok((seen, face)),
        None => Err(Refusal::NoFace),
    })
}

/// One person, good enough to be enrolled or recognised from this picture.
///
/// # Errors
/// As [`observe`].
pub fn portrait<I: Infer>(pipeline: &mut Pipeline<I>, bytes: &[u8]) -> Result<Result<FaceSeen, Refusal>, VisionError> {
    Ok(observe(pipeline, bytes)?.and_then(|(seen, face)| {
        if seen.faces > 1 && seen.second >= SECOND_FACE {
            return Err(Refusal::Several(seen.faces));
        }
        match face.quality {
            Quality::Ok if face.embedding.is_some() => Ok(face),
            Quality::Ok => Err(Refusal::NoFace),
            q => Err(Refusal::Quality(q)),
        }
    }))
}

/// Why a file was not taken.
#[derive(Debug)]
pub struct Refused {
    pub file: String,
    pub reason: String,
    pub advice: &'static str,
    /// Whom it shows, where that is the reason.
    pub person: Option<PersonId>,
}

/// What became of one person's pictures.
#[derive(Debug, Default)]
pub struct Taken {
    pub accepted: Vec<(String, Vec<Embedding>)>,
    pub refused: Vec<Refused>,
    duplicate: bool,
}

impl Taken {
    /// What was found in a file, or why it was not taken.
    pub fn take(&mut self, file: String, found: Result<Vec<Embedding>, Refusal>) {
        match found {
            Ok(found) => self.accepted.push((file, found)),
            Err(why) => self.refuse(file, &why),
        }
    }

    /// A file that was not taken.
    pub fn refuse(&mut self, file: String, why: &Refusal) {
        self.refused.push(Refused { file, reason: why.reason(), advice: why.advice(), person: None });
    }

    /// Refuses pictures that show somebody who is enrolled under another name.
    ///
    /// # Errors
    /// The pack has no measured thresholds.
    pub fn refuse_duplicates(
        &mut self,
        engine: &super::engine::Judge,
        config: &Config,
        others: &[Person],
    ) -> Result<(), PortError> {
        let (gallery, templates) = engine.gallery(others);
        if gallery.is_empty() {
            return Ok(());
        }
        let tau = engine.threshold(config, Goal::Identify, gallery.len(), templates)?;
        // The margin does not count: who is near to two people is near to somebody.
        let known = |e: &Embedding| gallery.search(e).best.filter(|(_, s)| s.get() >= tau.value).map(|(id, _)| id);
        for (file, embeddings) in std::mem::take(&mut self.accepted) {
            match embeddings.iter().find_map(known) {
                None => self.accepted.push((file, embeddings)),
                Some(id) => {
                    self.duplicate = true;
                    self.refused.push(Refused {
                        file,
                        reason: "already_enrolled_as".into(),
                        advice: "use that name, or --allow-duplicate if it is somebody else",
                        person: Some(id),
                    });
                }
            }
        }
        Ok(())
    }

    /// Refuses pictures that look like none of the others, nor like what the person is enrolled with already (`own`): a
    /// stranger's template would open the door to that stranger.
    ///
    /// # Errors
    /// The pack has no measured thresholds.
    pub fn refuse_strangers(&mut self, engine: &super::engine::Judge, own: &[Person]) -> Result<(), PortError> {
        let (tau, metric) = (engine.together()?, engine.metric());
        let before: Vec<&Embedding> = own
            .iter()
            .flat_map(|p| &p.templates)
            .filter(|t| t.model == engine.embedding_digest())
            .map(|t| &t.embedding)
            .collect();
        let like = |mine: &[Embedding], other: &Embedding| {
            mine.iter().filter_map(|m| metric.similarity(m, other)).any(|s| s.get() >= tau)
        };
        let all = std::mem::take(&mut self.accepted);
        let mut strange = Vec::new();
        for (i, (_, mine)) in all.iter().enumerate() {
            let others = all.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, (_, e))| e);
            let mut others = others.chain(before.iter().copied()).peekable();
            strange.push(others.peek().is_some() && !others.any(|o| like(mine, o)));
        }
        for ((file, embeddings), strange) in all.into_iter().zip(strange) {
            if strange {
                let advice = "enrol one person's pictures at a time; this one looks like none of the others";
                self.refused.push(Refused { file, reason: "not_the_same_person".into(), advice, person: None });
            } else {
                self.accepted.push((file, embeddings));
            }
        }
        Ok(())
    }

    /// Who is to be stored; nobody when a picture was refused and `partial` does not allow that. One picture of
    /// somebody else spoils all of them, since the others may be of the same person.
    #[must_use]
    pub fn person(&self, engine: &super::engine::Judge, id: &PersonId, partial: bool, now_ms: i64) -> Option<Person> {
        if self.accepted.is_empty() || self.duplicate || (!self.refused.is_empty() && !partial) {
            return None;
        }
        let all = self.accepted.iter().flat_map(|(_, e)| e).map(|e| engine.template(e.clone()));
        Some(Person { id: id.clone(), templates: all.collect(), enrolled_unix_ms: now_ms })
    }

    /// Whether anything was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The files that were good.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.accepted.iter().map(|(f, _)| f.as_str()).collect()
    }
}

/// The embedding that somebody may be enrolled with from the bytes of a picture.
///
/// # Errors
/// As [`observe`].
pub fn embedding(engine: &mut Engine, bytes: &[u8]) -> Result<Result<Vec<Embedding>, Refusal>, VisionError> {
    Ok(portrait(&mut engine.pipeline, bytes)?.map(|f| f.embedding.into_iter().collect()))
}
