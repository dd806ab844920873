//! Who we are to a cluster, in one header. The secret is always by reference, read anew for each request, and in no message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::AUTHORIZATION;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::sink::http;
use crate::sink::http::credential::Credential;
use crate::sink::{Problem, problem};
use crate::transport::secret::SecretSource;

/// Who we are, the secret always by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "ElasticsearchAuth")]
pub enum Auth {
    /// `Authorization: ApiKey …` (Elasticsearch).
    ApiKey {
        /// `id:key`, or the two in base64 as Kibana shows them under "encoded".
        key: SecretSource,
    },
    /// `Authorization: Basic …`
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretSource,
    },
    /// `Authorization: Bearer …`: a token of a service account, or a JWT.
    Bearer {
        /// The token.
        token: SecretSource,
    },
}

impl Auth {
    /// The secret, and its key in `[sinks.NAME]`.
    pub(super) fn secret(&self) -> (String, &SecretSource) {
        match self {
            Self::ApiKey { key } => ("auth.key".to_owned(), key),
            Self::Basic { password, .. } => ("auth.password".to_owned(), password),
            Self::Bearer { token } => ("auth.token".to_owned(), token),
        }
    }

    /// What is wrong with it, each with its key.
    pub(super) fn problems(&self) -> Vec<Problem> {
        match self.common() {
            Ok(common) => common.problems(),
            Err(key) => {
                let is_clear = key.file.is_some() != key.env.is_some();
                (!is_clear).then(|| problem("auth.key", "needs either `file` or `env`")).into_iter().collect()
            }
        }
    }

    /// Reads the secret as it is now.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn credential(&self) -> Result<Credential, String> {
        match self.common() {
            Ok(common) => Credential::read(&common),
            Err(key) => {
                let secret =
                    key.read().map_err(|error| format!("the credential of the sink cannot be used: {error}"))?;
                Credential::of(AUTHORIZATION, "ApiKey ", encoded(&secret), secret)
            }
        }
    }

    /// What the HTTP sink knows as well, or the API key.
    fn common(&self) -> Result<http::Auth, &SecretSource> {
        match self {
            Self::ApiKey { key } => Err(key),
            Self::Basic { user, password } => Ok(http::Auth::Basic { user: user.clone(), password: password.clone() }),
            Self::Bearer { token } => Ok(http::Auth::Bearer { token: token.clone() }),
        }
    }
}

/// `id:key` in base64; what has no colon is so already.
fn encoded(secret: &SecretString) -> SecretString {
    let text = Zeroizing::new(secret.expose_secret().trim().to_owned());
    match text.contains(':') {
        true => SecretString::from(STANDARD.encode(text.as_bytes())),
        false => SecretString::from(text.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_is_taken_in_both_spellings_and_never_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        let check = |text: &str, header: &str| {
            std::fs::write(&path, text).expect("written");
            let auth = Auth::ApiKey { key: SecretSource::file(&path) };
            let credential = auth.credential().expect("a credential");
            assert_eq!(credential.value.to_str().expect("text"), header);
            let shown = format!("{credential:?} {}", credential.hide(&format!("echo {text} {header}")));
            assert!(!shown.contains("k3y") && !shown.contains("aWQ6azN5"), "{shown}");
        };
        check("id:k3y\n", "ApiKey aWQ6azN5");
        check("aWQ6azN5", "ApiKey aWQ6azN5");
        check(" aWQ6azN5 \n", "ApiKey aWQ6azN5");
    }
}
