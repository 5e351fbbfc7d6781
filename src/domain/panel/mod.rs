//! What an access panel is told: a person's card number, once, while it is fresh.
//!
//! * [`card`]: the number as the bits that panels know, with their parities.
//! * [`courier`]: hands one card to the line and sees to it that it is taken soon or never.

pub mod card;
pub mod courier;
