//! Which token is good now, and for how long a failure is answered from memory. Pure: asks nobody and reads no clock.

use std::time::{Duration, Instant};

use crate::core::backoff::Backoff;
use crate::identity::grant::Grant;
use crate::identity::token::Token;
use crate::identity::{Fingerprint, TokenError};

/// A token is renewed this long before its end, as MSAL does.
const AHEAD: Duration = Duration::from_secs(300);
/// A token is not used in its last seconds: a call takes its time.
const LAST_SECONDS: Duration = Duration::from_secs(10);
/// A token that was good for longer than this and is then rejected has been revoked or replaced. A younger one points at a
/// setting.
const YOUNG: Duration = Duration::from_secs(300);
/// Pauses after a refusal.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// Pauses while the sign-in does not work.
const UNAVAILABLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The one token of a tenant, or the memory of why there is none.
#[derive(Debug)]
pub(crate) struct Cache {
    token: Option<Token>,
    failure: Option<Failure>,
    refused: Backoff,
    unavailable: Backoff,
    rejected: Backoff,
}

/// What the cache holds.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// A token to use.
    Fresh(Token),
    /// A token to use that should be renewed.
    Ageing(Token),
    /// None.
    Nothing,
}

#[derive(Debug)]
struct Failure {
    error: TokenError,
    until: Instant,
    /// What the refused proof was made from.
    of: Fingerprint,
}

impl Cache {
    /// An empty cache. The seed is of the pauses' jitter.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            token: None,
            failure: None,
            refused: Backoff::new(REFUSED.0, REFUSED.1, seed),
            unavailable: Backoff::new(UNAVAILABLE.0, UNAVAILABLE.1, seed),
            rejected: Backoff::new(REFUSED.0, REFUSED.1, seed),
        }
    }

    /// The token that is good now.
    pub(crate) fn held(&self, now: Instant) -> Held {
        match &self.token {
            Some(token) if now < token.refresh_at() => Held::Fresh(token.clone()),
            Some(token) if now < token.expires_at() => Held::Ageing(token.clone()),
            Some(_) | None => Held::Nothing,
        }
    }

    /// How long the token is still good.
    pub(crate) fn expires_in(&self, now: Instant) -> Option<Duration> {
        self.token.as_ref().and_then(|token| token.expires_at().checked_duration_since(now))
    }

    /// The failure to answer from memory instead of asking, where its pause is not over and the credential is still the same.
    pub(crate) fn remembered(&self, now: Instant, credential: Fingerprint) -> Option<TokenError> {
        let failure = self.failure.as_ref().filter(|failure| now < failure.until && failure.of == credential)?;
        Some(failure.error.clone().with_pause(failure.until - now))
    }

    /// A token was granted.
    pub(crate) fn granted(&mut self, grant: Grant, asked_at: Instant, credential: Fingerprint) -> Token {
        let refresh_at = asked_at + refresh_after(grant.life);
        let expires_at = asked_at + usable_for(grant.life);
        if self.token.as_ref().is_some_and(|old| YOUNG <= old.age(asked_at)) {
            self.rejected.reset();
        }
        let token = Token::new(grant.secret, asked_at, refresh_at, expires_at, credential);
        self.token = Some(token.clone());
        self.failure = None;
        self.refused.reset();
        self.unavailable.reset();
        token
    }

    /// A request failed: the error with its pause.
    pub(crate) fn failed(&mut self, error: TokenError, now: Instant, credential: Fingerprint) -> TokenError {
        let pause = match error {
            TokenError::Refused { .. } => self.refused.pause(),
            TokenError::Unavailable { .. } | TokenError::Throttled { .. } => self.unavailable.pause(),
        };
        let pause = pause.max(error.after());
        let error = error.with_pause(pause);
        self.failure = Some(Failure { error: error.clone(), until: now + pause, of: credential });
        error
    }

    /// The API answered 401 to this token. Exactly this one is dropped, so that one new one is asked for; but where a young
    /// token follows a young token, asking again and again cannot help, and a pause comes first.
    pub(crate) fn rejected(&mut self, token: &Token, now: Instant) {
        if !self.token.as_ref().is_some_and(|held| held.is(token)) {
            return;
        }
        self.token = None;
        if YOUNG <= token.age(now) {
            self.rejected.reset();
        }
        let is_first = self.rejected.attempts() == 0;
        let pause = self.rejected.pause();
        if !is_first {
            let why = "the API rejects each new token at once: check audience, cloud and api_url".into();
            let error = TokenError::Refused { why, after: pause };
            self.failure = Some(Failure { error, until: now + pause, of: token.credential() });
        }
    }
}

/// At 80 % of the life or five minutes before its end, whichever is earlier; but not in the first half, so that short-lived
/// tokens are used too.
fn refresh_after(life: Duration) -> Duration {
    (life * 4 / 5).min(life.saturating_sub(AHEAD)).max(life / 2)
}

