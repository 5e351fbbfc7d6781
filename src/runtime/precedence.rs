//! The door before web sessions: their networks make way before each run.

use crate::base::precedence::Precedence;
use crate::ports::{Infer, NetId, PortError};
use ndarray::{ArrayD, ArrayView4};
use std::sync::Arc;

/// The networks of web sessions, which stop before each run while the door has a frame.
pub struct Yielding {
    infer: Box<dyn Infer>,
    precedence: Arc<Precedence>,
}

impl Yielding {
    #[must_use]
    pub fn new(infer: Box<dyn Infer>, precedence: Arc<Precedence>) -> Self {
        Yielding { infer, precedence }
    }
}

impl Infer for Yielding {
    fn run(&mut self, net: NetId, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
        self.precedence.pause();
        self.infer.run(net, input)
    }

    fn frame(&mut self, seq: u64) {
        self.infer.frame(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_of_a_session_is_a_piece_of_its_own() {
        struct Nothing;
        impl Infer for Nothing {
            fn run(&mut self, _: NetId, _: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
                Ok(Vec::new())
            }
        }
        let precedence = Arc::new(Precedence::default());
        let mut nets = Yielding::new(Box::new(Nothing), precedence.clone());
        let picture = precedence.second();
        for net in 0..3 {
            nets.run(NetId(net), ndarray::Array4::zeros((1, 1, 1, 1)).view()).expect("runs");
        }
        drop(picture);
        assert_eq!(precedence.seen().pieces, 4, "decoding and three networks");
    }
}
