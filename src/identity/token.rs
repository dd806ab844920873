//! The tokens of one tenant: asks the sign-in when it must, one request at a time, and never more often than the cache allows.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ACCEPT;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::identity::cache::{Cache, Held};
use crate::identity::grant::{self, Grant};
use crate::identity::{Asked, Credential, Fingerprint, Proof, Settings, TokenError, managed_identity};
use crate::model::page::excerpt;
use crate::transport::blocking::Blocking;
use crate::transport::blot::Blot;
use crate::transport::call::Call;
use crate::transport::http::{body, call_causes};
use crate::transport::proxy::Way;

/// One token request, from connecting to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The same while the old token is still good: a slow sign-in must not delay what is new.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Reading the credential's files and signing.
const PROOF_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer at most. Tokens have a few KiB.
const ANSWER_SIZE_MAX: u64 = 64 * 1024;

/// The tokens of one tenant.
#[derive(Debug)]
pub struct Tokens {
    http: reqwest::Client,
    settings: Settings,
    /// That of the settings: files are read and keys sign.
    credential: Blocking<Credential>,
    endpoint: Url,
    cache: Mutex<Cache>,
    /// Why the last attempt at a token failed.
    failure: Mutex<Option<TokenError>>,
    way: Way,
    /// Held while the sign-in is asked.
    flight: tokio::sync::Mutex<()>,
    /// When the certificate ends that the last request was signed with.
    certificate_expires_at: Mutex<Option<SystemTime>>,
}

impl Tokens {
    /// Nothing is asked yet. The client must follow no redirect: a token request carries the secret in its body. Where the
    /// credential [is of this host](Credential::is_of_this_host), it must use no proxy either.
    pub fn new(http: reqwest::Client, settings: Settings) -> Self {
        let mut endpoint = settings.login_url.clone();
        if let Ok(mut path) = endpoint.path_segments_mut() {
            path.pop_if_empty().extend([settings.tenant_id.as_str(), "oauth2", "v2.0", "token"]);
        }
        let cache = Mutex::new(Cache::new(rand::random()));
        let flight = tokio::sync::Mutex::new(());
        let (way, certificate_expires_at, failure) = (Way::Direct, Mutex::new(None), Mutex::new(None));
        let credential = Blocking::new(settings.credential.clone(), PROOF_TIMEOUT);
        Self { http, settings, credential, endpoint, cache, failure, way, flight, certificate_expires_at }
    }

    /// The same, with the way that its client goes.
    #[must_use]
    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// What must not be shown of an answer of this far side to a call with this secret, on the same way as those for tokens.
    pub(crate) fn blot(&self, far: &Url, secret: &SecretString) -> Blot {
        Blot::of(self.way.secrets(far).iter().chain([secret]))
    }

    /// A token that is good now. Callers at the same time share one request.
    ///
    /// A token nearing its end is renewed by one caller, with little patience, while the others go on with it; where that does
    /// not work, it is used to its end.
    ///
    /// # Errors
    /// See [`TokenError`]; the same one from memory until its pause is over or the secret is another.
    pub async fn token(&self) -> Result<Token, TokenError> {
        match self.held() {
            Held::Fresh(token) => Ok(token),
            Held::Ageing(token) => match self.flight.try_lock() {
                Ok(_flight) => Ok(self.renew(AHEAD_TIMEOUT).await.unwrap_or(token)),
                Err(_) => Ok(token),
            },
            Held::Nothing => {
                let _flight = self.flight.lock().await;
                // Whoever was in flight before may have brought one.
                match self.held() {
                    Held::Fresh(token) | Held::Ageing(token) => return Ok(token),
                    Held::Nothing => {}
                }
                self.renew(REQUEST_TIMEOUT).await
            }
        }
    }

    /// The API answered 401 to this token: it is not given out again. A newer one stays.
    pub fn reject(&self, token: &Token) {
        self.cache().rejected(token, Instant::now());
    }

