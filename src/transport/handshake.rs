//! A connection for the sake of knowing whether one comes about, and which certificate the far side shows. Carries nothing, and
//! trusts nobody whom other connections would not trust.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use hyper_util::client::proxy::matcher::Matcher;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;

use crate::transport::http::is_loopback;
use crate::transport::proxy;
use crate::transport::stream::connect::reach;
use crate::transport::stream::words::broke;
use crate::transport::stream::{StreamError, Target};
use crate::transport::tls::{self, verifier};

/// The TLS handshake may take this long.
const SIGN_ON_MAX: Duration = Duration::from_secs(10);
/// How long a peer that asked for a certificate of ours has to say that it does not like it: TLS 1.3 tells it after the handshake.
const OBJECTION_MAX: Duration = Duration::from_secs(2);
/// A close may take this long.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A connection that came about, and is closed again.
#[derive(Debug)]
pub struct Seen {
    /// Until TCP, and TLS where there is some, were there.
    pub took: Duration,
    /// What the peer showed; none without TLS.
    pub certificate: Option<Certificate>,
    /// The peer asked for a certificate of ours.
    pub asks_for_ours: bool,
}

/// What a peer's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is (RFC 4514).
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// When it ends.
    pub ends: SystemTime,
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Failed {
    /// The cause and the remedy.
    pub why: String,
    /// What the peer showed, where it came that far.
    pub certificate: Option<Certificate>,
}

/// The proxy that an HTTP client would take to this address: what is `configured`, or else the environment's; none to this machine
/// itself. As [`http::client`](crate::transport::http::client) has it.
pub fn proxy_to(url: &Url, configured: Option<&Url>, settings: Option<&proxy::Settings>) -> Option<Url> {
    if is_loopback(url) {
        return None;
    }
    match configured {
        Some(proxy) => settings.is_none_or(|settings| settings.takes(proxy, url)).then(|| proxy.clone()),
        None => {
            let found = Matcher::from_system().intercept(&url.as_str().parse().ok()?)?;
            found.uri().to_string().parse().ok()
        }
    }
}

/// Connects, shakes hands where there is TLS, and closes. Bounded by some 30 s.
///
/// # Errors
/// See [`Failed`].
pub async fn shake(host: &str, port: u16, tls: Option<&tls::Config>) -> Result<Seen, Failed> {
    let began = Instant::now();
    let peer = format!("{host}:{port}");
    let bare = |why: String| Failed { why, certificate: None };
    let target = Target { host, port, tls, dead_after: SIGN_ON_MAX };
    let tcp = reach(target).await.map_err(|why| bare(format!("{peer} cannot be reached: {why}")))?;
    let Some(config) = tls else {
        return Ok(Seen { took: began.elapsed(), certificate: None, asks_for_ours: false });
    };
    let (settings, witness, asked) = settings(config).map_err(bare)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| bare(format!("{host:?} is no name that a certificate could hold")))?;
    let shaken = timeout(SIGN_ON_MAX, TlsConnector::from(Arc::new(settings)).connect(name, tcp)).await;
    let certificate = witness.certificate();
    let took = began.elapsed();
    let failed = |why: String| Failed { why, certificate: certificate.clone() };
    let mut stream = match shaken {
        Err(_) => return Err(failed(format!("{peer} has not answered the TLS handshake in time"))),
        Ok(Err(error)) => return Err(failed(said(broke(&peer, &error)))),
        Ok(Ok(stream)) => stream,
    };
    let asks_for_ours = asked.was.load(Ordering::Relaxed);
    if asks_for_ours {
        objection(&mut stream, &peer).await.map_err(&failed)?;
    }
    // A peer that does not close properly is no worse for that.
    let _ = timeout(CLOSE_MAX, stream.shutdown()).await;
    Ok(Seen { took, certificate, asks_for_ours })
}

/// Whether a peer that wanted a certificate has something against ours.
async fn objection(stream: &mut TlsStream<TcpStream>, peer: &str) -> Result<(), String> {
    let mut word = [0; 64];
    let remedy = "it may want another client certificate than `tls.certificate`";
    match timeout(OBJECTION_MAX, stream.read(&mut word)).await {
        Ok(Ok(0)) => Err(format!("{peer} closes the connection right after the TLS handshake: {remedy}")),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            Err(format!("{peer} resets the connection right after the TLS handshake: {remedy}"))
        }
        Ok(Err(error)) => Err(said(broke(peer, &error))),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

fn said(error: StreamError) -> String {
    error.to_string()
}

/// The settings of every other connection, with two witnesses that change nothing.
fn settings(config: &tls::Config) -> Result<(ClientConfig, Arc<Witness>, Arc<Asked>), String> {
    let mut settings = config.client(None).map_err(|error| error.to_string())?;
    let roots = config.roots(None).map_err(|error| error.to_string())?;
    let judge = verifier(roots).map_err(|error| error.to_string())?;
    let witness = Arc::new(Witness { judge, shown: OnceLock::new() });
    let asked = Arc::new(Asked { usual: Arc::clone(&settings.client_auth_cert_resolver), was: AtomicBool::new(false) });
    settings.client_auth_cert_resolver = asked.clone();
    settings.dangerous().set_certificate_verifier(witness.clone());
    Ok((settings, witness, asked))
}

/// Remembers the certificate that it leaves to the usual judge.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    shown: OnceLock<CertificateDer<'static>>,
}

impl Witness {
    fn certificate(&self) -> Option<Certificate> {
        let read = X509::from_der(self.shown.get()?).ok()?.tbs_certificate;
        Some(Certificate {
            subject: read.subject.to_string(),
            issuer: read.issuer.to_string(),
            ends: read.validity.not_after.to_system_time(),
        })
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.shown.get_or_init(|| end_entity.clone().into_owned());
        self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Remembers whether the peer asked for a certificate of ours, and hands out the usual one.
#[derive(Debug)]
struct Asked {
    usual: Arc<dyn ResolvesClientCert>,
    was: AtomicBool,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was.store(true, Ordering::Relaxed);
        self.usual.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.usual.has_certs()
    }
}