fn usable_for(life: Duration) -> Duration {
    life - LAST_SECONDS.min(life / 10)
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret, SecretString};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn grant(secret: &str, seconds: u64) -> Grant {
        Grant { secret: SecretString::from(secret), life: Duration::from_secs(seconds) }
    }

    fn credential(text: &str) -> Fingerprint {
        Fingerprint::of(text.as_bytes())
    }

    fn refused() -> TokenError {
        TokenError::Refused { why: "no".into(), after: Duration::ZERO }
    }

    /// `fresh NAME`, `ageing NAME` or `nothing`.
    fn held(cache: &Cache, now: Instant) -> String {
        match cache.held(now) {
            Held::Fresh(token) => format!("fresh {}", token.secret().expose_secret()),
            Held::Ageing(token) => format!("ageing {}", token.secret().expose_secret()),
            Held::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn a_token_is_renewed_ahead_of_its_end_and_not_used_past_it() {
        let check = |life: u64, ageing_from: u64, gone_from: u64| {
            let start = Instant::now();
            let mut cache = Cache::new(1);
            cache.granted(grant("a", life), start, credential("s"));
            let at = |seconds: u64| held(&cache, start + Duration::from_secs(seconds));
            assert_eq!(at(ageing_from - 1), "fresh a", "{life}");
            assert_eq!(at(ageing_from), "ageing a", "{life}");
            assert_eq!(at(gone_from - 1), "ageing a", "{life}");
            assert_eq!(at(gone_from), "nothing", "{life}");
        };
        check(3600, 2880, 3590);
        check(1000, 700, 990);
        check(86400, 69120, 86390);
        check(400, 200, 390);
        check(100, 50, 90);
        check(10, 5, 9);
    }

    #[test]
    fn the_same_failure_is_answered_from_memory_for_a_pause_that_grows() {
        let (mut cache, mut now) = (Cache::new(1), Instant::now());
        for full in [5, 10, 20, 40, 80, 160, 300, 300] {
            let error = cache.failed(refused(), now, credential("s"));
            let pause = error.after();
            assert!(Duration::from_secs(full) / 2 <= pause && pause <= Duration::from_secs(full), "{pause:?}");
            assert_eq!(cache.remembered(now, credential("s")), Some(error));
            assert!(cache.remembered(now + pause / 2, credential("s")).is_some());
            now += pause;
            assert_eq!(cache.remembered(now, credential("s")), None);
        }
        cache.granted(grant("a", 3600), now, credential("s"));
        assert!(cache.failed(refused(), now, credential("s")).after() <= REFUSED.0);
    }

    #[test]
    fn a_new_secret_is_tried_at_once() {
        let (mut cache, now) = (Cache::new(1), Instant::now());
        cache.failed(refused(), now, credential("old"));
        assert!(cache.remembered(now, credential("old")).is_some());
        assert_eq!(cache.remembered(now, credential("new")), None);
    }

    #[test]
    fn a_pause_is_never_shorter_than_the_server_asks() {
        let mut cache = Cache::new(1);
        let error = TokenError::Throttled { why: "slow".into(), after: Duration::from_secs(200) };
        assert_eq!(cache.failed(error, Instant::now(), credential("s")).after(), Duration::from_secs(200));
    }

    #[test]
    fn a_failure_does_not_take_a_good_token_away() {
        let (mut cache, now) = (Cache::new(1), Instant::now());
        cache.granted(grant("a", 3600), now, credential("s"));
        cache.failed(refused(), now, credential("s"));
        assert_eq!(held(&cache, now), "fresh a");
    }

    #[test]
    fn exactly_the_rejected_token_is_dropped() {
        let (mut cache, now) = (Cache::new(1), Instant::now());
        let old = cache.granted(grant("a", 3600), now, credential("s"));
        cache.granted(grant("b", 3600), now, credential("s"));
        cache.rejected(&old, now);
        assert_eq!(held(&cache, now), "fresh b");
    }

    #[test]
    fn the_first_rejection_is_followed_by_a_new_token_at_once_and_the_next_by_a_pause() {
        let (mut cache, mut now) = (Cache::new(1), Instant::now());
        let reject_new = |cache: &mut Cache, now: Instant, age: Duration| {
            let token = cache.granted(grant("a", 86400), now, credential("s"));
            cache.rejected(&token, now + age);
            assert_eq!(held(cache, now + age), "nothing");
            cache.remembered(now + age, credential("s"))
        };
        assert_eq!(reject_new(&mut cache, now, Duration::ZERO), None);
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                let pause = reject_new(&mut cache, now, Duration::ZERO).expect("a pause").after();
                now += pause;
                pause
            })
            .collect();
        assert!(pauses.is_sorted_by(|a, b| a <= &(*b * 2)) && REFUSED.1 / 2 <= pauses[7], "{pauses:?}");
        assert_eq!(reject_new(&mut cache, now, HOUR), None, "a token that was good for an hour");
        cache.granted(grant("good", 3600), now, credential("s"));
        assert_eq!(reject_new(&mut cache, now + HOUR, Duration::ZERO), None, "the one before was good for an hour");
    }
}
