//! Signing on: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677), as steps of bytes. It reads no file, connects nowhere, and no
//! error holds a secret.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Digest, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hmac, pbkdf2};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Rounds that a broker may ask for. Kafka allows 4096 to 16384; more than this is an attack on our time.
const ROUNDS: std::ops::RangeInclusive<u32> = 4096..=100_000;

/// How the password is shown to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// As it is: inside of TLS only.
    Plain,
    /// Never; both sides prove that they know it.
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
}

impl Mechanism {
    /// Its registered name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// What RFC 4616 sends: nobody to act for, the user, the password.
pub(super) fn plain(user: &str, password: &SecretString) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("\0{user}\0{}", password.expose_secret()).into_bytes())
}

/// The hashes of one SCRAM mechanism.
#[derive(Clone, Copy)]
struct Hashes {
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
    digest: &'static ring::digest::Algorithm,
}

impl Hashes {
    fn of(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::ScramSha512 => {
                Self { hmac: hmac::HMAC_SHA512, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512, digest: &ring::digest::SHA512 }
            }
            Mechanism::Plain | Mechanism::ScramSha256 => {
                Self { hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256, digest: &ring::digest::SHA256 }
            }
        }
    }

    fn digest(self, bytes: &[u8]) -> Digest {
        digest(self.digest, bytes)
    }
}

/// A conversation that has begun: what we said, and what it takes to go on.
pub(super) struct Scram {
    hashes: Hashes,
    nonce: String,
    first_bare: String,
}

impl Scram {
    /// Begins, with a nonce from the system.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn begin(mechanism: Mechanism, user: &str) -> Result<Self, String> {
        let mut bytes = [0; 18];
        SystemRandom::new().fill(&mut bytes).map_err(|_| "the system has no randomness".to_owned())?;
        Ok(Self::with_nonce(mechanism, user, STANDARD.encode(bytes)))
    }

    fn with_nonce(mechanism: Mechanism, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hashes: Hashes::of(mechanism), first_bare: format!("n={user},r={nonce}"), nonce }
    }

    /// The first message.
    pub(super) fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first_bare).into_bytes()
    }

    /// The second message, made of the broker's first, and what the broker has to say to it.
    ///
    /// # Errors
    /// What the broker said is no such message, or asks for what nobody should do.
    pub(super) fn answer(&self, theirs: &[u8], password: &SecretString) -> Result<(Vec<u8>, Proof), String> {
        let theirs = std::str::from_utf8(theirs).map_err(|_| "its first SCRAM message is no text".to_owned())?;
        let attribute = |name: &str| theirs.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let missing = |name: &str| format!("its first SCRAM message has no usable `{name}`");
        let nonce = attribute("r").filter(|nonce| self.nonce.len() < nonce.len() && nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or_else(|| missing("r"))?;
        let salt = attribute("s").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(|| missing("s"))?;
        let rounds: u32 = attribute("i").and_then(|rounds| rounds.parse().ok()).ok_or_else(|| missing("i"))?;
        let count = NonZeroU32::new(rounds).filter(|_| ROUNDS.contains(&rounds)).ok_or_else(|| {
            format!("it asks for {rounds} SCRAM rounds, and {} to {} are right", ROUNDS.start(), ROUNDS.end())
        })?;
        let mut salted = Zeroizing::new(vec![0; self.hashes.digest.output_len()]);
        pbkdf2::derive(self.hashes.pbkdf2, count, &salt, password.expose_secret().as_bytes(), &mut salted);
        let salted = hmac::Key::new(self.hashes.hmac, &salted);
        let client_key = Zeroizing::new(hmac::sign(&salted, b"Client Key").as_ref().to_vec());
        let stored = hmac::Key::new(self.hashes.hmac, self.hashes.digest(&client_key).as_ref());
        let last_bare = format!("c=biws,r={nonce}");
        let said = format!("{},{theirs},{last_bare}", self.first_bare);
        let signature = hmac::sign(&stored, said.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server = hmac::Key::new(self.hashes.hmac, hmac::sign(&salted, b"Server Key").as_ref());
        Ok((format!("{last_bare},p={}", STANDARD.encode(proof)).into_bytes(), Proof { server, said }))
    }
}

/// What only somebody who knows the password can sign.
pub(super) struct Proof {
    server: hmac::Key,
    said: String,
}

impl Proof {
    /// Whether the broker's last message proves that it knows the password.
    pub(super) fn is_given_by(&self, theirs: &[u8]) -> bool {
        let signature = std::str::from_utf8(theirs).ok().and_then(|text| text.split(',').next()?.strip_prefix("v="));
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| hmac::verify(&self.server, self.said.as_bytes(), &signature).is_ok())
    }
}

/// The words of a broker's last message that refuses (RFC 5802 section 7, `server-error`): a few letters, such as `unknown-user`.
pub(super) fn refusal(theirs: &[u8]) -> Option<String> {
    let words = std::str::from_utf8(theirs).ok()?.split(',').next()?.strip_prefix("e=")?;
    Some(words.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(60).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pencil() -> SecretString {
        SecretString::from("pencil")
    }

    /// The example of RFC 7677 section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const THEIRS: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn scram_is_that_of_the_example_in_rfc_7677() {
        let scram = Scram::with_nonce(Mechanism::ScramSha256, "user", NONCE.into());
        assert_eq!(scram.first(), format!("n,,n=user,r={NONCE}").as_bytes());
        let (ours, proof) = scram.answer(THEIRS.as_bytes(), &pencil()).expect("an answer");
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8(ours).expect("text"), expected);
        assert!(proof.is_given_by(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proof.is_given_by(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
        assert!(!proof.is_given_by(b"e=invalid-proof") && !proof.is_given_by(b""));
        assert_eq!(refusal(b"e=invalid-proof,x=y").as_deref(), Some("invalid-proof"));
        assert_eq!(refusal(b"v=x"), None);
    }

    #[test]
    fn a_user_cannot_add_an_attribute() {
        let scram = Scram::with_nonce(Mechanism::ScramSha512, "a=b,r=c", "x".into());
        assert_eq!(scram.first(), b"n,,n=a=3Db=2Cr=3Dc,r=x");
    }

    #[test]
    fn a_broker_that_does_it_wrong_is_found_out() {
        let scram = Scram::with_nonce(Mechanism::ScramSha256, "user", NONCE.into());
        let check = |theirs: &str, word: &str| {
            let why = scram.answer(theirs.as_bytes(), &pencil()).err().expect(word);
            assert!(why.contains(word) && !why.contains("pencil"), "{why}");
        };
        check("", "`r`");
        check(&THEIRS.replace("rOpr", "xOpr"), "`r`");
        check(&format!("r={NONCE},s=W22Z,i=4096"), "`r`");
        check(&THEIRS.replace("s=W22", "s=!"), "`s`");
        check(&THEIRS.replace("i=4096", "i=x"), "`i`");
        check(&THEIRS.replace("4096", "1"), "1 SCRAM rounds");
        check(&THEIRS.replace("4096", "4000000000"), "4000000000 SCRAM rounds");
    }

    #[test]
    fn plain_is_user_and_password() {
        assert_eq!(plain("kim", &pencil()).as_slice(), b"\0kim\0pencil");
    }
}
