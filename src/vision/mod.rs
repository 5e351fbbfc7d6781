//! From a frame to an observation.

pub mod align;
pub mod blazeface;
pub mod copies;
pub mod decode;
pub mod detection;
pub mod embedding;
pub mod eyes;
pub mod facemesh;
pub mod family;
pub mod frame;
pub mod motion;
pub mod mouth;
pub mod nms;
pub mod orient;
pub mod pad;
pub mod pipeline;
pub mod pose;
pub mod quality;
pub mod relief;
pub mod skin;
pub mod tensor;
pub mod track;
pub mod warp;
pub mod yunet;
pub mod yuv;
