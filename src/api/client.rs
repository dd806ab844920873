//! One call: sign in, ask, understand. A failed call is a decision for the caller, who pays for the next one out of the quota;
//! so nothing here asks twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING};
use secrecy::ExposeSecret;
use url::Url;

use crate::api::answer::{Answer, ERROR_SIZE_MAX, Endpoint};
use crate::api::{Dialect, Settings, defender};
use crate::identity::TokenError;
use crate::identity::token::{Token, Tokens};
use crate::model::incident::Row;
use crate::model::names::IncidentId;
use crate::model::page::{FetchError, Page, Query};
use crate::transport::http::{BodyError, body, call_causes};

/// A permission that was granted meanwhile is in new tokens only: after a 403, a token older than this is given up. A younger one
/// is kept, so that slow retries do not become a token request each.
const FORBIDDEN_TOKEN_AGE: Duration = Duration::from_secs(300);

/// The API of one tenant.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    tokens: Arc<Tokens>,
    settings: Arc<Settings>,
}

impl Client {
    /// Nothing is asked yet. The HTTP client must follow no redirect and repeat nothing, as that of
    /// [`transport::http`](crate::transport::http::client).
    pub fn new(http: reqwest::Client, tokens: Arc<Tokens>, settings: Settings) -> Self {
        Self { http, tokens, settings: Arc::new(settings) }
    }

    /// One page: one call, or none where there is no token.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn list(&self, query: &Query) -> Result<Page, FetchError> {
        let url = match self.settings.dialect {
            Dialect::Defender => defender::list_url(&self.settings.api_url, query),
        };
        let answer = self.ask(url, Endpoint::List).await?;
        self.understood(answer, Answer::page).await
    }

    /// One incident: one call, or none where there is no token.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get(&self, id: &IncidentId) -> Result<Row, FetchError> {
        let url = match self.settings.dialect {
            Dialect::Defender => defender::incident_url(&self.settings.api_url, id),
        };
        let answer = self.ask(url.ok_or(FetchError::NotFound)?, Endpoint::Get).await?;
        self.understood(answer, Answer::incident).await
    }

    /// The answer, if it is a 200 with a whole body.
    async fn ask(&self, url: Url, endpoint: Endpoint) -> Result<Answer, FetchError> {
        let token = self.tokens.token().await.map_err(no_token)?;
        let request = self.http.get(url.clone()).bearer_auth(token.secret().expose_secret());
        let request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "gzip");
        let response = request.timeout(self.settings.request_timeout).send().await;
        let response = response.map_err(|error| FetchError::Unavailable { after: None, why: call_causes(error) })?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status == http::StatusCode::OK {
            let body = body(response, self.settings.max_body_size).await.map_err(|error| self.no_body(error))?;
            return Ok(Answer { status, headers, body, url, token });
        }
        // The status says enough where the body does not come.
        let body = body(response, ERROR_SIZE_MAX).await.unwrap_or_default();
        let answer = Answer { status, headers, body, url, token };
        let failure = answer.failure(endpoint, self.settings.dialect);
        self.give_up(&answer.token, &failure);
        Err(failure)
    }

    fn no_body(&self, error: BodyError) -> FetchError {
        match error {
            BodyError::TooLarge => FetchError::TooLarge { limit: self.settings.max_body_size },
            BodyError::Broken(why) => {
                FetchError::Unavailable { after: None, why: format!("the answer broke off: {why}") }
            }
        }
    }

    /// Drops the token where another one may fare better.
    fn give_up(&self, token: &Token, failure: &FetchError) {
        match failure {
            FetchError::Unauthorized { .. } => self.tokens.reject(token),
            FetchError::Refused { .. } if FORBIDDEN_TOKEN_AGE <= token.age(Instant::now()) => self.tokens.reject(token),
            FetchError::Refused { .. }
            | FetchError::Throttled { .. }
            | FetchError::Unavailable { .. }
            | FetchError::Rejected { .. }
            | FetchError::Garbled { .. }
            | FetchError::TooLarge { .. }
            | FetchError::NotFound => {}
        }
    }

    /// Decompressing, splitting and hashing takes up to a second for the largest page: not on a thread that others wait for.
    async fn understood<T: Send + 'static>(
        &self,
        answer: Answer,
        understand: fn(Answer, &Settings) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let settings = Arc::clone(&self.settings);
        match tokio::task::spawn_blocking(move || understand(answer, &settings)).await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(FetchError::Unavailable { after: None, why: "the program is stopping".into() }),
            },
        }
    }
}

/// The sign-in's answer as the caller's decision. Its throttling is not that of the API.
fn no_token(error: TokenError) -> FetchError {
    let why = error.to_string();
    match error {
        TokenError::Refused { .. } => FetchError::Refused { why },
        TokenError::Unavailable { after, .. } | TokenError::Throttled { after, .. } => {
            FetchError::Unavailable { after: Some(after), why }
        }
    }
}
