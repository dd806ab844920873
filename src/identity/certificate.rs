//! The credential `certificate`: a key that never leaves the host signs a short-lived assertion for each token request
//! (RFC 7523; Entra's `certificate-credentials` page). Both files are read anew each time, so a renewed certificate counts
//! without a restart.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use crate::identity::{Asked, Fingerprint, Proof};
use crate::transport::secret::{SecretError, read_bytes};

/// A certificate with less time left than this is worth a word.
pub const ENDS_SOON: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an assertion is good; Entra's page asks for ten minutes at most.
const ASSERTION_LIFE: Duration = Duration::from_secs(300);
/// An assertion counts from so long ago on, for clocks that differ.
const CLOCK_MARGIN: Duration = Duration::from_secs(60);

/// The keys of `credential = { kind = "certificate", … }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// A PEM file with the certificate that the app registration knows; its chain may stand beside it.
    pub certificate: PathBuf,
    /// A PEM file with its RSA key, unencrypted (PKCS#8 or PKCS#1); left out: it stands in `certificate` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PathBuf>,
    /// How assertions are signed.
    #[serde(default)]
    pub algorithm: Algorithm,
}

/// How assertions are signed, and how they name the certificate: the two pairs that Microsoft's own libraries send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// RSASSA-PSS with SHA-256, and `x5t#S256`, as Entra recommends.
    #[default]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, and `x5t`, for what sits in between and knows no other.
    Rs256,
}

/// A certificate with its key, as it is in the files now.
struct Pair {
    der: CertificateDer<'static>,
    key: KeyPair,
    /// When the certificate ends.
    expires_at: SystemTime,
}

impl Certificate {
    /// A signed assertion for one token request.
    ///
    /// # Errors
    /// The files cannot be read, are no such thing, or do not belong together.
    pub(crate) fn proof(&self, asked: &Asked<'_>) -> Result<Proof, SecretError> {
        let pair = self.read()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let assertion = pair.assertion(self.algorithm, asked, now, rand::random());
        let assertion = assertion.ok_or_else(|| unusable(self.key_file(), "the key does not sign"))?;
        // Another certificate is another proof; the signature differs each time and says nothing.
        let fingerprint = Fingerprint::of(&pair.der);
        let secret = SecretString::from(assertion);
        Ok(Proof { secret, is_assertion: true, fingerprint, expires_at: Some(pair.expires_at) })
    }

    /// When the certificate ends.
    ///
    /// # Errors
    /// The files cannot be read, are no such thing, or do not belong together.
    pub fn expires_at(&self) -> Result<SystemTime, SecretError> {
        self.read().map(|pair| pair.expires_at)
    }

    /// The file with the key.
    pub fn key_file(&self) -> &Path {
        self.private_key.as_deref().unwrap_or(&self.certificate)
    }

    fn read(&self) -> Result<Pair, SecretError> {
        let text = text_of(&self.certificate)?;
        let key = match &self.private_key {
            Some(path) => key_in(path, &text_of(path)?)?,
            None => key_in(&self.certificate, &text)?,
        };
        let (der, expires_at) = self.certificate_of(&key, &text)?;
        Ok(Pair { der, key, expires_at })
    }

    /// The certificate of this key: tools write chains in either order.
    fn certificate_of(&self, key: &KeyPair, text: &[u8]) -> Result<(CertificateDer<'static>, SystemTime), SecretError> {
        let mut others = 0;
        for der in CertificateDer::pem_slice_iter(text) {
            let der = der.map_err(|_| unusable(&self.certificate, "it is no valid PEM"))?;
            let read = X509::from_der(&der).map_err(|error| {
                unusable(&self.certificate, &format!("a certificate in it cannot be read: {error}"))
            })?;
            let ours = &read.tbs_certificate;
            if ours.subject_public_key_info.subject_public_key.raw_bytes() == key.public().as_ref() {
                return Ok((der, ours.validity.not_after.to_system_time()));
            }
            others += 1;
        }
        Err(match others {
            0 => unusable(
                &self.certificate,
                "there is no certificate in it; PEM is needed (-----BEGIN CERTIFICATE-----): openssl pkcs12 -nodes makes it from \
                 a .pfx",
            ),
            _ => unusable(self.key_file(), &format!("it is not the key of the one in {}", self.certificate.display())),
        })
    }
}

fn text_of(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    read_bytes(path).map_err(|error| match error {
        SecretError::File { why, .. } => {
            unusable(path, &format!("it cannot be read: {why}; it has to be there for the user that xdrelay runs as"))
        }
        SecretError::Env(_) | SecretError::Empty(_) | SecretError::Unusable { .. } | SecretError::Unclear => error,
    })
}

/// Nothing of what stands there is quoted: it is a key, or was meant to be one.
fn key_in(path: &Path, text: &[u8]) -> Result<KeyPair, SecretError> {
    let is_encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
    let needed = "an unencrypted RSA key in PEM is needed (-----BEGIN PRIVATE KEY-----)";
    let key = PrivateKeyDer::from_pem_slice(text).map(Zeroizing::new).map_err(|_| match is_encrypted {
        true => unusable(path, &format!("the private key is encrypted; {needed}: openssl pkey -in OLD -out NEW")),
        false => unusable(path, &format!("there is no private key in it; {needed}")),
    })?;
    let key = match &*key {
        PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(_) | _ => return Err(unusable(path, "it is no RSA key, and Entra takes no other")),
    };
    key.map_err(|error| {
        let why = format!("the private key cannot be used ({error}): an RSA key of 2048 to 4096 bits is needed");
        unusable(path, &why)
    })
}

fn unusable(path: &Path, why: &str) -> SecretError {
    SecretError::Unusable { path: path.to_owned(), why: why.to_owned() }
}

/// The header of an assertion (RFC 7515 sections 4.1.7 and 4.1.8).
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(rename = "x5t", skip_serializing_if = "Option::is_none")]
    sha1: Option<String>,
}

/// The claims of an assertion (RFC 7523 section 3). Times are seconds since 1970.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: u64,
    iat: u64,
    exp: u64,
}

impl Pair {
    /// A JWT of the form that Entra asks for; none where the key does not sign. `now` is since 1970.
    fn assertion(&self, algorithm: Algorithm, asked: &Asked<'_>, now: Duration, id: u128) -> Option<String> {
        let thumbprint = |algorithm| Some(URL_SAFE_NO_PAD.encode(digest(algorithm, &self.der)));
        let (header, encoding): (_, &'static dyn RsaEncoding) = match algorithm {
            Algorithm::Ps256 => {
                (Header { alg: "PS256", typ: "JWT", sha256: thumbprint(&SHA256), sha1: None }, &RSA_PSS_SHA256)
            }
            Algorithm::Rs256 => {
                let sha1 = thumbprint(&SHA1_FOR_LEGACY_USE_ONLY);
                (Header { alg: "RS256", typ: "JWT", sha256: None, sha1 }, &RSA_PKCS1_SHA256)
            }
        };
        let claims = Claims {
            aud: asked.endpoint.as_str(),
            iss: asked.client_id,
            sub: asked.client_id,
            jti: format!("{id:032x}"),
            nbf: now.saturating_sub(CLOCK_MARGIN).as_secs(),
            iat: now.as_secs(),
            exp: (now + ASSERTION_LIFE).as_secs(),
        };
        let part =
            |json: serde_json::Result<Vec<u8>>| URL_SAFE_NO_PAD.encode(json.expect("texts and numbers are JSON"));
        let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(&claims)));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
