//! One call: sign in, ask, understand. A failed call is a decision for the caller, who pays for the next one out of the quota;
//! so nothing here asks twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING};
use secrecy::ExposeSecret;
use url::Url;

use crate::api::answer::{Answer, Asked};
use crate::api::body::{Encoding, unpacked_size};
use crate::api::completion::Completion;
use crate::api::failure::{ERROR_SIZE_MAX, Endpoint};
use crate::api::{Settings, defender, graph};
use crate::identity::TokenError;
use crate::identity::token::{Token, Tokens};
use crate::model::dialect::Dialect;
use crate::model::incident::Row;
use crate::model::names::IncidentId;
use crate::model::page::{Alerts, AlertsPage, FetchError, Page, Query, excerpt};
use crate::transport::call::Call;
use crate::transport::hands;
use crate::transport::http::{BodyError, body, call_causes};
use crate::transport::proxy::Way;

/// A permission that was granted meanwhile is in new tokens only: after a 403, a token older than this is given up. A younger one
/// is kept, so that slow retries do not become a token request each.
const FORBIDDEN_TOKEN_AGE: Duration = Duration::from_secs(300);

/// The API of one tenant.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    tokens: Arc<Tokens>,
    settings: Arc<Settings>,
    way: Way,
}

impl Client {
    /// Nothing is asked yet. The HTTP client must follow no redirect and repeat nothing, as that of
    /// [`transport::http`](crate::transport::http::client).
    pub fn new(http: reqwest::Client, tokens: Arc<Tokens>, settings: Settings) -> Self {
        Self { http, tokens, settings: Arc::new(settings), way: Way::Direct }
    }

    /// The same, with the way that its HTTP client goes.
    #[must_use]
    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// Whether this row of an answer to this query is all there is of its incident, or is a stub and says so. What is not has to be
    /// completed, see [`completion`](Self::completion).
    pub fn is_whole(&self, query: &Query, row: &Row) -> bool {
        let comes_with_alerts = match (self.settings.dialect, query.alerts) {
            (Dialect::Defender, Alerts::Within | Alerts::Apart) | (Dialect::Graph, Alerts::Within) => true,
            (Dialect::Graph, Alerts::Apart) => false,
        };
        row.truncated || (comes_with_alerts && !row.cut)
    }

    /// Bytes of the incidents of a page at most, for whoever makes one larger.
    pub fn max_body_size(&self) -> u64 {
        self.settings.max_body_size
    }

    /// Whether incidents and their alerts can be asked for apart from each other.
    pub fn asks_for_alerts_apart(&self) -> bool {
        self.settings.dialect.lists_alerts_apart()
    }

    /// Whether there is a token to ask with. Asks for none while a failure to get one is young, see
    /// [`Tokens::token`](crate::identity::token::Tokens::token).
    pub async fn is_signed_in(&self) -> bool {
        self.tokens.token().await.is_ok()
    }

