//! The way through proxies that others wrote: HTTP, HTTPS and SOCKS5, with and without passwords and certificates, for tenants
//! and for sinks; what goes around them; and that no password is ever said. The outside is the sandbox behind TLS, under a name
//! that only the proxies resolve.

mod far_side;
#[path = "../daemon/harness.rs"]
mod harness;
#[path = "../outgoing/mod.rs"]
mod outgoing;
mod process;
#[path = "../receivers/python.rs"]
mod python;
mod roots;
mod sinks;
#[path = "../receivers/skipped.rs"]
mod skipped;
mod tenants;
