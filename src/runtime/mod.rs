//! The shell: puts the parts together, carries effects out, decides nothing.

pub mod broker_news;
pub mod capture;
pub mod commands;
pub mod controller;
pub mod daemon;
pub mod doorway;
pub mod engine;
pub mod enrolment;
pub mod evaluations;
pub mod expiry;
pub mod inputs;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod panel;
pub mod precedence;
pub mod readers;
pub mod recorder;
pub mod rules;
pub mod rules_shown;
pub mod sessions;
pub mod site;
pub mod timings;
pub mod watch;
pub mod web;
pub mod who_can;
