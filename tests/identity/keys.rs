//! Certificates with RSA keys, and tokens of a platform, for tests. The two keys lie beside this file, since `ring` makes none.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// One of the two keys, in PEM (PKCS#8).
pub(crate) fn key(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/identity/keys/{name}.pem"));
    std::fs::read_to_string(path).expect("a key of ours")
}

/// The same key as PKCS#1.
pub(crate) fn key_pkcs1(name: &str) -> String {
    let pkcs8: String = key(name).lines().filter(|line| !line.contains(['-', ' '])).collect();
    // PKCS#8 wraps PKCS#1 in 26 bytes in front (RFC 5958), for a key of 2048 bits.
    let pkcs1 = STANDARD.encode(&STANDARD.decode(pkcs8).expect("base64")[26..]);
    format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n")
}

/// A certificate of a key, good for so long from now on, in PEM.
pub(crate) fn certificate(key_name: &str, common_name: &str, life: Duration) -> String {
    let key = KeyPair::from_pem(&key(key_name)).expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let end = SystemTime::now() + life;
    params.not_before = (SystemTime::now() - 1000 * DAY).into();
    params.not_after = end.into();
    params.self_signed(&key).expect("a certificate").pem()
}

/// Writes a file.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

/// An issuer of tokens, as a cluster is one.
pub(crate) struct Issuer(EcdsaKeyPair);

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key").serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &SystemRandom::new());
        Self(key.expect("a key just made"))
    }

    /// Its public key as a JWK.
    pub(crate) fn jwk(&self) -> serde_json::Value {
        let point = self.0.public_key().as_ref();
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        serde_json::json!({ "kty": "EC", "crv": "P-256", "x": coordinate(&point[1..33]), "y": coordinate(&point[33..]) })
    }

    /// A token of this subject for this audience. Times are seconds from now on.
    pub(crate) fn token(&self, subject: &str, audience: &str, from: i64, to: i64) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("past 1970").as_secs() as i64;
        let claims = serde_json::json!({
            "iss": subject, "sub": subject, "aud": audience, "jti": rand::random::<u64>().to_string(),
            "nbf": now + from, "iat": now + from, "exp": now + to,
        });
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(r#"{"alg":"ES256","typ":"JWT"}"#), part(&claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
