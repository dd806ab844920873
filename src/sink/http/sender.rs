//! Posts request after request, and tells how far the receiver has them. A request that nobody answered goes again as it was.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::core::courier::DeliverError;
use crate::model::names::{EventId, Seq};
use crate::sink::http::answer::Answer;
use crate::sink::http::body::compress;
use crate::sink::http::client::client;
use crate::sink::http::credential::Credential;
use crate::sink::http::{Auth, Config, fixed_header};
use crate::sink::partly::{Partly, reached};
use crate::sink::{OpenError, Outgoing, Sink};
use crate::transport::blocking::Blocking;
use crate::transport::http::{causes, is_loopback};

/// A call that makes several requests starts no further one after this time: what is answered counts, and a slow receiver does
/// not get the same events again and again.
const REQUESTS_TIME: Duration = Duration::from_secs(30);
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A sink of kind `http`.
#[derive(Debug)]
pub struct Http {
    config: Config,
    client: reqwest::Client,
    /// The headers that are the same in each request.
    headers: HeaderMap,
    /// Secrets and compression, beside the runtime.
    desk: Blocking<Option<Auth>>,
    /// The first record of a request that nobody knows the outcome of, and how many it had: it goes again as it was.
    unanswered: Option<(EventId, usize)>,
    partly: Partly,
}

impl Http {
    /// Reads the TLS files; connects nowhere.
    ///
    /// # Errors
    /// TLS files, the proxy or a header cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let client =
            client(&config.tls, config.proxy_url.as_ref(), &config.proxy, config.timeout, is_loopback(&config.url))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(config.batch.content_type()));
        for (name, value) in &config.headers {
            let (name, value) =
                fixed_header(name, value).map_err(|why| OpenError { why: format!("headers.{name}: {why}") })?;
            headers.insert(name, value);
        }
        if config.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let desk = Blocking::new(config.auth.clone(), config.timeout.0);
        Ok(Self { config: config.clone(), client, headers, desk, unanswered: None, partly: Partly::default() })
    }

    /// Request after request, in order, for as long as [`REQUESTS_TIME`] lasts. A failure after a part of them leaves its
    /// telling to the next call, and so does what is left.
    async fn send_all(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let began = Instant::now();
        let mut rest = self.partly.rest(events);
        let mut answered = None;
        while !rest.is_empty() && (answered.is_none() || began.elapsed() < REQUESTS_TIME) {
            let (batch, later) = rest.split_at(self.count_of_next(rest));
            self.unanswered = Some((batch[0].event.event_id.clone(), batch.len()));
            let sent = self.send(batch).await;
            if !matches!(sent, Err(DeliverError::Retry { .. })) {
                self.unanswered = None;
            }
            match sent {
                Ok(()) => {
                    self.partly.taken(batch);
                    answered = reached(events, batch).or(answered);
                }
                Err(error) if answered.is_none() => return Err(error),
                Err(_) => break,
            }
            rest = later;
        }
        Ok(answered)
    }

    /// How many of these events go into the next request: at least one, and as many as the time before where that was not
    /// answered.
    fn count_of_next(&self, events: &[Outgoing]) -> usize {
        match &self.unanswered {
            Some((first, count)) if events.first().is_some_and(|outgoing| outgoing.event.event_id == *first) => {
                (*count).min(events.len())
            }
            Some(_) | None => self.config.count_of_next(events),
        }
    }

    async fn send(&self, batch: &[Outgoing]) -> Result<(), DeliverError> {
        let place = self.config.url.origin().ascii_serialization();
        let (body, is_gzip) = (self.config.batch.body(batch), self.config.gzip);
        let prepared = self.desk.run(move |auth| {
            let credential = auth.as_ref().map(Credential::read).transpose()?;
            Ok((credential, if is_gzip { compress(&body) } else { body }))
        });
        let (credential, body) = match prepared.await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(why)) => return Err(DeliverError::Pause { why }),
            Err(unfinished) => {
                let why = format!("the request to {place} cannot be prepared: {unfinished}");
                return Err(DeliverError::Retry { why, after: None });
            }
        };
        let mut headers = self.headers.clone();
        headers.insert(IDEMPOTENCY_KEY, idempotency_key(batch));
        if let Some(Credential { name, value, .. }) = &credential {
            headers.insert(name, value.clone());
        }
        let hide = |text: String| credential.as_ref().map_or_else(|| text.clone(), |credential| credential.hide(&text));
        match self.client.post(self.config.url.clone()).headers(headers).body(body).send().await {
            Ok(response) => Answer::read(place, response, hide).await.verdict(batch),
            Err(error) if error.is_timeout() => {
                let why = format!("{place} did not answer within {}", self.config.timeout);
                Err(DeliverError::Retry { why, after: None })
            }
            Err(error) => {
                let why = format!("{place} cannot be reached: {}", hide(causes(&error.without_url())));
                Err(DeliverError::Retry { why, after: None })
            }
        }
    }
}

impl Sink for Http {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.send_all(events))
    }
}

/// The same for the same events, however often they are sent: the `event_id` of a single one, otherwise 32 hex digits of
/// SHA-256 over all of them in order.
fn idempotency_key(batch: &[Outgoing]) -> HeaderValue {
    if let [single] = batch
        && let Ok(key) = HeaderValue::try_from(single.event.event_id.as_str())
    {
        return key;
    }
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for outgoing in batch {
        let id = outgoing.event.event_id.as_str();
        digest.update(&(id.len() as u64).to_be_bytes());
        digest.update(id.as_bytes());
    }
    let hex: String = digest.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(hex).expect("hex digits are a header's value")
}
