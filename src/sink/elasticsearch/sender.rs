//! Sends documents and tells how far the cluster has them. It repeats nothing, but finds out by itself how large a request
//! may be.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::core::courier::{DeliverError, Refusal};
use crate::model::names::Seq;
use crate::model::page::excerpt;
use crate::sink::elasticsearch::auth::Auth;
use crate::sink::elasticsearch::items::{Cause, Items, Verdict};
use crate::sink::elasticsearch::{Config, bulk};
use crate::sink::http::answer::Answer;
use crate::sink::http::body::compress;
use crate::sink::http::client::client;
use crate::sink::http::credential::Credential;
use crate::sink::partly::Partly;
use crate::sink::{OpenError, Outgoing, Sink};
use crate::transport::blocking::Blocking;
use crate::transport::http::{body, call_causes, is_loopback, retry_after};

/// A call that makes several requests starts no further one after this time: what is answered counts.
const REQUESTS_TIME: Duration = Duration::from_secs(30);
/// Bytes of a bulk answer at most; the largest request has 10 000 items.
const ANSWER_SIZE_MAX: u64 = 32 << 20;

/// A sink of kind `elasticsearch`.
#[derive(Debug)]
pub struct Elasticsearch {
    config: Config,
    endpoint: Url,
    client: reqwest::Client,
    /// Secrets and compression, beside the runtime.
    desk: Blocking<Option<Auth>>,
    /// Bytes of a request that the far side takes, as far as is known. Kept here, because the courier counts events, goes up
    /// again after each success, and cannot tell the parts of one event apart.
    size_max: usize,
    /// What the event at this position asks for, where the events before it were to be told first.
    untold: Option<(Seq, DeliverError)>,
    partly: Partly,
    /// The log was told of the failure store.
    is_failure_store_told: bool,
}

/// What became of a request.
#[derive(Debug)]
enum Sent {
    /// So many of its first records are at the far side; and what the next one asks for, if there is one.
    Reached(usize, Option<DeliverError>),
    /// It was too large. It held several records.
    TooLarge,
}

