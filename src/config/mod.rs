//! From text to the truth: raw sections as typed, then [`Config`], which is only made when nothing is wrong.

mod check;
mod compat;
mod fault;
mod keys;
mod load;
mod overrides;
mod panel;
mod privacy;
mod prompt;
mod raw;
mod reload;
mod rules;
pub mod sections;
mod show;
mod site;
#[cfg(test)]
mod tests;
mod web;

pub use check::LANGUAGES;
pub use fault::{Fault, Faults, Origin, Origins};
pub use keys::{Key, schema};
pub use load::{DEFAULT_FILE, DROP_INS, Inputs, Merged, load, merge};
pub use overrides::{Change, SETTINGS_FILE, change, is_editable};
pub use reload::reread_rules;
pub use rules::{ALWAYS, is_name, parse_rules, read_rules, zone};
pub use sections::Config;
pub use show::{Entry, about, description, entries, example};
pub use site::is_name as is_site_name;
pub use web::warnings;
