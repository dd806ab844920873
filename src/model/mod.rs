//! The words everything else speaks: times, names, incidents, pages, events. No I/O, no clock, no policy.

pub mod content;
pub mod delivery;
pub mod dialect;
pub mod digest;
pub mod event;
pub mod hash;
pub mod incident;
mod members;
pub mod moment;
pub mod names;
pub mod node;
pub mod page;
pub mod parts;
pub mod timestamp;
pub mod units;
pub mod words;