impl Elasticsearch {
    /// Reads the TLS files; connects nowhere.
    ///
    /// # Errors
    /// TLS files or the proxy cannot be used, or there is no address.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let endpoint = config.endpoint().ok_or_else(|| OpenError::from("neither `url` nor `cloud_id`".to_owned()))?;
        let client =
            client(&config.tls, config.proxy_url.as_ref(), &config.proxy, config.timeout, is_loopback(&endpoint))?;
        let desk = Blocking::new(config.auth.clone(), config.timeout.0);
        let size_max = usize::try_from(config.batch_size.0).unwrap_or(usize::MAX);
        let config = config.clone();
        Ok(Self {
            config,
            endpoint,
            client,
            desk,
            size_max,
            untold: None,
            partly: Partly::default(),
            is_failure_store_told: false,
        })
    }

    /// Request after request, in order, for as long as [`REQUESTS_TIME`] lasts. What fails after some events were taken is
    /// told by the next call, so that these count first.
    async fn send_all(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let Some(first) = events.first().map(|event| event.seq) else { return Ok(None) };
        match self.untold.take() {
            Some((seq, error)) if seq == first => return Err(error),
            Some(_) | None => {}
        }
        let began = Instant::now();
        let rest = self.partly.rest(events);
        let (mut at, mut failure) = (0, None);
        // Parts of the first event are no progress that could be told.
        let reached = |at: usize| rest[..at].last().map(Outgoing::reaches).filter(|seq| first <= *seq);
        while at < rest.len() && failure.is_none() && (reached(at).is_none() || began.elapsed() < REQUESTS_TIME) {
            if let Sent::Reached(count, error) = self.send(&rest[at..]).await {
                self.partly.taken(&rest[at..at + count]);
                at += count;
                failure = error;
            }
        }
        match (reached(at), failure) {
            (None, Some(error)) => Err(error),
            (reached, failure) => {
                let next = events.iter().map(|event| event.seq).find(|seq| reached < Some(*seq));
                // Of a batch it is not known which event is meant, and the next one may be another.
                let is_certain = |error: &DeliverError| !matches!(error, DeliverError::RefusedBatch { .. });
                self.untold = next.zip(failure.filter(is_certain));
                Ok(reached)
            }
        }
    }

    /// Sends as many of these as fit into one request.
    async fn send(&mut self, records: &[Outgoing]) -> Sent {
        let Config { mode, index, batch_events, gzip, .. } = &self.config;
        let (body, count) = bulk::body(*mode, index, records, *batch_events as usize, self.size_max);
        let (batch, size) = (&records[..count], body.len());
        let is_gzip = *gzip;
        let prepared = self.desk.run(move |auth| {
            let credential = auth.as_ref().map(Auth::credential).transpose()?;
            Ok((credential, if is_gzip { compress(&body) } else { body }))
        });
        let (credential, body) = match prepared.await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(why)) => return Sent::Reached(0, Some(DeliverError::Pause { why })),
            Err(unfinished) => {
                return Sent::later(format!("the request to {} cannot be prepared: {unfinished}", self.place()), None);
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if is_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(Credential { name, value, .. }) = &credential {
            headers.insert(name, value.clone());
        }
        let hide = |text: String| credential.as_ref().map_or_else(|| text.clone(), |credential| credential.hide(&text));
        let sent = match self.client.post(self.endpoint.clone()).headers(headers).body(body).send().await {
            Ok(response) if response.status().is_success() => self.of_items(response, batch, hide).await,
            Ok(response) => self.of_answer(response, batch, hide).await,
            Err(error) if error.is_timeout() => {
                Sent::later(format!("{} did not answer within {}", self.place(), self.config.timeout), None)
            }
            Err(error) => {
                Sent::later(format!("{} cannot be reached: {}", self.place(), hide(call_causes(error))), None)
            }
        };
        if let Sent::TooLarge = sent {
            self.size_max = size / 2;
            tracing::debug!(place = self.place(), size, "a request was too large; the next ones are half as large");
        }
        sent
    }

    /// What the items of the answer say.
    async fn of_items(&mut self, response: Response, batch: &[Outgoing], hide: impl Fn(String) -> String) -> Sent {
        let place = self.place();
        let (status, after) = (response.status(), retry_after(response.headers()));
        let body = match body(response, ANSWER_SIZE_MAX).await {
            Ok(body) => body,
            Err(error) => return Sent::later(format!("{place} answered {status}, but {error}"), after),
        };
        match Items::read(&body, batch.len()) {
            Ok(items) => {
                if items.in_failure_store && !self.is_failure_store_told {
                    self.is_failure_store_told = true;
                    let index = &self.config.index;
                    tracing::warn!(
                        place,
                        index,
                        "the index does not take every document; the cluster keeps the others in \
                        its failure store, and they count as delivered: look at INDEX::failures"
                    );
                }
                of_verdicts(&items.verdicts, batch, after, |why| format!("{place} answered {}", hide(why.to_owned())))
            }
            Err(error) if error.is_foreign => {
                let words = excerpt(hide(String::from_utf8_lossy(&body).into_owned()).trim());
                let remedy = "look for a proxy or a login page in between, and at the address";
                let why = format!("{place} answered {status}, but {}: {words}; {remedy}", error.why);
                Sent::Reached(0, Some(DeliverError::Pause { why }))
            }
            Err(error) => Sent::later(format!("{place} answered {status}, but {}", error.why), after),
        }
    }

    /// What an answer says that is about the request as a whole.
    async fn of_answer(&self, response: Response, batch: &[Outgoing], hide: impl Fn(String) -> String) -> Sent {
        let (mut answer, body) = Answer::read_with_body(self.place(), response, &hide).await;
        if answer.status == StatusCode::PAYLOAD_TOO_LARGE && 1 < batch.len() {
            return Sent::TooLarge;
        }
        let cause = Cause::of_body(&body);
        if let Some(cause) = &cause {
            answer.words = hide(cause.to_string());
        }
        if let Some(remedy) = cause.and_then(|cause| cause.remedy())
            && answer.status.is_client_error()
            && !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
        {
            return Sent::Reached(0, Some(DeliverError::Pause { why: format!("{}; {remedy}", answer.said()) }));
        }
        let error = answer.verdict(batch).err();
        Sent::Reached(0, Some(error.unwrap_or_else(|| DeliverError::Retry { why: answer.said(), after: None })))
    }

    /// Scheme, host and port: a path may hold what is nobody's business.
    fn place(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }
}

impl Sent {
    fn later(why: String, after: Option<Duration>) -> Self {
        Self::Reached(0, Some(DeliverError::Retry { why, after }))
    }
}

/// How far the records of a request got, and what the first asks for that did not get there. Those behind it are sent again with
/// it; whichever is there already is recognised by its id.
fn of_verdicts(
    verdicts: &[Verdict],
    batch: &[Outgoing],
    after: Option<Duration>,
    said: impl Fn(&str) -> String,
) -> Sent {
    let taken = verdicts.iter().take_while(|verdict| **verdict == Verdict::Taken).count();
    let failure = verdicts.get(taken).and_then(|verdict| match verdict {
        Verdict::Taken => None,
        Verdict::Later(why) => Some(DeliverError::Retry { why: said(why), after }),
        Verdict::Settings(why) => Some(DeliverError::Pause { why: said(why) }),
        Verdict::Refused(_) => Some(DeliverError::Refused(refusals(verdicts, batch, said))),
    });
    Sent::Reached(taken, failure)
}

/// Every event that was refused, once however many of its parts were.
fn refusals(verdicts: &[Verdict], batch: &[Outgoing], said: impl Fn(&str) -> String) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = Vec::new();
    for (verdict, record) in verdicts.iter().zip(batch) {
        match verdict {
            Verdict::Refused(why) if refusals.last().is_none_or(|last| last.seq != record.seq) => {
                refusals.push(Refusal { seq: record.seq, why: said(why) });
            }
            Verdict::Refused(_) | Verdict::Taken | Verdict::Later(_) | Verdict::Settings(_) => {}
        }
    }
    refusals
}

impl Sink for Elasticsearch {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.send_all(events))
    }
}
