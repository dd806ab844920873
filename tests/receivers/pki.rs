//! A private authority with certificates for a server and a client, as PEM files. Good for one test, trusted by nobody.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// The files.
pub(crate) struct Pki {
    /// The authority.
    pub(crate) ca: PathBuf,
    /// The server's certificate, for `localhost` and `127.0.0.1`, and its key.
    pub(crate) server: (PathBuf, PathBuf),
    /// The client's certificate and its key.
    pub(crate) client: (PathBuf, PathBuf),
}

impl Pki {
    /// Writes a new authority and its certificates into a directory, which is made.
    pub(crate) fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("an authority for {}", dir.display()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = write(dir, "ca.pem", &params.self_signed(&key).expect("a certificate").pem());
        let issuer = Issuer::new(params, key);
        Self {
            ca,
            server: issue(&issuer, dir, "server", ExtendedKeyUsagePurpose::ServerAuth),
            client: issue(&issuer, dir, "client", ExtendedKeyUsagePurpose::ClientAuth),
        }
    }
}

fn issue(issuer: &Issuer<'_, KeyPair>, dir: &Path, name: &str, purpose: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (write(dir, &format!("{name}.pem"), &certificate.pem()), write(dir, &format!("{name}.key"), &key.serialize_pem()))
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}
