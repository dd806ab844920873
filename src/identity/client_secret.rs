//! The credential `client_secret`: a secret shared with the app registration, sent in the form of each token request.

use secrecy::ExposeSecret;

use crate::identity::{Fingerprint, Proof};
use crate::transport::secret::{SecretError, SecretSource};

/// The proof: the secret itself.
///
/// # Errors
/// The secret cannot be read.
pub(crate) fn proof(source: &SecretSource) -> Result<Proof, SecretError> {
    let secret = source.read()?;
    let fingerprint = Fingerprint::of(secret.expose_secret().as_bytes());
    Ok(Proof { secret, is_assertion: false, fingerprint, expires_at: None })
}
