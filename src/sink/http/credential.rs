//! Who we are, in one header. The secret is read anew for each request, so a rotated one counts without a restart; it is in
//! no message and no dump.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::sink::http::Auth;
use crate::transport::blot::Blot;

/// A header with a secret in it.
#[derive(Debug)]
pub(in crate::sink) struct Credential {
    pub(in crate::sink) name: HeaderName,
    /// Marked as sensitive.
    pub(in crate::sink) value: HeaderValue,
    /// What must not be shown of an answer that repeats our request.
    secrets: Vec<SecretString>,
}

impl Credential {
    /// Reads the secret as it is now.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(in crate::sink) fn read(auth: &Auth) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("the credential of the sink cannot be used: {error}");
        let (name, prefix, secret, shown) = match auth {
            Auth::Bearer { token } => (AUTHORIZATION, "Bearer ", token, None),
            Auth::Basic { user, password } => (AUTHORIZATION, "Basic ", password, Some(user)),
            Auth::Header { name, value } => {
                (HeaderName::try_from(name).map_err(|error| wrong(&error))?, "", value, None)
            }
        };
        let secret = secret.read().map_err(|error| wrong(&error))?;
        let sent = match shown {
            Some(user) => {
                let pair = Zeroizing::new(format!("{user}:{}", secret.expose_secret()));
                SecretString::from(STANDARD.encode(pair.as_bytes()))
            }
            None => secret.clone(),
        };
        Self::of(name, prefix, sent, secret)
    }

    /// A header that says `prefix` and then what is sent of the secret.
    ///
    /// # Errors
    /// No header can carry it.
    pub(in crate::sink) fn of(
        name: HeaderName,
        prefix: &str,
        sent: SecretString,
        secret: SecretString,
    ) -> Result<Self, String> {
        let text = Zeroizing::new(format!("{prefix}{}", sent.expose_secret()));
        let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| {
            "the credential of the sink cannot be used: the secret holds a line end or another character that no header \
             can carry"
                .to_owned()
        })?;
        value.set_sensitive(true);
        Ok(Self { name, value, secrets: vec![secret, sent] })
    }

    /// The text without the secret.
    pub(in crate::sink) fn hide(&self, text: &str) -> String {
        Blot::of(&self.secrets).out(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::secret::SecretSource;

    #[test]
    fn a_credential_is_one_header_and_never_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, "s3cret\n").expect("written");
        let source = || SecretSource::file(&path);
        let check = |auth: Auth, name: &str, value: &str| {
            let credential = Credential::read(&auth).expect("a credential");
            assert_eq!((credential.name.as_str(), credential.value.to_str().expect("text")), (name, value));
            let shown = format!("{credential:?}");
            assert!(!shown.contains("s3cret") && !shown.contains("a2ltOnMzY3JldA"), "{shown}");
            assert_eq!(credential.hide("echo: s3cret!"), "echo: ***!");
            assert!(!credential.hide(&format!("x {value}")).contains("s3cret"));
        };
        check(Auth::Bearer { token: source() }, "authorization", "Bearer s3cret");
        let basic = || Auth::Basic { user: "kim".into(), password: source() };
        check(basic(), "authorization", "Basic a2ltOnMzY3JldA==");
        check(Auth::Header { name: "X-Api-Key".into(), value: source() }, "x-api-key", "s3cret");
        let credential = Credential::read(&basic()).expect("a credential");
        assert_eq!(credential.hide("you sent Basic a2ltOnMzY3JldA=="), "you sent Basic ***");
    }

    #[test]
    fn a_secret_that_no_header_carries_is_told_without_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, "s3c\nret\n").expect("written");
        let why = Credential::read(&Auth::Bearer { token: SecretSource::file(&path) }).expect_err("two lines");
        assert!(why.contains("line end") && !why.contains("s3c"), "{why}");
    }
}
