//! What became of a connection, in words and with the remedy.

use std::io;
use std::time::Instant;

use crate::transport::stream::{STEP_TIMEOUT, StreamError};

pub(super) fn closed(peer: &str) -> StreamError {
    StreamError::Broken(format!("{peer} has closed the connection"))
}

pub(super) fn unclear(peer: &str) -> StreamError {
    StreamError::Broken(format!("the connection to {peer} is in an unclear state"))
}

/// An I/O error in words, those of TLS with what to do.
pub(in crate::transport) fn broke(peer: &str, error: &io::Error) -> StreamError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => StreamError::Untrusted(format!(
            "the certificate of {peer} is not accepted ({why}): set `tls.ca_file` to the authority that issued it, and \
             check that the address is one of its names"
        )),
        Some(rustls::Error::AlertReceived(alert)) => StreamError::Untrusted(format!(
            "{peer} refuses us by the TLS alert {alert:?}: check `tls.certificate` and `tls.private_key`"
        )),
        Some(why) => StreamError::Untrusted(format!("{peer} does not speak TLS as we do: {why}")),
        None => StreamError::Broken(format!("the connection to {peer} broke: {error}")),
    }
}

/// A receiver that wants another certificate often says nothing and closes, and only after the handshake of TLS 1.3.
pub(super) fn explained(error: StreamError, signed_on: Option<Instant>) -> StreamError {
    match error {
        StreamError::Broken(why) if signed_on.is_some_and(|time| time.elapsed() < STEP_TIMEOUT) => {
            StreamError::Broken(format!(
                "{why}, right after the TLS handshake: the receiver may want another client certificate than \
                 `tls.certificate`"
            ))
        }
        StreamError::Broken(_) | StreamError::Untrusted(_) => error,
    }
}