    /// How we prove who we are, in words.
    pub fn credential(&self) -> &'static str {
        match self.settings.credential {
            Credential::ClientSecret(_) => "client secret",
            Credential::Certificate(_) => "certificate",
            Credential::WorkloadIdentity(_) => "workload identity",
            Credential::ManagedIdentity => "managed identity",
        }
    }

    /// How long the current token is still good; none without one.
    pub fn expires_in(&self) -> Option<Duration> {
        self.cache().expires_in(Instant::now())
    }

    /// When the certificate ends that the last token was asked for with; none where the credential is no certificate, or
    /// before the first request.
    pub fn certificate_expires_at(&self) -> Option<SystemTime> {
        *self.certificate_expires_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last attempt at a token failed; none where it did not, or before the first one. While a token is still
    /// [good](Self::expires_in), nobody but this says that there is not going to be another.
    pub fn failure(&self) -> Option<TokenError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn renew(&self, timeout: Duration) -> Result<Token, TokenError> {
        let renewed = self.renewed(timeout).await;
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = renewed.as_ref().err().cloned();
        renewed
    }

    async fn renewed(&self, timeout: Duration) -> Result<Token, TokenError> {
        let proof = self.proof().await?;
        let fingerprint = match &proof {
            Some(proof) => proof.fingerprint,
            None => managed_identity::fingerprint(self.settings.client_id.as_deref()),
        };
        let expires_at = proof.as_ref().and_then(|proof| proof.expires_at);
        *self.certificate_expires_at.lock().unwrap_or_else(PoisonError::into_inner) = expires_at;
        let asked_at = Instant::now();
        if let Some(error) = self.cache().remembered(asked_at, fingerprint) {
            return Err(error);
        }
        let outcome = match &proof {
            Some(proof) => self.ask(proof, timeout).await,
            None => self.ask_host(timeout).await,
        };
        let mut cache = self.cache();
        match outcome {
            Ok(grant) => Ok(cache.granted(grant, asked_at, fingerprint)),
            Err(error) => Err(cache.failed(error, Instant::now(), fingerprint)),
        }
    }

    /// Who we are, read anew; none where the host vouches for us.
    async fn proof(&self) -> Result<Option<Proof>, TokenError> {
        let (client_id, endpoint) = (self.settings.client_id.clone().unwrap_or_default(), self.endpoint.clone());
        let made = self.credential.run(move |credential| {
            let asked = Asked { client_id: &client_id, endpoint: &endpoint };
            credential.proof(&asked).map_err(|error| refused(error.to_string()))
        });
        made.await.unwrap_or_else(|unfinished| {
            let why = format!("the {} cannot be read: {unfinished}", self.credential());
            Err(TokenError::Unavailable { why, after: Duration::ZERO })
        })
    }

    /// The client credentials grant (RFC 6749 section 4.4) at Entra's v2 endpoint.
    async fn ask(&self, proof: &Proof, timeout: Duration) -> Result<Grant, TokenError> {
        let unavailable = |why: String| TokenError::Unavailable { why, after: Duration::ZERO };
        let scope = format!("{}/.default", self.settings.audience);
        let client_id = self.settings.client_id.as_deref().unwrap_or_default();
        let mut form = vec![("grant_type", "client_credentials"), ("client_id", client_id), ("scope", &scope)];
        form.extend(proof.fields());
        let request =
            self.http.post(self.endpoint.clone()).header(ACCEPT, "application/json").timeout(timeout).form(&form);
        let blot = || self.blot(&self.endpoint, &proof.secret);
        let mut call = Call::for_token(self.settings.credential.kind(), "POST", &self.endpoint, blot);
        let outcome = async {
            let response = request.send().await.map_err(|error| unavailable(call_causes(error)))?;
            let (status, headers) = (response.status(), response.headers().clone());
            call.answered(status, &headers);
            let bytes = body(response, ANSWER_SIZE_MAX).await.map_err(|error| unavailable(error.to_string()))?;
            let bytes = Zeroizing::new(bytes);
            call.read(bytes.len());
            if !status.is_success() {
                call.refused(grant::code(&bytes));
            }
            grant::read(status, &headers, &bytes)
        };
        let outcome = outcome.await.map_err(|error| error.reworded(|why| blot().out(why)));
        grant::trace(&mut call, &outcome);
        outcome
    }

    /// A managed identity is of one tenant, whatever is configured: incidents of that one must not go out under the name of
    /// another. Where the token does not say whose it is, or the configuration has a domain, nothing can be compared.
    async fn ask_host(&self, timeout: Duration) -> Result<Grant, TokenError> {
        let Settings { audience, client_id, tenant_id, .. } = &self.settings;
        let request = managed_identity::Request { audience, client_id: client_id.as_deref(), timeout };
        let grant = managed_identity::ask(&self.http, request).await?;
        let of = claims(&grant.secret).and_then(|claims| claims.tenant_id);
        match of {
            Some(of) if !tenant_id.contains('.') && !tenant_id.eq_ignore_ascii_case(&of) => {
                let of = excerpt(&of);
                Err(refused(format!(
                    "the managed identity is of tenant {of}, not of {tenant_id}: check tenant_id; the app registration of \
                     another tenant needs another credential"
                )))
            }
            Some(_) | None => Ok(grant),
        }
    }

    /// Apart, so that the lock is free again before anything else happens.
    fn held(&self) -> Held {
        self.cache().held(Instant::now())
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // No step between two writes can panic, so what a poisoned lock guards is still whole.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token. Clones are the same token; `Debug` does not show it.
#[derive(Clone)]
pub struct Token(Arc<Issued>);

struct Issued {
    secret: SecretString,
    asked_at: Instant,
    refresh_at: Instant,
    expires_at: Instant,
    credential: Fingerprint,
}

/// What is written in a token, for people and for `check`. Nothing of it is verified: that is the API's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Application permissions. None at all without admin consent.
    pub roles: Vec<String>,
    /// Of a user rather than of the application: it sees only what the user sees.
    pub is_delegated: bool,
    /// The tenant that issued it.
    pub tenant_id: Option<String>,
    /// What it is for.
    pub audience: Option<String>,
}

impl Token {
    pub(crate) fn new(
        secret: SecretString,
        asked_at: Instant,
        refresh_at: Instant,
        expires_at: Instant,
        credential: Fingerprint,
    ) -> Self {
        Self(Arc::new(Issued { secret, asked_at, refresh_at, expires_at, credential }))
    }

    /// The token itself.
    pub fn secret(&self) -> &SecretString {
        &self.0.secret
    }

    /// What is written in it, where it is a JWT (RFC 7519). Microsoft calls it opaque, so none is no error.
    pub fn claims(&self) -> Option<Claims> {
        claims(&self.0.secret)
    }

    /// The application permissions in it, where it is a JWT.
    pub fn roles(&self) -> Option<Vec<String>> {
        self.claims().map(|claims| claims.roles)
    }

    /// How long ago it was asked for.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.asked_at)
    }

    pub(crate) fn refresh_at(&self) -> Instant {
        self.0.refresh_at
    }

    pub(crate) fn expires_at(&self) -> Instant {
        self.0.expires_at
    }

    pub(crate) fn credential(&self) -> Fingerprint {
        self.0.credential
    }

    /// Whether both are the same token.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn claims(token: &SecretString) -> Option<Claims> {
    #[derive(Deserialize)]
    struct Payload {
        #[serde(default)]
        roles: Vec<String>,
        scp: Option<String>,
        tid: Option<String>,
        aud: Option<String>,
    }
    let mut parts = token.expose_secret().split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let Payload { roles, scp, tid, aud } = serde_json::from_slice(&json).ok()?;
    Some(Claims { roles, is_delegated: scp.is_some(), tenant_id: tid, audience: aud })
}

