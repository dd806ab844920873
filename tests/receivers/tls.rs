//! A certificate authority of the test's own, with a server and a client.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The authority. Its certificate and the client's are in `ca_file.pem`, `certificate.pem` and `private_key.pem`.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    server: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    /// Writes the files into the directory.
    pub(crate) fn new(dir: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed");
        let issuer = Issuer::new(params, key);
        let issue = |usage| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
            params.extended_key_usages = vec![usage];
            (params.signed_by(&key, &issuer).expect("signed"), key)
        };
        let (client, client_key) = issue(ExtendedKeyUsagePurpose::ClientAuth);
        let (server, server_key) = issue(ExtendedKeyUsagePurpose::ServerAuth);
        let write = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("written");
        write("ca_file.pem", certificate.pem());
        write("certificate.pem", client.pem());
        write("private_key.pem", client_key.serialize_pem());
        let server_key = PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key");
        Self { certificate: certificate.der().clone(), server: (server.der().clone(), server_key) }
    }

    /// The server's side, which insists on a client certificate of the same authority.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("added");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().expect("a verifier");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has suites for them")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.server.0.clone()], self.server.1.clone_key())
            .expect("a certificate");
        TlsAcceptor::from(Arc::new(config))
    }
}
