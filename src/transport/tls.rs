//! One TLS setting for everybody: rustls on ring, TLS 1.2 and 1.3, no way to switch verification off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// TLS of one connection. Paths are to PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Trust these authorities and no others; left out: those of the system, or the built-in ones where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, with its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The key of `certificate` (PKCS#8, PKCS#1 or SEC1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PathBuf>,
}

/// Why a TLS setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or holds no such thing.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// One of certificate and key is missing.
    #[error("a client certificate needs both `certificate` and `private_key`")]
    Half,
    /// Key and certificate do not belong together, or rustls refuses them.
    #[error("the client certificate cannot be used: {0}")]
    Certificate(rustls::Error),
}

impl Config {
    /// The setting for rustls. `extra_ca` is trusted beside the others.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn client(&self, extra_ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
        let mut roots = match &self.ca_file {
            Some(path) => from_file(path)?,
            None => system_roots(),
        };
        if let Some(path) = extra_ca {
            roots.roots.extend(from_file(path)?.roots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        match (&self.certificate, &self.private_key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(TlsError::Certificate),
            (Some(_), None) | (None, Some(_)) => Err(TlsError::Half),
        }
    }
}

/// The system's authorities, or the built-in ones in a container that has none.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    roots
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::File { path: path.to_owned(), why: error.to_string() })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |why: String| TlsError::File { path: path.to_owned(), why };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| fail(format!("no PEM certificates can be read: {error}")))?;
    match certificates.is_empty() {
        true => Err(fail("there is no PEM certificate in it".into())),
        false => Ok(certificates),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        path: path.to_owned(),
        why: format!("no PEM private key can be read: {error}"),
    })
}