fn refused(why: String) -> TokenError {
    TokenError::Refused { why, after: Duration::ZERO }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Token {
        let now = Instant::now();
        Token::new(SecretString::from(secret), now, now, now, Fingerprint::of(b""))
    }

    #[test]
    fn what_is_written_in_a_token_is_read_and_what_is_no_jwt_is_left_alone() {
        let check = |secret: &str, expected: Option<(&[&str], bool, Option<&str>)>| {
            let claims = token(secret).claims();
            let claims = claims.as_ref().map(|claims| {
                (
                    claims.roles.iter().map(String::as_str).collect::<Vec<_>>(),
                    claims.is_delegated,
                    claims.tenant_id.as_deref(),
                )
            });
            assert_eq!(
                claims,
                expected.map(|(roles, delegated, tenant)| (roles.to_vec(), delegated, tenant)),
                "{secret}"
            );
        };
        let jwt = |payload: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        check(
            &jwt(r#"{"roles":["Incident.Read.All"],"tid":"t","aud":"https://api"}"#),
            Some((&["Incident.Read.All"], false, Some("t"))),
        );
        check(&jwt(r#"{"tid":"t"}"#), Some((&[], false, Some("t"))));
        check(&jwt(r#"{"scp":"Incident.Read"}"#), Some((&[], true, None)));
        check(&jwt("no json"), None);
        check("opaque", None);
        check("a.b.c", None);
        check("a.b.c.d.e", None);
    }

    /// Tokens whose one token is at two thirds of its life, and a sign-in at that address.
    fn ageing(login: std::net::SocketAddr, secret: &std::path::Path) -> Tokens {
        use crate::transport::http::{Options, client};
        use crate::transport::secret::SecretSource;
        let options = Options { timeout: REQUEST_TIMEOUT, loopback: true, ..Options::default() };
        let settings = Settings {
            tenant_id: "t".into(),
            client_id: Some("c".into()),
            login_url: format!("http://{login}").parse().expect("a URL"),
            audience: "https://api.example.net".into(),
            credential: Credential::ClientSecret(SecretSource::file(secret)),
        };
        let tokens = Tokens::new(client(&options).expect("a client"), settings);
        let grant = Grant { secret: SecretString::from("old"), life: Duration::from_secs(150) };
        tokens.cache().granted(grant, Instant::now() - Duration::from_secs(100), Fingerprint::of(b""));
        assert!(matches!(tokens.held(), Held::Ageing(_)));
        tokens
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "s").expect("written");
        let nobody =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let tokens = ageing(nobody, secret.path());
        for _ in 0..3 {
            assert_eq!(tokens.token().await.expect("the old one").secret().expose_secret(), "old");
        }
        assert!(tokens.cache().remembered(Instant::now(), Fingerprint::of(b"s")).is_some(), "it was tried");
        assert!(matches!(tokens.failure(), Some(TokenError::Unavailable { .. })), "{:?}", tokens.failure());
        // No request is made without a secret, and that there is none is no secret.
        secret.close().expect("removed");
        tokens.token().await.expect("the old one");
        assert!(matches!(tokens.failure(), Some(TokenError::Refused { .. })), "{:?}", tokens.failure());
    }

    #[tokio::test]
    async fn while_one_caller_renews_the_others_go_on() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "s").expect("written");
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let tokens = Arc::new(ageing(silent.local_addr().expect("an address"), secret.path()));
        let renewing = tokio::spawn({
            let tokens = Arc::clone(&tokens);
            async move { tokens.token().await }
        });
        let _connection = silent.accept().await.expect("it asks");
        assert_eq!(tokens.token().await.expect("the old one").secret().expose_secret(), "old");
        assert!(!renewing.is_finished());
        renewing.abort();
    }

    #[test]
    fn a_token_does_not_show_itself() {
        assert_eq!(format!("{:?}", token("canary")), "Token(***)");
    }
}
