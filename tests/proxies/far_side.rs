//! The sandbox as the outside of a company: behind TLS, under names that only the company's proxies resolve. Keeps who came, and
//! what certificate he showed. No test is in here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The names of the far side: two for proxies, and between them an address that is this machine and yet no loopback address.
pub(crate) const HOSTS: [&str; 3] = ["sandbox.test", "0.0.0.0", "siem.test"];

/// An authority, good for one test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    name: String,
    dir: PathBuf,
    pub(crate) file: PathBuf,
}

impl Authority {
    /// Makes it and writes its certificate.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let file = dir.join(format!("{name}.pem"));
        std::fs::write(&file, issuer.pem()).expect("written");
        Self { issuer, name: name.to_owned(), dir: dir.to_owned(), file }
    }

    /// A certificate for these hosts and its key, as files.
    pub(crate) fn issue(&self, hosts: &[&str], purpose: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let name = format!("{}-{}", self.name, hosts.first().map_or("client", String::as_str));
        let mut params = CertificateParams::new(hosts).expect("names");
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let files = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        std::fs::write(&files.0, certificate.pem()).expect("written");
        std::fs::write(&files.1, key.serialize_pem()).expect("written");
        files
    }
}

/// The far side. It ends with the test's runtime.
pub(crate) struct FarSide {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By the name that was asked for, and whether a certificate was shown.
    came: Mutex<Vec<(Option<String>, bool)>>,
    holds: AtomicBool,
}

impl FarSide {
    /// In front of whatever listens on this port of loopback, with certificates of `authority`. It asks for certificates of
    /// that authority, and takes who has none.
    pub(crate) async fn start(behind: u16, authority: &Authority) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (shared, acceptor) = (Arc::new(Shared::default()), acceptor(authority));
        tokio::spawn(accept(listener, acceptor, SocketAddr::from((Ipv4Addr::LOCALHOST, behind)), shared.clone()));
        Self { port, shared }
    }

    /// Its address, by one of its names.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }

    /// Connections that came to be since the last time: the name that was asked for, and whether a certificate was shown.
    pub(crate) fn came(&self) -> Vec<(Option<String>, bool)> {
        std::mem::take(&mut self.shared.came.lock().expect("no panic"))
    }

    /// From now on new connections are answered by nothing, or properly again.
    pub(crate) fn hold(&self, holds: bool) {
        self.shared.holds.store(holds, Ordering::SeqCst);
    }
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    let (certificate, key) = authority.issue(&HOSTS, ExtendedKeyUsagePurpose::ServerAuth);
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .expect("an authority");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for them")
        .with_client_cert_verifier(asks)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).expect("a certificate")],
            PrivateKeyDer::from_pem_file(key).expect("a key"),
        )
        .expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, behind: SocketAddr, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let mut stream = acceptor.accept(stream).await?;
            let (_, session) = stream.get_ref();
            let came = (session.server_name().map(str::to_owned), session.peer_certificates().is_some());
            shared.came.lock().expect("no panic").push(came);
            if shared.holds.load(Ordering::SeqCst) {
                let mut all = Vec::new();
                return stream.read_to_end(&mut all).await.map(|_| ());
            }
            let mut inner = TcpStream::connect(behind).await?;
            copy_bidirectional(&mut stream, &mut inner).await.map(|_| ())
        });
    }
}
