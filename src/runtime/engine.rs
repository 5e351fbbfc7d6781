//! The networks of the configured pack behind one pipeline, and the policy that goes with them. `run`, `demo`,
//! `replay`, `eval` and the commands on pictures all get theirs here.

use crate::adapters::infer::manifest::{self, FilePrecision, Pack};
use crate::adapters::infer::ort::{ALL_ROLES, Loaded, OrtEngine, Settings};
use crate::adapters::infer::scripted::{self, Script, ScriptedEngine};
use crate::adapters::infer::site::Site;
use crate::config::Config;
use crate::config::sections::{ChallengeMode, LightMode, Precision};
use crate::domain::challenge::Deck;
use crate::domain::gallery::{Curve, Gallery, MatchRule, Metric, Template, Threshold};
use crate::domain::liveness::PadRule;
use crate::domain::observation::Embedding;
use crate::domain::visit::{ChallengeSource, LightAsk, Policy};
use crate::ports::{Infer, Person, PortError, Recovery};
use crate::schema::event::{Action, Goal};
use crate::schema::ids::PersonId;
use crate::vision::family::Role;
use crate::vision::pad::Head;
use crate::vision::pipeline::{Pipeline, VisionError};
use crate::vision::quality::Rules;
use std::collections::BTreeMap;
use std::sync::Arc;

/// False-match rate of 1:1 comparisons, the figure that the field asks for; a lower `recognition.target_fpir` lowers it.
const VERIFY_FMR: f64 = 1e-4;

/// False-match rate of the check that pictures enrolled together show one person.
const TOGETHER_FMR: f64 = 1e-2;

/// A loaded and checked pack.
pub struct Engine {
    pub pipeline: Pipeline<Box<dyn Infer>>,
    judge: Judge,
}

/// What is known of a loaded pack without its networks: thresholds, and what templates are tagged with.
#[derive(Clone, Debug)]
pub struct Judge {
    pack: Pack,
    loaded: Vec<Loaded>,
    embedding: EmbeddingModel,
    site: Site,
}

/// What of the site's own thresholds and head an engine is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseSite {
    /// All of it, as at the door.
    Yes,
    /// The pack alone, against which a site measures.
    No,
    /// As `Yes`, with the networks' features even where no head reads them: they are trained on.
    WithFeatures,
}

impl std::ops::Deref for Engine {
    type Target = Judge;
    fn deref(&self) -> &Judge {
        &self.judge
    }
}

/// What templates are tagged with.
#[derive(Clone, Debug)]
struct EmbeddingModel {
    sha256: String,
    precision: FilePrecision,
    metric: Metric,
}

impl Engine {
    /// Loads every network of the pack, checks digests and known answers.
    ///
    /// # Errors
    /// A missing library or file, a wrong digest, a wrong known answer, a pack without a network that a visit needs.
    pub fn open(config: &Config) -> Result<Self, PortError> {
        Self::open_with(config, |infer| infer)
    }

