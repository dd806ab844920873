//! One TLS setting for everybody: rustls on ring, TLS 1.2 and 1.3, no way to switch verification off.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS of one connection. Paths are to PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(
    rename = "Tls",
    extend("dependentRequired" = { "certificate": ["private_key"], "private_key": ["certificate"] })
)]
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
    /// No authority that could be used.
    #[error("the authorities cannot be used: {0}")]
    Authorities(String),
    /// Key and certificate do not belong together, or rustls refuses them.
    #[error("the client certificate cannot be used: {0}")]
    Certificate(rustls::Error),
}

impl Config {
    /// The setting for rustls. `extra_ca` is trusted beside the others. The system's authorities are loaded once a process.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn client(&self, extra_ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and 1.3")
            .with_root_certificates(self.roots(extra_ca)?);
        Ok(match self.own()? {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        })
    }

    /// Whether the files are there and hold what they should, without a look at the system's authorities.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn check(&self) -> Result<(), TlsError> {
        self.ca_file.as_deref().map(from_file).transpose()?;
        self.own().map(|_| ())
    }

    /// Whom to trust.
    pub(in crate::transport) fn roots(&self, extra_ca: Option<&Path>) -> Result<Arc<RootCertStore>, TlsError> {
        let roots = match &self.ca_file {
            Some(path) => Arc::new(from_file(path)?),
            None => system_roots(),
        };
        match extra_ca {
            None => Ok(roots),
            Some(path) => Ok(shared(&roots, from_file(path)?)),
        }
    }

    /// Our own certificate.
    pub(in crate::transport) fn own(&self) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
        match (&self.certificate, &self.private_key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                let own = CertifiedKey::from_der(certificates(certificate)?, private_key(key)?, &PROVIDER);
                own.map(|own| Some(Arc::new(own))).map_err(TlsError::Certificate)
            }
            (Some(_), None) | (None, Some(_)) => Err(TlsError::Half),
        }
    }

    /// Whom to trust, in words.
    pub fn trusts(&self) -> String {
        match &self.ca_file {
            Some(path) => format!("the authorities in {}", path.display()),
            None if rustls_native_certs::load_native_certs().certs.is_empty() => "the built-in authorities".into(),
            None => "the system's authorities".into(),
        }
    }
}

/// Who judges the far side's certificate by these authorities, as every connection has it.
///
/// # Errors
/// [`TlsError::Authorities`].
pub(in crate::transport) fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, PROVIDER.clone()).build();
    verifier.map_err(|error| TlsError::Authorities(error.to_string()))
}

/// The one crypto provider.
pub(in crate::transport) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// The system's authorities, or the built-in ones in a container that has none. Which, is said once.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (count, _) = roots.add_parsable_certificates(found.certs);
        if count != 0 {
            tracing::info!(count, "trusting the authorities of this system");
            return Arc::new(roots);
        }
        let (count, _) = roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let error = found.errors.first().map_or_else(|| "none was found".to_owned(), ToString::to_string);
        tracing::info!(count, error, "trusting the built-in authorities: this system has none");
        Arc::new(roots)
    });
    ROOTS.clone()
}

/// These authorities with some more. Hundreds of tenants behind one proxy share one store, for as long as one of them is there.
fn shared(roots: &Arc<RootCertStore>, more: RootCertStore) -> Arc<RootCertStore> {
    type Made = (Arc<RootCertStore>, Vec<TrustAnchor<'static>>, Weak<RootCertStore>);
    static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.retain(|(_, _, store)| store.strong_count() != 0);
    let known = made.iter().find(|(of, with, _)| Arc::ptr_eq(of, roots) && *with == more.roots);
    if let Some(store) = known.and_then(|(_, _, store)| store.upgrade()) {
        return store;
    }
    let mut store = RootCertStore::clone(roots);
    store.roots.extend(more.roots.iter().cloned());
    let store = Arc::new(store);
    made.push((roots.clone(), more.roots, Arc::downgrade(&store)));
    store
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_with_the_same_authorities_share_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| {
            let path = dir.path().join(name);
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            std::fs::write(&path, params.self_signed(&key).expect("a certificate").pem()).expect("written");
            path
        };
        let (one, other, config) = (path("one"), path("other"), Config::default());
        let roots = |extra: Option<&Path>| config.roots(extra).expect("roots");
        assert!(Arc::ptr_eq(&roots(None), &roots(None)));
        let (first, second, third) = (roots(Some(&one)), roots(Some(&one)), roots(Some(&other)));
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &third));
        assert_eq!((first.len(), third.len()), (roots(None).len() + 1, roots(None).len() + 1));
        let alone = Config { ca_file: Some(one.clone()), ..Config::default() };
        assert_eq!(alone.roots(None).expect("roots").len(), 1);
    }
}
