//! From text to the truth: raw sections as typed, then [`Config`], which is only made when nothing is wrong.

mod check;
mod fault;
mod keys;
mod load;
mod raw;
pub mod sections;

pub use check::LANGUAGES;
pub use fault::{Fault, Faults, Origin, Origins};
pub use keys::schema;
pub use load::{CREDENTIAL, DEFAULT_FILE, DROP_INS, ENV_PREFIX, Inputs, load};
pub use sections::Config;
