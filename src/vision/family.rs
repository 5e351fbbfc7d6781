//! What a network is, in plain words: its role, the family whose decoder reads it, and how its input is written.
//!
//! The manifest fills these types and the pipeline acts on them; neither knows the other.

use crate::ports::NetId;
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Detect,
    Landmarks,
    Eyes,
    Embed,
    /// Presentation attack detection; the only role that a pack may fill twice.
    Pad,
}

impl Role {
    /// The word in manifests and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Detect => "detect",
            Role::Landmarks => "landmarks",
            Role::Eyes => "eyes",
            Role::Embed => "embed",
            Role::Pad => "pad",
        }
    }
}

/// Which decoder reads a network's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    #[serde(rename = "yunet")]
    Yunet,
    #[serde(rename = "blazeface")]
    Blazeface,
    #[serde(rename = "facemesh")]
    Facemesh,
    #[serde(rename = "eye-contour")]
    EyeContour,
    #[serde(rename = "embedding-arcface112")]
    Arcface112,
    #[serde(rename = "embedding-reid128")]
    Reid128,
    #[serde(rename = "embedding-dlib150")]
    Dlib150,
    #[serde(rename = "pad-minifasnet80")]
    Minifasnet80,
    #[serde(rename = "pad-minifas128")]
    Minifas128,
}

impl Family {
    /// The word in manifests and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Family::Yunet => "yunet",
            Family::Blazeface => "blazeface",
            Family::Facemesh => "facemesh",
            Family::EyeContour => "eye-contour",
            Family::Arcface112 => "embedding-arcface112",
            Family::Reid128 => "embedding-reid128",
            Family::Dlib150 => "embedding-dlib150",
            Family::Minifasnet80 => "pad-minifasnet80",
            Family::Minifas128 => "pad-minifas128",
        }
    }

    /// The role that this decoder can fill.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Family::Yunet | Family::Blazeface => Role::Detect,
            Family::Facemesh => Role::Landmarks,
            Family::EyeContour => Role::Eyes,
            Family::Arcface112 | Family::Reid128 | Family::Dlib150 => Role::Embed,
            Family::Minifasnet80 | Family::Minifas128 => Role::Pad,
        }
    }

    /// Side of the square input; `None` where the network exists in several sizes.
    #[must_use]
    pub const fn side(self) -> Option<usize> {
        match self {
            Family::Yunet => None,
            Family::Blazeface | Family::Reid128 | Family::Minifas128 => Some(128),
            Family::Facemesh => Some(192),
            Family::EyeContour => Some(64),
            Family::Arcface112 => Some(112),
            Family::Dlib150 => Some(150),
            Family::Minifasnet80 => Some(80),
        }
    }

    /// The outputs that the decoder reads, in the order in which it wants them, each with its shape for an input of
    /// `side` pixels. A manifest must name exactly these; a zero stands for any length.
    #[must_use]
    pub fn outputs(self, side: usize) -> Vec<(String, Vec<usize>)> {
        let named = |list: &[(&str, &[usize])]| list.iter().map(|(n, s)| ((*n).to_owned(), s.to_vec())).collect();
        match self {
            Family::Yunet => [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)]
                .into_iter()
                .flat_map(|(what, width)| {
                    [8, 16, 32].map(|s| (format!("{what}_{s}"), vec![1, (side / s) * (side / s), width]))
                })
                .collect(),
            Family::Blazeface => named(&[("regressors", &[1, 896, 16]), ("classificators", &[1, 896, 1])]),
            Family::Facemesh => named(&[("landmarks", &[1, 1404, 1, 1]), ("face_logit", &[1, 1, 1, 1])]),
            Family::EyeContour => named(&[("eye_contour", &[1, 213]), ("iris", &[1, 15])]),
            Family::Arcface112 | Family::Reid128 | Family::Dlib150 => named(&[("embedding", &[1, 0])]),
            Family::Minifasnet80 => named(&[("logits", &[1, 3])]),
            Family::Minifas128 => named(&[("output", &[1, 2])]),
        }
    }
}

