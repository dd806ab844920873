//! Signing in: tokens for the source, one file per kind of credential. Knows nothing of what a token is used for, and lets no
//! secret out: not in an error, not in `Debug`.

mod aadsts;
mod cache;
mod client_secret;
mod grant;
pub mod token;

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::transport::secret::{SecretError, SecretSource};

/// Who we are to the sign-in, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directory: a GUID, or a domain of it.
    pub tenant_id: String,
    /// The app registration.
    pub client_id: String,
    /// `https://login.microsoftonline.com` and its like.
    pub login_url: Url,
    /// The API that the token is for, without `/.default`.
    pub audience: String,
    /// How we prove who we are.
    pub credential: Credential,
}

/// How we prove who we are. By reference: the secret is read when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Credential {
    /// A secret of the app registration: its Value, not its ID.
    ClientSecret(SecretSource),
}

impl Credential {
    /// What to put into the form of the token request, read anew.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub(crate) fn proof(&self) -> Result<Proof, SecretError> {
        match self {
            Self::ClientSecret(source) => client_secret::proof(source),
        }
    }
}

/// The proof of one token request.
pub(crate) struct Proof {
    /// Fields of the form.
    pub(crate) fields: Vec<(&'static str, SecretString)>,
    /// What it was made from.
    pub(crate) fingerprint: Fingerprint,
}

/// SHA-256 of the secret behind a proof. Another one means that somebody did something, so a refusal no longer counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of what a proof is made from.
    pub(crate) fn of(secret: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, secret);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// Says nothing: even the hash of a secret is nobody's business.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(***)")
    }
}

/// Why there is no token. `why` says the remedy where there is one. Until `after` has passed, the same answer comes from memory
/// and nobody is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The credential, the application or the tenant is refused: somebody has to do something.
    #[error("the sign-in is refused: {why}")]
    Refused {
        /// The code of Entra and the remedy.
        why: String,
        /// The pause.
        after: Duration,
    },
    /// The network, a 5xx, an answer that is none: it may work later by itself.
    #[error("the sign-in does not work at the moment: {why}")]
    Unavailable {
        /// The cause.
        why: String,
        /// The pause.
        after: Duration,
    },
    /// 429.
    #[error("the sign-in is throttled: {why}")]
    Throttled {
        /// The cause.
        why: String,
        /// The pause, at least what `Retry-After` says.
        after: Duration,
    },
}

impl TokenError {
    /// The pause.
    pub const fn after(&self) -> Duration {
        match self {
            Self::Refused { after, .. } | Self::Unavailable { after, .. } | Self::Throttled { after, .. } => *after,
        }
    }

    /// The same with another pause.
    pub(crate) fn with_pause(mut self, pause: Duration) -> Self {
        match &mut self {
            Self::Refused { after, .. } | Self::Unavailable { after, .. } | Self::Throttled { after, .. } => {
                *after = pause;
            }
        }
        self
    }
}
