//! Posts rows call after call, and tells how far Azure has them. It repeats a call only where the token was not taken.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use secrecy::ExposeSecret;
use url::Url;

use crate::core::courier::{DeliverError, Refusal};
use crate::identity::token::{Token, Tokens};
use crate::identity::{self, TokenError, environment};
use crate::model::names::Seq;
use crate::sink::azure_monitor::row::row;
use crate::sink::azure_monitor::{CALL_SIZE_MAX, Config};
use crate::sink::http::answer::Answer;
use crate::sink::http::body::compress;
use crate::sink::http::client::{client, way};
use crate::sink::partly::{Partly, reached};
use crate::sink::{OpenError, Outgoing, Sink};
use crate::transport::blocking::Blocking;
use crate::transport::blot::Blot;
use crate::transport::http::{causes, is_loopback};
use crate::transport::proxy::Way;

/// One delivery that makes several calls starts no further one after this time: what is answered counts.
pub(super) const CALLS_TIME: Duration = Duration::from_secs(30);

/// A sink of kind `azure_monitor`.
#[derive(Debug)]
pub struct AzureMonitor {
    config: Config,
    url: Url,
    http: reqwest::Client,
    way: Way,
    pub(super) tokens: Tokens,
    /// Compression, beside the runtime.
    desk: Blocking<()>,
    partly: Partly,
}

/// The next call.
struct Call<'a> {
    body: Vec<u8>,
    /// The events in it.
    batch: &'a [Outgoing],
}

impl AzureMonitor {
    /// Reads the TLS files; connects nowhere.
    ///
    /// # Errors
    /// TLS files or the proxy cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let (login_url, audience) = config.sign_in();
        let client = |loopback| client(&config.tls, config.proxy_url.as_ref(), &config.proxy, config.timeout, loopback);
        let http = client(is_loopback(&config.endpoint))?;
        let signs_in_here = is_loopback(&login_url) || config.credential.is_of_this_host();
        let sign_in = client(signs_in_here)?;
        let way = |loopback| way(config.proxy_url.as_ref(), &config.proxy, loopback);
        let settings = identity::Settings {
            tenant_id: config.tenant_id.clone(),
            client_id: config.credential.client_id(config.client_id.as_deref(), &environment),
            login_url,
            audience,
            credential: config.credential.clone(),
        };
        let tokens = Tokens::new(sign_in, settings).by(way(signs_in_here));
        let way = way(is_loopback(&config.endpoint));
        let desk = Blocking::new((), config.timeout.0);
        Ok(Self { config: config.clone(), url: config.url(), http, way, tokens, desk, partly: Partly::default() })
    }

    /// Call after call, in order, for as long as [`CALLS_TIME`] lasts. A failure after a part of them leaves its telling to the
    /// next delivery, and so does what is left.
    async fn send_all(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let began = Instant::now();
        let mut rest = self.partly.rest(events);
        let mut answered = None;
        while !rest.is_empty() && (answered.is_none() || began.elapsed() < CALLS_TIME) {
            let sent = match self.next_call(rest) {
                Ok(Call { body, batch }) => self.send(body, batch).await.map(|()| batch.len()),
                Err(error) => Err(error),
            };
            match sent {
                Ok(count) => {
                    let (batch, later) = rest.split_at(count);
                    self.partly.taken(batch);
                    answered = reached(events, batch).or(answered);
                    rest = later;
                }
                Err(error) if answered.is_none() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(answered)
    }

    /// As many events as fit, at least one.
    fn next_call<'a>(&self, events: &'a [Outgoing]) -> Result<Call<'a>, DeliverError> {
        let mut body = vec![b'['];
        let mut count = 0;
        for event in events.iter().take(self.config.batch_events as usize) {
            let row = match fitting(event) {
                Ok(row) => row,
                Err(refusal) if count == 0 => return Err(DeliverError::Refused(vec![refusal])),
                Err(_) => break,
            };
            if 0 < count && self.config.batch_size.0 < (body.len() + row.len() + 2) as u64 {
                break;
            }
            if 0 < count {
                body.push(b',');
            }
            body.extend_from_slice(&row);
            count += 1;
        }
        body.push(b']');
        Ok(Call { body, batch: &events[..count] })
    }

    async fn send(&self, body: Vec<u8>, batch: &[Outgoing]) -> Result<(), DeliverError> {
        let body = match self.config.gzip {
            false => body,
            true => self.desk.run(move |()| compress(&body)).await.map_err(|unfinished| {
                let why = format!("the call to {} cannot be prepared: {unfinished}", self.place());
                DeliverError::Retry { why, after: None }
            })?,
        };
        let token = self.tokens.token().await.map_err(no_token)?;
        let answer = self.post(&token, body.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return verdict(&answer, batch);
        }
        // It may have been revoked before its time: one new one is worth a try.
        self.tokens.reject(&token);
        let token = self.tokens.token().await.map_err(no_token)?;
        let answer = self.post(&token, body).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.tokens.reject(&token);
        }
        verdict(&answer, batch)
    }

    async fn post(&self, token: &Token, body: Vec<u8>) -> Result<Answer, DeliverError> {
        let mut request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if self.config.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let blot = Blot::of(self.way.secrets(&self.url).iter().chain([token.secret()]));
        let hide = |text: String| blot.out(&text);
        match request.bearer_auth(token.secret().expose_secret()).body(body).send().await {
            Ok(response) => Ok(Answer::read(self.place(), response, hide).await),
            Err(error) if error.is_timeout() => {
                let why = format!("{} did not answer within {}", self.place(), self.config.timeout);
                Err(DeliverError::Retry { why, after: None })
            }
            Err(error) => {
                let why = format!("{} cannot be reached: {}", self.place(), causes(&error.without_url()));
                Err(DeliverError::Retry { why, after: None })
            }
        }
    }

    /// Scheme, host and port, for messages.
    fn place(&self) -> String {
        self.config.endpoint.origin().ascii_serialization()
    }
}

impl Sink for AzureMonitor {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.send_all(events))
    }
}

/// A row that one call can carry.
fn fitting(event: &Outgoing) -> Result<Vec<u8>, Refusal> {
    let refused = |why| Refusal { seq: event.seq, why };
    let row = row(event).map_err(refused)?;
    match row.len() as u64 + 2 <= CALL_SIZE_MAX.0 {
        true => Ok(row),
        false => Err(refused(format!("a row of {} B is more than one call may hold ({CALL_SIZE_MAX})", row.len()))),
    }
}

/// The sign-in's answer as the courier's decision.
fn no_token(error: TokenError) -> DeliverError {
    let why = error.to_string();
    match error {
        TokenError::Refused { .. } => DeliverError::Pause { why },
        TokenError::Unavailable { after, .. } | TokenError::Throttled { after, .. } => {
            DeliverError::Retry { why, after: Some(after) }
        }
    }
}

/// What an answer means: as for any receiver by HTTP, but for what has a remedy of Azure's own.
fn verdict(answer: &Answer, batch: &[Outgoing]) -> Result<(), DeliverError> {
    let pause = |remedy: &str| Err(DeliverError::Pause { why: format!("{}; {remedy}", answer.said()) });
    match answer.status.as_u16() {
        401 => pause("the token is not taken: check tenant_id, client_id, audience and login_url"),
        403 => pause(
            "give the application (client_id) the role Monitoring Metrics Publisher on the data collection rule and wait up to 30 \
             minutes; where it has the role, check that the endpoint belongs to the rule",
        ),
        404 => pause("there is no such rule or stream here: check endpoint, dcr and stream"),
        _ => answer.verdict(batch),
    }
}