    /// [`Engine::open`] with another part of what the site has set for itself.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_for(config: &Config, site: UseSite) -> Result<Self, PortError> {
        Self::open_as(config, site, |infer| infer)
    }

    /// [`Engine::open`] with something between the pipeline and the networks, as `bench` has a clock there.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with(
        config: &Config,
        between: impl FnOnce(Box<dyn Infer>) -> Box<dyn Infer>,
    ) -> Result<Self, PortError> {
        Self::open_as(config, UseSite::Yes, between)
    }

    fn open_as(
        config: &Config,
        using: UseSite,
        between: impl FnOnce(Box<dyn Infer>) -> Box<dyn Infer>,
    ) -> Result<Self, PortError> {
        let m = config.models();
        let settings = Settings {
            cache: &m.cache,
            precision: m.precision,
            provider: m.provider,
            runtime: m.runtime.as_deref(),
            threads: m.threads,
            roles: ALL_ROLES,
        };
        let (pack, site, loaded, infer): (Pack, Site, Vec<Loaded>, Box<dyn Infer>) = match &m.script {
            Some(script) => {
                let pack = scripted::pack(&m.pack);
                let engine = ScriptedEngine::new(Script::read(script)?, &pack);
                let loaded = scripted::loaded(&pack);
                (pack, Site::default(), loaded, Box::new(engine))
            }
            None => {
                let (pack, site) = site_pack(config, using)?;
                let ort = OrtEngine::load(&pack, &settings)?;
                (pack, site, ort.loaded().to_vec(), Box::new(ort))
            }
        };
        let rules = Rules { min_face_px: config.recognition().min_face_px, ..Rules::default() };
        let embedding = embedding_model(&pack, m.precision)?;
        let mut pipeline = Pipeline::new(between(infer), &pack.nets(), rules)
            .map_err(|e: VisionError| fatal("use the pack", e, "choose another models.pack"))?;
        if let Some(h) = &site.head {
            let head = Head::new(h.weights.clone(), h.bias).ok_or_else(|| {
                fatal("use the head of this site", "a weight is no number", "run `cardea pad train` again")
            })?;
            pipeline = pipeline.with_head(head);
        }
        Ok(Engine { pipeline, judge: Judge { pack, loaded, embedding, site } })
    }

    /// The networks for the thread that runs them, the rest for the one that decides.
    #[must_use]
    pub fn split(self) -> (Pipeline<Box<dyn Infer>>, Judge) {
        (self.pipeline, self.judge)
    }
}

impl Judge {
    /// The pack's manifest.
    #[must_use]
    pub fn pack(&self) -> &Pack {
        &self.pack
    }

