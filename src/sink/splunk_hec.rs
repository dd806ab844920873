//! Events to Splunk's HTTP Event Collector. An event counts when its request was answered with code 0, or, with `ack`, when the
//! indexer has acknowledged it. Never takes the one for the other, follows no redirect and repeats nothing by itself.

mod ack;
mod batch;
mod collector;
mod connection;
mod endpoint;
mod envelope;
mod probe;
mod reply;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::model::units::{Size, Span};
use crate::sink::http::address_problems;
use crate::sink::splunk_hec::collector::Collector;
use crate::sink::splunk_hec::endpoint::Endpoints;
use crate::sink::splunk_hec::envelope::Labels;
use crate::sink::{Found, Names, OpenError, Problem, Settings, Sink, problem};
use crate::transport::proxy;
use crate::transport::secret::SecretSource;
use crate::transport::tls;

/// What is promised without indexer acknowledgement.
const TAKEN: &str = "at least once up to the receiver's queues: an event counts when HTTP Event Collector has taken its request, \
     which it does before it indexes; what Splunk loses after that is not sent again";
/// What is promised with it.
const INDEXED: &str = "at least once: an event counts when the indexer has acknowledged it; what is not acknowledged within \
     `ack_timeout`, and everything after it, is sent again with the same event_id";

/// `batch_events` at most.
const BATCH_EVENTS_MAX: u32 = 10_000;
/// `batch_size` at most; Splunk Cloud advises 1 MB and takes little more.
const BATCH_SIZE_MAX: Size = Size::mebibytes(64);
/// `timeout` at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Bounds of `ack_timeout`: long enough to ask a few times. The documentation of Splunk calls five minutes reasonable.
const ACK_TIMEOUT: (Span, Span) = (Span::seconds(3), Span::seconds(3600));
/// Bytes of `host`, `source` and `sourcetype` at most.
const LABEL_LENGTH_MAX: usize = 1024;

/// The keys of a sink of kind `splunk_hec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `https://host:port`, or the whole address of the event endpoint.
    pub url: Url,
    /// The token of HTTP Event Collector.
    pub token: SecretSource,
    /// Events count when the indexer has acknowledged them; the token must have indexer acknowledgement turned on.
    #[serde(default)]
    pub ack: bool,
    /// A request that is not acknowledged for so long is lost, and is sent again.
    #[serde(default = "ack_timeout_default")]
    pub ack_timeout: Span,
    /// The index; left out, as the next three: what the token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The host that events are filed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Their source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Their source type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sourcetype: Option<String>,
    /// Events in one request at most.
    #[serde(default = "batch_events_default")]
    pub batch_events: u32,
    /// Bytes of body in one request at most, before compression; a single larger event is sent alone.
    #[serde(default = "batch_size_default")]
    pub batch_size: Size,
    /// Compress bodies with gzip.
    #[serde(default)]
    pub gzip: bool,
    /// One request, from connecting to the last byte of the answer.
    #[serde(default = "timeout_default")]
    pub timeout: Span,
    /// A proxy; left out: the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Url>,
    /// What goes with the proxy.
    #[serde(default, skip_serializing_if = "proxy::Settings::is_default")]
    pub proxy: proxy::Settings,
    /// TLS, for `https://`.
    #[serde(default)]
    pub tls: tls::Config,
}

fn ack_timeout_default() -> Span {
    Span::seconds(300)
}

fn batch_events_default() -> u32 {
    100
}

fn batch_size_default() -> Size {
    Size::mebibytes(1)
}

fn timeout_default() -> Span {
    Span::seconds(30)
}

impl Config {
    fn url_problems(&self) -> Vec<Problem> {
        let mut plain = self.url.clone();
        let has_user = !self.url.username().is_empty() || self.url.password().is_some();
        // An address that has no host refuses both, and has neither.
        let _ = (plain.set_username(""), plain.set_password(None));
        let mut problems = address_problems(&plain, &self.tls, self.proxy_url.as_ref());
        if has_user {
            problems.push(problem("url", "holds a user or a password; HEC wants a token, which goes into `token`"));
        }
        if problems.is_empty() {
            problems.extend(Endpoints::of(&self.url).err().map(|why| problem("url", why)));
        }
        problems
    }

