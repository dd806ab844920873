//! The token of the admin port and the sessions of browsers that showed it. Compares in constant time, keeps no token longer
//! than it takes to compare it, and knows nothing of HTTP.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

use crate::transport::secret::{SecretError, SecretSource};

/// Sessions at a time; one more ends the oldest.
const SESSIONS_MAX: usize = 64;
/// How long a session lasts.
pub(crate) const SESSION_MAX: Duration = Duration::from_secs(12 * 3600);
/// A token that was read so lately is not read again.
const READ_EVERY: Duration = Duration::from_secs(5);
const SESSION_BYTES: usize = 32;

/// The token and its sessions.
pub(crate) struct Keeper {
    source: SecretSource,
    /// Makes tags of what is compared: equal tags are equal texts, and unequal ones tell nothing of how much is equal.
    key: hmac::Key,
    random: SystemRandom,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    token: Option<(Instant, hmac::Tag)>,
    sessions: VecDeque<(Instant, hmac::Tag)>,
}

impl Keeper {
    /// For the token in this place, which is read anew every few seconds. None where there is no randomness to be had.
    pub(crate) fn new(source: SecretSource) -> Option<Self> {
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).ok()?;
        Some(Self { source, key, random, kept: Mutex::default() })
    }

    /// Whether this is the token.
    ///
    /// # Errors
    /// The token cannot be read.
    pub(crate) fn is_token(&self, text: &str) -> Result<bool, SecretError> {
        let token = self.token()?;
        Ok(self.is_tag_of(&token, text))
    }

    /// The name of a new session, for a cookie. None where there is no randomness to be had.
    pub(crate) fn open_session(&self) -> Option<SecretString> {
        let mut bytes = zeroize::Zeroizing::new([0; SESSION_BYTES]);
        self.random.fill(&mut *bytes).ok()?;
        let name = URL_SAFE_NO_PAD.encode(*bytes);
        let mut kept = self.kept();
        if kept.sessions.len() == SESSIONS_MAX {
            kept.sessions.pop_front();
        }
        kept.sessions.push_back((Instant::now(), hmac::sign(&self.key, name.as_bytes())));
        Some(name.into())
    }

    /// Whether a session of this name is open. A token that was changed ends all of them.
    ///
    /// # Errors
    /// The token cannot be read.
    pub(crate) fn is_session(&self, name: &str) -> Result<bool, SecretError> {
        self.token()?;
        let mut kept = self.kept();
        kept.sessions.retain(|(opened, _)| opened.elapsed() < SESSION_MAX);
        Ok(kept.sessions.iter().filter(|(_, tag)| self.is_tag_of(tag, name)).count() != 0)
    }

    /// Ends a session.
    pub(crate) fn close_session(&self, name: &str) {
        self.kept().sessions.retain(|(_, tag)| !self.is_tag_of(tag, name));
    }

    fn is_tag_of(&self, tag: &hmac::Tag, text: &str) -> bool {
        hmac::verify(&self.key, text.as_bytes(), tag.as_ref()).is_ok()
    }

    /// The tag of the token as it is now.
    fn token(&self) -> Result<hmac::Tag, SecretError> {
        let known = self.kept().token;
        if let Some((_, tag)) = known.filter(|(read, _)| read.elapsed() < READ_EVERY) {
            return Ok(tag);
        }
        let token = self.source.read()?;
        let tag = hmac::sign(&self.key, token.expose_secret().as_bytes());
        let mut kept = self.kept();
        if known.is_some_and(|(_, known)| known.as_ref() != tag.as_ref()) {
            kept.sessions.clear();
        }
        kept.token = Some((Instant::now(), tag));
        Ok(tag)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whatever panicked left whole sessions behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(token: &str) -> (tempfile::TempDir, Keeper) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("token"), token).expect("written");
        let keeper = Keeper::new(SecretSource::file(dir.path().join("token"))).expect("randomness");
        (dir, keeper)
    }

    #[test]
    fn only_the_token_is_the_token() {
        let (_dir, keeper) = keeper("0123456789abcdef\n");
        for (text, is_token) in
            [("0123456789abcdef", true), ("0123456789abcdeg", false), ("0123456789abcde", false), ("", false)]
        {
            assert_eq!(keeper.is_token(text).expect("a token"), is_token, "{text:?}");
        }
    }

    #[test]
    fn sessions_are_random_bounded_and_end() {
        let (_dir, keeper) = keeper("0123456789abcdef");
        let open = || keeper.open_session().expect("randomness").expose_secret().to_owned();
        let is_open = |name: &str| keeper.is_session(name).expect("a token");
        let first = open();
        assert!(is_open(&first) && !is_open("") && !is_open("0123456789abcdef"));
        let others: Vec<String> = (0..SESSIONS_MAX).map(|_| open()).collect();
        assert!(!is_open(&first), "the oldest made room");
        assert!(others.iter().all(|name| is_open(name)));
        keeper.close_session(&others[0]);
        assert!(!is_open(&others[0]) && is_open(&others[1]));
    }

    #[test]
    fn another_token_ends_all_sessions() {
        let (dir, keeper) = keeper("0123456789abcdef");
        let session = keeper.open_session().expect("randomness");
        assert!(keeper.is_session(session.expose_secret()).expect("a token"));
        std::fs::write(dir.path().join("token"), "fedcba9876543210").expect("written");
        let long_ago = Instant::now().checked_sub(READ_EVERY).expect("a machine that is up for five seconds");
        keeper.kept().token.as_mut().expect("it was read").0 = long_ago;
        assert!(!keeper.is_session(session.expose_secret()).expect("a token"));
        assert!(keeper.is_token("fedcba9876543210").expect("a token"));
    }
}
