//! What the source, the sign-in and the sinks have in common on the wire: TLS settings, the HTTP client, secrets from files.

pub mod datagram;
pub mod http;
pub mod secret;
pub mod stream;
pub mod tls;