    /// What the site has set for itself and what of it was left out.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The files that are in use.
    #[must_use]
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }

    /// `fp32`, `int8`, or `mixed`.
    #[must_use]
    pub fn precision_name(&self) -> &'static str {
        let all = |p| self.loaded.iter().all(|l| l.precision == p);
        if all(FilePrecision::Fp32) {
            "fp32"
        } else if all(FilePrecision::Int8) {
            "int8"
        } else {
            "mixed"
        }
    }

    /// Digest of the embedding file, which every template carries.
    #[must_use]
    pub fn embedding_digest(&self) -> &str {
        &self.embedding.sha256
    }

    /// How embeddings are compared.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.embedding.metric
    }

    /// A template of this engine's embedding network.
    #[must_use]
    pub fn template(&self, embedding: Embedding) -> Template {
        Template { model: self.embedding.sha256.clone(), embedding }
    }

    /// From what similarity on two pictures count as the same person's when they are enrolled together: one pair in a
    /// hundred of different people passes, since an honest picture must not be refused.
    ///
    /// # Errors
    /// As [`Judge::curve`].
    pub fn together(&self) -> Result<f32, PortError> {
        Ok(self.curve(1)?.0.at(TOGETHER_FMR).value)
    }

    /// The gallery of those templates that this engine's network made.
    #[must_use]
    pub fn gallery(&self, people: &[Person]) -> (Gallery, u32) {
        let mut of = BTreeMap::<PersonId, Vec<Embedding>>::new();
        for p in people {
            let mine = p.templates.iter().filter(|t| t.model == self.embedding.sha256);
            of.entry(p.id.clone()).or_default().extend(mine.map(|t| t.embedding.clone()));
        }
        of.retain(|_, v| !v.is_empty());
        let dim = of.values().flatten().next().map_or(1, |e| e.len());
        let fewest = of.values().map(Vec::len).min().unwrap_or(0);
        (Gallery::new(self.embedding.metric, dim, &of).0, u32::try_from(fewest).unwrap_or(u32::MAX))
    }

    /// The measured curve for so many templates a person, and the similarity that continuity needs.
    ///
    /// # Errors
    /// The manifest has no measured thresholds for the precision in use.
    pub fn curve(&self, templates: u32) -> Result<(Curve, f32), PortError> {
        let p = self.embedding.precision;
        let entry = self.pack.recognition_for(p, templates.max(1)).ok_or_else(|| {
            fatal(
                "take the thresholds",
                format!("the pack {} has none measured for {} embeddings", self.pack.name, p.name()),
                "choose another models.pack or models.precision",
            )
        })?;
        #[expect(clippy::cast_possible_truncation, reason = "thresholds have few digits")]
        let points = entry.curve.iter().map(|(f, t)| (*f, *t as f32)).collect();
        let curve = Curve::new(points)
            .ok_or_else(|| fatal("take the thresholds", "the curve has fewer than two points", "mend the manifest"))?;
        #[expect(clippy::cast_possible_truncation, reason = "thresholds have few digits")]
        let continuity = entry.continuity as f32;
        Ok((curve, continuity))
    }

    /// tau for a goal and a gallery, tightened as configured.
    ///
    /// # Errors
    /// As [`Judge::curve`].
    pub fn threshold(&self, config: &Config, goal: Goal, n: usize, templates: u32) -> Result<Threshold, PortError> {
        let (curve, _) = self.curve(templates)?;
        let r = config.recognition();
        let t = match goal {
            Goal::Identify => curve.for_gallery(r.target_fpir, n),
            Goal::Verify | Goal::Liveness => curve.at(VERIFY_FMR.min(r.target_fpir)),
        };
        Ok(Threshold { value: t.value + r.tighten, ..t })
    }

    /// Everything that a visit is judged by.
    ///
    /// # Errors
    /// Thresholds are missing in the manifest.
    pub fn policy(
        &self,
        config: &Config,
        goal: Goal,
        gallery: Arc<Gallery>,
        templates: u32,
        challenge: ChallengeSource,
    ) -> Result<Policy, PortError> {
        let (_, continuity) = self.curve(templates)?;
        let tau = self.threshold(config, goal, gallery.len(), templates)?;
        let (r, l, c) = (config.recognition(), config.liveness(), config.challenge());
        // Within one person's gallery there is no second person to keep a distance from.
        let matching = MatchRule { threshold: tau.value, margin: r.min_margin };
        let mut policy = Policy::new(goal, gallery, matching, challenge);
        policy.agree = r.agree;
        policy.agree_of = r.agree_of;
        policy.pad = self.pad_rules(l.tighten)?;
        policy.pad_frames = l.min_frames;
        policy.reaction_min = c.reaction_min;
        policy.challenge_limit = c.total;
        policy.continuity = continuity;
        policy.limits.mouth_hold = c.mouth_hold;
        policy.mirrored = config.camera().mirrored;
        // Twice what the camera was asked for is not what it delivers.
        policy.max_fps = (2.0 * config.camera().fps as f32).max(70.0);
        policy.min_face_px = r.min_face_px;
        if let Some(age) = config.insecure().max_frame_age {
            policy.allow_slow_frames();
            policy.max_age = age;
        }
        Ok(policy)
    }

    /// The rule of each PAD network that is loaded, in the pipeline's order, and behind them that of the site's head. A
    /// site's thresholds count where they are the tighter ones.
    ///
    /// # Errors
    /// A network has no measured threshold in the precision in use.
    pub fn pad_rules(&self, tighten: f32) -> Result<Vec<PadRule>, PortError> {
        let nets = self.pack.models.iter().filter(|m| m.net.role == Role::Pad);
        nets.map(|m| {
            let name = &m.net.name;
            let precision = self.loaded.iter().find(|l| l.name == *name).map(|l| l.precision);
            let rule = precision.and_then(|p| self.pack.pad_for(name, p)).ok_or_else(|| {
                let cause = format!("the pack {} has none measured for {name}", self.pack.name);
                fatal("take the PAD thresholds", cause, "choose another models.pack or models.precision")
            })?;
            let own = self.site.calibrated.iter().find(|c| c.name == *name);
            let at_least = |pack: f64, own: Option<f64>| own.map_or(pack, |o| o.max(pack));
            let threshold = at_least(rule.threshold, own.map(|c| c.threshold));
            Ok(pad_rule(threshold, at_least(rule.floor, own.map(|c| c.floor)), tighten))
        })
        .chain(self.site.head.as_ref().map(|h| Ok(pad_rule(h.threshold, h.floor, tighten))))
        .collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "thresholds have few digits")]
