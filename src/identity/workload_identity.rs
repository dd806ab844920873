//! The credential `workload_identity`: a token of the platform (Kubernetes, a CI system) is exchanged for one of Entra, which
//! trusts its issuer by a federated credential of the app registration. The platform renews the file; it is read anew each time.

use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::identity::{Fingerprint, Proof, environment};
use crate::transport::secret::{SecretError, SecretSource};

/// The variable that names the file where the configuration does not (Azure Workload Identity's webhook sets it).
const FILE_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The variable that names the app registration where the configuration does not.
pub const CLIENT_ID_VARIABLE: &str = "AZURE_CLIENT_ID";

/// The keys of `credential = { kind = "workload_identity", … }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// The file that the platform keeps its token in; left out: what `AZURE_FEDERATED_TOKEN_FILE` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl WorkloadIdentity {
    /// The platform's token as it is now.
    ///
    /// # Errors
    /// There is no file, or nothing in it.
    pub(crate) fn proof(&self) -> Result<Proof, SecretError> {
        let secret = SecretSource::file(self.file(&environment)?).read()?;
        // The platform renews it every hour or so: a refusal of the old one says nothing about the new one.
        let fingerprint = Fingerprint::of(secret.expose_secret().as_bytes());
        Ok(Proof { secret, is_assertion: true, fingerprint, expires_at: None })
    }

    /// The file with the platform's token, where the environment is this.
    ///
    /// # Errors
    /// Neither the configuration nor the environment names one.
    pub fn file(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, SecretError> {
        let named = self.token_file.clone().or_else(|| environment(FILE_VARIABLE).map(PathBuf::from));
        named.ok_or_else(|| SecretError::Env(FILE_VARIABLE.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_the_file_or_else_the_platform_does() {
        let environment = |name: &str| (name == FILE_VARIABLE).then(|| "/of/the/platform".to_owned());
        let check = |token_file: Option<&str>, expected: &str| {
            let identity = WorkloadIdentity { token_file: token_file.map(PathBuf::from) };
            assert_eq!(identity.file(&environment).expect("a file"), PathBuf::from(expected));
        };
        check(None, "/of/the/platform");
        check(Some("/of/ours"), "/of/ours");
        let error = WorkloadIdentity::default().file(&|_| None).expect_err("nobody names one").to_string();
        assert!(error.contains(FILE_VARIABLE), "{error}");
    }
}
