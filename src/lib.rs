//! xdrelay carries every new or changed Microsoft Defender XDR incident into the SIEM next to it.
//!
//! The modules in layer order; an import may only point down this list (`tests/tidy.rs` checks it). `api`, `store` and
//! `sink` never import each other. The path of one incident through them is in `ARCHITECTURE.md`.

pub mod cli;

pub mod run;

pub mod admin;

pub mod config;

pub mod api;

pub mod store;

pub mod sink;

pub mod identity;

pub mod sandbox;

pub mod transport;

pub mod format;

pub mod core;

pub mod model;
