//! TLS to an `https://` proxy with authorities and a certificate of its own. The HTTP client has one TLS setting for the proxy
//! and for whom it asks through it, so this one tells the two apart: by the name that is to be proven, and by the authorities
//! that the far side names. It switches no check off: both ends are verified as rustls does it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::Certificate as X509;
use x509_cert::der::{Decode, Encode};

use crate::transport::tls::{self, TlsError, verifier};

/// Gives a client's TLS setting what it needs for the proxy at `host`. `far` is whom the far side is checked against.
pub(in crate::transport) fn add(
    client: &mut ClientConfig,
    far: Arc<RootCertStore>,
    own: Option<Arc<CertifiedKey>>,
    proxy: &tls::Config,
    host: ServerName<'static>,
) -> Result<(), TlsError> {
    if proxy.ca_file.is_some() {
        let proxy = verifier(proxy.roots(None)?)?;
        client.dangerous().set_certificate_verifier(Arc::new(TwoEnds { host, proxy, far: verifier(far)? }));
    }
    if let Some(of_proxy) = proxy.own()? {
        client.client_auth_cert_resolver = Arc::new(TwoCertificates::new(of_proxy, own));
    }
    Ok(())
}

/// Who proves the proxy's name is checked against the proxy's authorities, everybody else against those of the far side.
#[derive(Debug)]
struct TwoEnds {
    host: ServerName<'static>,
    proxy: Arc<WebPkiServerVerifier>,
    far: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for TwoEnds {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = if *server_name == self.host { &self.proxy } else { &self.far };
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    // Signatures are the same business for both: it is the certificate that was verified which they are checked with.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.far.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.far.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.far.supported_verify_schemes()
    }
}

/// A certificate for the proxy, and perhaps one for the far side. rustls does not say who asks, only which authorities he
/// takes (RFC 8446 section 4.2.4, RFC 5246 section 7.4.4).
#[derive(Debug)]
struct TwoCertificates {
    proxy: (Arc<CertifiedKey>, Vec<Vec<u8>>),
    far: Option<(Arc<CertifiedKey>, Vec<Vec<u8>>)>,
}

impl TwoCertificates {
    fn new(proxy: Arc<CertifiedKey>, far: Option<Arc<CertifiedKey>>) -> Self {
        let with_issuers = |own: Arc<CertifiedKey>| (own.clone(), issuers(&own));
        Self { proxy: with_issuers(proxy), far: far.map(with_issuers) }
    }
}

impl ResolvesClientCert for TwoCertificates {
    /// The far side's own certificate, unless only the proxy's is of an authority that is asked for. The proxy's is shown to
    /// nobody who asks for others.
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = |issuers: &[Vec<u8>]| issuers.iter().any(|issuer| hints.contains(&issuer.as_slice()));
        let (proxy, is_proxys) = (&self.proxy.0, named(&self.proxy.1));
        match &self.far {
            Some((_, issuers)) if is_proxys && !named(issuers) => Some(proxy.clone()),
            Some((far, _)) => Some(far.clone()),
            None => (is_proxys || hints.is_empty()).then(|| proxy.clone()),
        }
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The issuers of a chain, as their names are encoded.
fn issuers(own: &CertifiedKey) -> Vec<Vec<u8>> {
    let issuer = |der: &CertificateDer<'_>| X509::from_der(der).ok()?.tbs_certificate.issuer.to_der().ok();
    own.cert.iter().filter_map(issuer).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;
    use crate::transport::tls::PROVIDER;

    fn authority(name: &str) -> (CertifiedIssuer<'static, KeyPair>, Vec<u8>) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let subject = X509::from_der(issuer.der()).expect("a certificate").tbs_certificate.subject;
        (issuer, subject.to_der().expect("a name"))
    }

    fn certificate(of: &CertifiedIssuer<'static, KeyPair>) -> Arc<CertifiedKey> {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default().signed_by(&key, of).expect("a certificate");
        let key = key.serialize_der().try_into().expect("a key");
        Arc::new(CertifiedKey::from_der(vec![certificate.der().clone()], key, &PROVIDER).expect("a pair"))
    }

    #[test]
    fn a_certificate_is_shown_to_whom_it_is_for() {
        let ((one, of_one), (other, of_other)) = (authority("of the proxy"), authority("of the receiver"));
        let (proxy, far) = (certificate(&one), certificate(&other));
        let check = |has_far: bool, hints: &[&[u8]], expected: Option<&Arc<CertifiedKey>>| {
            let both = TwoCertificates::new(proxy.clone(), has_far.then(|| far.clone()));
            let shown = both.resolve(hints, &[]);
            assert!(shown.as_ref().map(Arc::as_ptr) == expected.map(Arc::as_ptr), "{has_far} {hints:?}");
        };
        check(false, &[], Some(&proxy));
        check(false, &[&of_one], Some(&proxy));
        check(false, &[&of_other, &of_one], Some(&proxy));
        check(false, &[&of_other], None);
        check(true, &[&of_one], Some(&proxy));
        check(true, &[&of_other], Some(&far));
        check(true, &[&of_one, &of_other], Some(&far));
        check(true, &[], Some(&far));
        check(true, &[b"somebody else"], Some(&far));
    }
}
