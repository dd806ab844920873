//! The sandbox does what it says: the world is the same for the same seed, and the API in front of it counts, filters, pages
//! and fails as it was told to, as seen by an ordinary HTTP client.

#[path = "sandbox/agree.rs"]
mod agree;
#[path = "sandbox/client.rs"]
mod client;
#[path = "sandbox/fails.rs"]
mod fails;
#[path = "sandbox/graph.rs"]
mod graph;
#[path = "sandbox/serves.rs"]
mod serves;
#[path = "sandbox/world.rs"]
mod world;
