//! Drives the decisions of xdrelay (src/core and src/model, the same files) through hostile worlds, and checks after every step
//! that nothing is lost. What it covers and what not is in docs/simulation.md. No clock, no I/O, no chance but the seed's.

#[path = "../../src/core/mod.rs"]
pub mod core;
#[path = "../../src/model/mod.rs"]
pub mod model;

pub mod campaign;
mod daemon;
mod delivering;
pub mod dice;
pub mod fault;
pub mod focus;
pub mod incident;
pub mod invariant;
pub mod ledger;
pub mod mistakes;
pub mod plan;
mod reading;
pub mod server;
pub mod shrink;
pub mod simulation;
pub mod sink;
pub mod trace;
mod weather;
pub mod world;