    fn labels(&self) -> Labels<'_> {
        let Self { host, source, sourcetype, index, .. } = self;
        Labels {
            host: host.as_deref(),
            source: source.as_deref(),
            sourcetype: sourcetype.as_deref(),
            index: index.as_deref(),
        }
    }
}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(Collector::open(self)?))
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = self.url_problems();
        let mut check = |is_right: bool, key: &str, why: String| {
            if !is_right {
                problems.push(problem(key, why));
            }
        };
        let is_clear = self.token.file.is_some() != self.token.env.is_some();
        check(is_clear, "token", "needs either `file` or `env`".into());
        let (events, size) = (self.batch_events, self.batch_size);
        let is_count = (1..=BATCH_EVENTS_MAX).contains(&events);
        check(is_count, "batch_events", format!("{events} is not between 1 and {BATCH_EVENTS_MAX}"));
        let is_size = (Size(1)..=BATCH_SIZE_MAX).contains(&size);
        check(is_size, "batch_size", format!("{size} is not between 1 B and {BATCH_SIZE_MAX}"));
        let is_time = (Duration::from_millis(1)..=TIMEOUT_MAX).contains(&self.timeout.0);
        check(is_time, "timeout", format!("{} is not between 1ms and 1h", self.timeout));
        let (shortest, longest) = ACK_TIMEOUT;
        let is_wait = (shortest..=longest).contains(&self.ack_timeout);
        check(is_wait, "ack_timeout", format!("{} is not between {shortest} and {longest}", self.ack_timeout));
        let is_whole = self.tls.certificate.is_some() == self.tls.private_key.is_some();
        check(is_whole, "tls", "a client certificate needs both `certificate` and `private_key`".into());
        let index = self.index.as_deref().is_none_or(is_index);
        check(index, "index", "must be lower-case letters, digits, `_` and `-`, and not begin with `-`".into());
        for (key, label) in [("host", &self.host), ("source", &self.source), ("sourcetype", &self.sourcetype)] {
            let why = format!("must be 1 to {LABEL_LENGTH_MAX} bytes without control characters");
            check(label.as_deref().is_none_or(is_label), key, why);
        }
        problems
    }

    fn warnings(&self) -> Vec<Problem> {
        let is_cloud = self.url.host_str().is_some_and(|host| host.ends_with(".splunkcloud.com"));
        let why = "Splunk Cloud acknowledges to Amazon Data Firehose only: leave `ack` out there";
        (self.ack && is_cloud).then(|| problem("ack", why)).into_iter().collect()
    }

    fn guarantee(&self) -> &'static str {
        if self.ack { INDEXED } else { TAKEN }
    }

    fn names(&self) -> Names<'_> {
        let (urls, proxy) = (vec![("url", &self.url)], self.proxy_url.as_ref());
        Names {
            urls,
            proxy,
            proxy_settings: Some(&self.proxy),
            tls: Some(&self.tls),
            secrets: vec![("token".to_owned(), &self.token)],
            ..Names::default()
        }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        let url = Endpoints::of(&self.url).map_or_else(|_| self.url.clone(), |endpoints| endpoints.event);
        Some(("url", format!("{url} {}", self.index.as_deref().unwrap_or_default())))
    }

    fn probe(&self) -> LocalBoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(probe::ask(self))
    }

    fn delivery_max(&self) -> Duration {
        let waiting = if self.ack { self.ack_timeout.0 } else { Duration::ZERO };
        self.timeout.0 * 2 + waiting + Duration::from_secs(60)
    }

    fn settles(&self) -> bool {
        self.ack
    }

    fn batch_limit(&self) -> (usize, usize) {
        (self.batch_events as usize, usize::try_from(self.batch_size.0).unwrap_or(usize::MAX))
    }
}

/// Indexes as they can be made in Splunk. One that is not there drops events without a word, so a slip of the pen is worth a
/// check.
fn is_index(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    !name.is_empty() && name.len() <= LABEL_LENGTH_MAX && name.bytes().all(is_plain) && !name.starts_with('-')
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= LABEL_LENGTH_MAX && !text.contains(char::is_control)
}