/// Order of the colour planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Rgb,
    Bgr,
}

/// How pixels become the input tensor: NCHW, one picture, value = lo + (hi - lo) * pixel / 255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The graph's name of the input.
    pub name: String,
    /// Always `[1, 3, side, side]`; the manifest's reader holds this.
    pub shape: [usize; 4],
    pub order: Order,
    pub lo: f32,
    pub hi: f32,
}

impl InputSpec {
    /// Width and height in pixels.
    #[must_use]
    pub const fn side(&self) -> usize {
        self.shape[3]
    }
}

/// The tensor before the last layer of a PAD network, by its name in the graph: what a head that is trained on site reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    pub name: String,
    /// Its shape is `[1, len]`.
    pub len: usize,
}

/// One network of a pack.
#[derive(Clone, Debug, PartialEq)]
pub struct NetSpec {
    /// What to hand to [`crate::ports::Infer::run`].
    pub id: NetId,
    pub role: Role,
    /// Unique in the pack.
    pub name: String,
    pub family: Family,
    pub input: InputSpec,
    /// In the order in which [`crate::ports::Infer::run`] returns them.
    pub outputs: Vec<String>,
    /// Side of the crop over that of the face box, [`Family::Minifasnet80`] only.
    pub crop_scale: Option<f32>,
    /// PAD networks only, where the manifest names them.
    pub features: Option<Features>,
}

impl NetSpec {
    /// The network with its features as one more output, behind those of its family. Without features it stays as it is.
    pub fn expose_features(&mut self) {
        if let Some(f) = self.features.as_ref().filter(|f| !self.outputs.contains(&f.name)) {
            self.outputs.push(f.name.clone());
        }
    }

    /// Place and length of the features among the outputs; `None` unless they are exposed.
    #[must_use]
    pub fn exposed(&self) -> Option<(usize, usize)> {
        let f = self.features.as_ref()?;
        Some((self.outputs.iter().position(|o| *o == f.name)?, f.len))
    }
}

/// Outputs that do not look as the family's contract says. The frame is not decided on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("outputs of {family}: {what}; run `cardea models verify`")]
pub struct BadOutput {
    pub family: &'static str,
    pub what: String,
}

impl BadOutput {
    pub(crate) fn new(family: Family, what: impl Into<String>) -> Self {
        BadOutput { family: family.name(), what: what.into() }
    }
}

/// Output `index` as a flat slice of `len` values.
pub(crate) fn flat(family: Family, outputs: &[ArrayD<f32>], index: usize, len: usize) -> Result<&[f32], BadOutput> {
    let array = outputs.get(index).ok_or_else(|| BadOutput::new(family, format!("output {index} is missing")))?;
    let slice = array
        .as_slice()
        .ok_or_else(|| BadOutput::new(family, format!("output {index} is not in the standard layout")))?;
    if slice.len() != len {
        let what = format!("output {index} has {} values instead of {len}", slice.len());
        return Err(BadOutput::new(family, what));
    }
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_a_manifest_reads_back_as_its_family() {
        for f in [
            Family::Yunet,
            Family::Blazeface,
            Family::Facemesh,
            Family::EyeContour,
            Family::Arcface112,
            Family::Reid128,
            Family::Dlib150,
            Family::Minifasnet80,
            Family::Minifas128,
        ] {
            let read: Family = serde_json::from_value(serde_json::json!(f.name())).unwrap();
            assert_eq!(read, f);
        }
    }

    #[test]
    fn an_output_of_the_wrong_length_is_refused_by_number_and_length() {
        let outputs = vec![ArrayD::<f32>::zeros(vec![1, 14])];
        let e = flat(Family::EyeContour, &outputs, 0, 15).unwrap_err();
        assert_eq!(e.what, "output 0 has 14 values instead of 15");
        assert!(flat(Family::EyeContour, &outputs, 1, 15).is_err());
        assert_eq!(flat(Family::EyeContour, &outputs, 0, 14).unwrap().len(), 14);
    }
}
