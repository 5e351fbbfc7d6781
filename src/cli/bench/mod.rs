//! `cardea bench`.

use super::{Code, Failure, Globals, Outcome};

#[derive(clap::Args, Debug)]
pub struct Args {}

pub fn run(_globals: &Globals, _args: Args) -> Outcome {
    Err(Failure::new(Code::Internal, "bench", "not built yet", "wait for it"))
}
