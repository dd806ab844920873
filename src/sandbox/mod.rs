//! A tenant to try things against: a world of incidents that live, and the API in front of it. The daemon never needs it;
//! `xdrelay demo`, tests and benches do. It imitates what was observed of the real API and invents nothing kinder.
//!
//! Two halves. The pure one takes time as an argument and draws from a seeded generator: the same seed and the same calls
//! give the same world, byte for byte.
//!
//! - [`world`]: incidents that are created, change, merge and vanish, and who may see what of it when
//! - [`knobs`]: how wild it is
//! - [`incident`], [`alert`], [`entity`]: the nouns, each with Defender's JSON
//! - [`graph`]: the JSON that Microsoft Graph has for them
//! - [`names`]: people, devices, files and sentences, some of them nasty
//! - [`stamp`]: the times the API writes
//! - [`agenda`]: when the next thing happens
//! - [`rows`]: what is visible, indexed for paging
//! - [`filter`]: the condition of a list call, `$filter`
//! - [`query`]: the other options of the list
//!
//! The other half is a server on loopback.
//!
//! - [`server`]: [`server::Sandbox`] starts, serves and stops
//! - [`endpoints`]: the way of a call: counted, throttled, spoiled, answered
//! - [`page`], [`graph_page`]: what it is answered where it goes well, in either dialect
//! - [`refusal`]: and where it does not
//! - [`settings`]: what the API is like
//! - [`token`]: the sign-in
//! - [`throttle`]: the quotas
//! - [`faults`]: what goes wrong, on demand
//! - [`calls`]: who asked what
//! - [`answer`]: bodies, headers, encodings
//! - [`connection`]: sockets that can be cut

pub mod agenda;
pub mod alert;
pub mod answer;
pub mod calls;
pub mod connection;
pub mod endpoints;
pub mod entity;
pub mod faults;
pub mod filter;
pub mod graph;
pub mod graph_page;
pub mod incident;
pub mod knobs;
pub mod names;
pub mod page;
pub mod query;
pub mod refusal;
pub mod rows;
pub mod server;
pub mod settings;
pub mod stamp;
pub mod throttle;
pub mod token;
pub mod world;