fn pad_rule(threshold: f64, floor: f64, tighten: f32) -> PadRule {
    PadRule { threshold: (threshold as f32 + tighten).min(0.99), floor: floor as f32 }
}

/// What the site has set for itself, as [`Engine::open`] takes it; looked at before any network is loaded.
///
/// # Errors
/// A file that is damaged or looser than the pack.
pub fn site(config: &Config) -> Result<Site, PortError> {
    let m = config.models();
    // A pack that cannot be read is told when it is loaded.
    let Ok(pack) = Pack::read(&m.packs, &m.pack) else { return Ok(Site::default()) };
    Site::read(&config.store().dir, &pack, m.precision)
}

/// The configured pack with what the site has learnt about it.
fn site_pack(config: &Config, using: UseSite) -> Result<(Pack, Site), PortError> {
    let m = config.models();
    let mut pack = Pack::read(&m.packs, &m.pack)?;
    let site = match using {
        UseSite::No => Site::default(),
        UseSite::Yes | UseSite::WithFeatures => Site::read(&config.store().dir, &pack, m.precision)?,
    };
    for why in &site.ignored {
        tracing::error!("{why}");
    }
    if site.head.is_some() || using == UseSite::WithFeatures {
        pack.models.iter_mut().for_each(|m| m.net.expose_features());
    }
    Ok((pack, site))
}

/// Whether the configured challenge is drawn, and from what.
#[must_use]
pub fn challenge(config: &Config) -> ChallengeSource {
    match config.challenge().mode {
        ChallengeMode::Always | ChallengeMode::StepUp if !config.challenge().sequence.is_empty() => {
            let order = config.challenge().sequence.clone();
            ChallengeSource::Fixed { deck: deck(config), order, onsets: Vec::new() }
        }
        ChallengeMode::Always => ChallengeSource::Draw(deck(config)),
        ChallengeMode::StepUp => ChallengeSource::StepUp(deck(config)),
        ChallengeMode::Off => ChallengeSource::None,
    }
}

/// Whether the configured door has a light handshake.
#[must_use]
pub fn light(config: &Config) -> LightAsk {
    match config.challenge().light {
        LightMode::Off => LightAsk::No,
        LightMode::Try => LightAsk::Try,
        LightMode::Require => LightAsk::Require,
    }
}

/// The configured deck.
#[must_use]
pub fn deck(config: &Config) -> Deck {
    let c = config.challenge();
    let mut shaped: Vec<Action> = Vec::new();
    for action in c.shape.concat() {
        if !shaped.contains(&action) {
            shaped.push(action);
        }
    }
    Deck {
        count: if shaped.is_empty() { c.count } else { c.shape.len() },
        actions: if shaped.is_empty() { c.actions.clone() } else { shaped },
        onset_min: c.onset_min,
        onset_max: c.onset_max,
        window: c.window,
        blinks: c.blinks,
        shape: c.shape.clone(),
    }
}

/// Digest of the embedding file that the configuration asks for, without loading it; what a script takes is its own.
///
/// # Errors
/// The pack cannot be read, or has no such file.
pub fn embedding_digest(config: &Config) -> Result<String, PortError> {
    let m = config.models();
    let pack = match &m.script {
        Some(_) => scripted::pack(&m.pack),
        None => Pack::read(&m.packs, &m.pack)?,
    };
    Ok(embedding_model(&pack, m.precision)?.sha256)
}

fn embedding_model(pack: &Pack, precision: Precision) -> Result<EmbeddingModel, PortError> {
    let model = pack
        .models
        .iter()
        .find(|m| m.net.role == Role::Embed)
        .ok_or_else(|| fatal("use the pack", "it has no embedding network", "choose another models.pack"))?;
    let file = model.file_for(precision)?;
    let metric = match pack.recognition.first().map(|r| r.metric) {
        Some(manifest::Metric::Euclidean) => Metric::Euclidean,
        _ => Metric::Cosine,
    };
    Ok(EmbeddingModel { sha256: file.sha256.clone(), precision: file.precision, metric })
}

fn fatal(what: &str, cause: impl ToString, hint: &str) -> PortError {
    PortError::new(what, cause, hint, Recovery::Fatal)
}