    /// One page: one call, or none where there is no token.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn list(&self, query: &Query) -> Result<Page, FetchError> {
        let url = match self.settings.dialect {
            Dialect::Defender => defender::list_url(&self.settings.api_url, query),
            Dialect::Graph => graph::list_url(&self.settings.api_url, query),
        };
        self.call(url, Endpoint::List, Answer::page, |page| page.rows.len()).await
    }

    /// One incident: one call, or none where there is no token.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get(&self, id: &IncidentId) -> Result<Row, FetchError> {
        let url = match self.settings.dialect {
            Dialect::Defender => defender::incident_url(&self.settings.api_url, id),
            Dialect::Graph => graph::incident_url(&self.settings.api_url, id),
        };
        self.call(url.ok_or(FetchError::NotFound)?, Endpoint::Get, Answer::incident, |_| 1).await
    }

    /// One incident without its alerts, for where it cannot be had with them: one call, or none where there is no token. Where the
    /// API gives them all the same, so does this.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get_without_alerts(&self, id: &IncidentId) -> Result<Row, FetchError> {
        let url = match self.settings.dialect {
            Dialect::Defender => defender::incident_url(&self.settings.api_url, id),
            Dialect::Graph => graph::bare_incident_url(&self.settings.api_url, id),
        };
        self.call(url.ok_or(FetchError::NotFound)?, Endpoint::Get, Answer::incident, |_| 1).await
    }

    /// A page of the alerts of one incident, from behind so many of them: one call, or none where there is no token. What it says of
    /// a next page is not followed.
    ///
    /// # Errors
    /// See [`FetchError`]; `NotFound` where the incident is gone.
    pub async fn alerts(&self, id: &IncidentId, skip: u32) -> Result<AlertsPage, FetchError> {
        let url = match self.settings.dialect {
            Dialect::Defender => None,
            Dialect::Graph => graph::alerts_url(&self.settings.api_url, id, skip),
        };
        let garbled =
            || FetchError::Garbled { why: format!("the alerts of {:?} cannot be asked for", excerpt(id.as_str())) };
        self.call(url.ok_or_else(garbled)?, Endpoint::Alerts, Answer::alerts, |page| page.alerts.len()).await
    }

    /// What completes an incident that came without all of its alerts.
    ///
    /// # Errors
    /// [`FetchError::Garbled`]: it has no id to ask by.
    pub fn completion(&self, row: Row) -> Result<Completion, FetchError> {
        Completion::of(row, self.settings.max_incident_size)
    }

    /// The incident of a completion that needs nothing more. As with a page, putting it together is not for a thread that others
    /// wait for.
    ///
    /// # Errors
    /// See [`Completion::row`].
    pub async fn completed(&self, completion: Completion) -> Result<Row, FetchError> {
        aside(move || completion.row()).await
    }

    /// One call, and what came of it, which is also told to whoever traces calls.
    async fn call<T: Send + 'static>(
        &self,
        url: Url,
        endpoint: Endpoint,
        understand: fn(Answer, &Settings) -> Result<T, FetchError>,
        rows: fn(&T) -> usize,
    ) -> Result<T, FetchError> {
        let token = self.tokens.token().await.map_err(no_token)?;
        let asked = Arc::new(Asked { url, token, way: self.way.clone() });
        let mut call = Call::begin("GET", &asked.url, || asked.blot());
        let outcome = match self.ask(&asked, endpoint, &mut call).await {
            Ok(answer) => self.understood(answer, understand).await,
            Err(error) => Err(error),
        };
        let outcome = outcome.map_err(|error| asked.shown(error));
        match &outcome {
            Ok(found) => call.found(rows(found)),
            Err(error) => call.failed(error),
        }
        outcome
    }

    /// The answer, if it is a 200 with a whole body.
    async fn ask(&self, asked: &Arc<Asked>, endpoint: Endpoint, call: &mut Call) -> Result<Answer, FetchError> {
        let request = self.http.get(asked.url.clone()).bearer_auth(asked.token.secret().expose_secret());
        let request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "gzip");
        let request = match self.settings.dialect {
            Dialect::Defender => request,
            Dialect::Graph => request.header("Prefer", graph::PREFER),
        };
        // The time is taken here: what is waited for a place in memory is not the server's.
        let (patience, begun) = (self.settings.request_timeout, Instant::now());
        let response = tokio::time::timeout(patience, request.timeout(patience + hands::WAIT_MAX).send()).await;
        let unavailable = |why| FetchError::Unavailable { after: None, why };
        let response =
            response.map_err(|_| unavailable(format!("timed out: no answer within {} s", patience.as_secs())))?;
        let response = response.map_err(|error| unavailable(call_causes(error)))?;
        let patience = patience.saturating_sub(begun.elapsed());
        let (status, headers) = (response.status(), response.headers().clone());
        call.answered(status, &headers);
        if is_answered(status, self.settings.dialect) {
            let body = hands::body(response, self.settings.max_body_size, patience).await;
            let body = body.map_err(|error| self.no_body(error))?;
            call.read(body.len());
            // An encoding that is none of ours is not unpacked.
            let encoding = Encoding::of(&headers).unwrap_or(Encoding::Identity);
            hands::take_up(unpacked_size(encoding, &body, hands::SMALL)).await;
            return Ok(Answer { status, headers, body, asked: Arc::clone(asked) });
        }
        // The status says enough where the body does not come.
        let body = tokio::time::timeout(patience, body(response, ERROR_SIZE_MAX)).await;
        let body = body.map_or_else(|_| Vec::new(), Result::unwrap_or_default);
        call.read(body.len());
        let answer = Answer { status, headers, body, asked: Arc::clone(asked) };
        let failure = answer.failure(endpoint, self.settings.dialect);
        self.give_up(&asked.token, &failure);
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
        aside(move || understand(answer, &settings)).await
    }
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    match hands::aside(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(FetchError::Unavailable { after: None, why: "the program is stopping".into() }),
        },
    }
}

/// Whether there is something to read: Graph says by 206 that a part of it is missing (its page on errors of the security API).
pub(crate) fn is_answered(status: http::StatusCode, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Defender => status == http::StatusCode::OK,
        Dialect::Graph => matches!(status, http::StatusCode::OK | http::StatusCode::PARTIAL_CONTENT),
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
