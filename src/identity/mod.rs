//! Signing in: tokens for the source, one file per kind of credential. Knows nothing of what a token is used for, and lets no
//! secret out: not in an error, not in `Debug`.

mod aadsts;
mod arc;
mod cache;
pub mod certificate;
mod client_secret;
mod grant;
mod managed_identity;
pub mod token;
pub mod workload_identity;

use std::fmt;
use std::time::{Duration, SystemTime};

use schemars::{JsonSchema, Schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::identity::certificate::Certificate;
use crate::identity::workload_identity::WorkloadIdentity;
use crate::transport::secret::{SecretError, SecretSource};

/// Who we are to the sign-in, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directory: a GUID, or a domain of it.
    pub tenant_id: String,
    /// The app registration; none with a managed identity that is the host's own.
    pub client_id: Option<String>,
    /// `https://login.microsoftonline.com` and its like.
    pub login_url: Url,
    /// The API that the token is for, without `/.default`.
    pub audience: String,
    /// How we prove who we are.
    pub credential: Credential,
}

/// How we prove who we are. By reference: what is secret is read when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum Credential {
    /// A secret of the app registration: its Value, not its ID.
    ClientSecret(SecretSource),
    /// A certificate of the app registration.
    Certificate(Certificate),
    /// A token of the platform, exchanged.
    WorkloadIdentity(WorkloadIdentity),
    /// The platform's word for this host.
    ManagedIdentity,
}

/// What [`needs_client_id`](Credential::needs_client_id) says, for the schema of a table that has `credential` and `client_id`.
/// Where the credential is missing or of no kind, the application is missing all the same.
pub(crate) fn asks_client_id(schema: &mut Schema) {
    let kind = json!({ "enum": Credential::NEED_CLIENT_ID });
    let credential = json!({ "credential": { "properties": { "kind": kind } } });
    schema.insert("if".into(), json!({ "properties": credential }));
    schema.insert("then".into(), json!({ "required": ["client_id"] }));
}

/// Who asks whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The app registration.
    pub(crate) client_id: &'a str,
    /// The token endpoint.
    pub(crate) endpoint: &'a Url,
}

impl Credential {
    /// The kinds, in the order of the documentation.
    pub const KINDS: [&'static str; 4] = ["client_secret", "certificate", "workload_identity", "managed_identity"];

    /// Those for which the configuration has to name the app registration.
    const NEED_CLIENT_ID: [&'static str; 2] = ["client_secret", "certificate"];

    /// The name in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ClientSecret(_) => "client_secret",
            Self::Certificate(_) => "certificate",
            Self::WorkloadIdentity(_) => "workload_identity",
            Self::ManagedIdentity => "managed_identity",
        }
    }

    /// Who we are to the sign-in: as configured, or with a workload identity as the platform says.
    pub fn client_id(&self, configured: Option<&str>, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let of_platform = || match self {
            Self::WorkloadIdentity(_) => environment(workload_identity::CLIENT_ID_VARIABLE),
            Self::ClientSecret(_) | Self::Certificate(_) | Self::ManagedIdentity => None,
        };
        configured.map(str::to_owned).or_else(of_platform)
    }

    /// Whether the configuration has to name the app registration.
    pub fn needs_client_id(&self) -> bool {
        Self::NEED_CLIENT_ID.contains(&self.kind())
    }

    /// Whether the token comes from this host or its link: no proxy may stand between.
    pub const fn is_of_this_host(&self) -> bool {
        match self {
            Self::ManagedIdentity => true,
            Self::ClientSecret(_) | Self::Certificate(_) | Self::WorkloadIdentity(_) => false,
        }
    }

    /// What to put into the form of the token request, read anew; none where no form is sent.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub(crate) fn proof(&self, asked: &Asked<'_>) -> Result<Option<Proof>, SecretError> {
        match self {
            Self::ClientSecret(source) => client_secret::proof(source).map(Some),
            Self::Certificate(certificate) => certificate.proof(asked).map(Some),
            Self::WorkloadIdentity(identity) => identity.proof().map(Some),
            Self::ManagedIdentity => Ok(None),
        }
    }
}

/// The proof of one token request.
pub(crate) struct Proof {
    /// A secret or an assertion.
    pub(crate) secret: SecretString,
    /// Which of the two.
    pub(crate) is_assertion: bool,
    /// What it was made from.
    pub(crate) fingerprint: Fingerprint,
    /// When that ends, where it says so.
    pub(crate) expires_at: Option<SystemTime>,
}

impl Proof {
    /// Its fields in the form (RFC 6749 section 2.3.1, RFC 7523 section 2.2).
    pub(crate) fn fields(&self) -> Vec<(&'static str, &str)> {
        let secret = self.secret.expose_secret();
        match self.is_assertion {
            false => vec![("client_secret", secret)],
            true => vec![
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", secret),
            ],
        }
    }
}

/// A variable of this process; one that is empty is none.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
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

    /// The same in other words.
    pub(crate) fn reworded(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::Refused { why, .. } | Self::Unavailable { why, .. } | Self::Throttled { why, .. } => {
                *why = reword(why)
            }
        }
        self
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
