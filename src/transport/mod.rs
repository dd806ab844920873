//! What the source, the sign-in and the sinks have in common on the wire: TLS settings, the HTTP client, secrets from files,
//! and the connections of syslog.

pub mod address;
pub(crate) mod blocking;
pub mod blot;
pub(crate) mod call;
pub mod datagram;
pub mod hands;
pub mod handshake;
pub mod http;
pub mod proxy;
mod proxy_tls;
pub mod secret;
pub mod stream;
pub mod tls;
