//! The far sides: one file each. A sink sends and says what was confirmed; when and what again is the courier's business
//! (`core/courier.rs`), and so are batches, retries and logging. The one match over the kinds is here.

pub mod azure_monitor;
pub mod elasticsearch;
pub mod file;
pub mod http;
pub mod kafka;
mod partly;
pub mod relp;
pub mod splunk_hec;
pub mod stdout;
pub mod syslog;

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use futures_util::future::{BoxFuture, LocalBoxFuture};

use schemars::JsonSchema;
use url::Url;

use crate::core::courier::DeliverError;
use crate::format::Format;
use crate::identity::Credential;
use crate::model::event::Event;
use crate::model::names::{Seq, SinkName};
use crate::transport::handshake::proxy_to;
use crate::transport::proxy;
use crate::transport::secret::SecretSource;
use crate::transport::tls;

/// One event, or one part of it, as it is handed to a sink: where it stands, what it is, and its rendering.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its position in the outbox; parts of one event share it.
    pub seq: Seq,
    /// The event, for headers and keys.
    pub event: Event,
    /// The rendering in the sink's format: one record, without a trailing newline.
    pub body: Vec<u8>,
}

impl Outgoing {
    /// Whether this is the last part of its event; an event in one piece is.
    pub fn is_last(&self) -> bool {
        self.event.for_sink.part.as_ref().is_none_or(|part| part.number == part.of)
    }

    /// The position that counts once this is at the far side, and everything before it: that of its event, or the one before
    /// while parts of the event are missing.
    pub fn reaches(&self) -> Seq {
        if self.is_last() { self.seq } else { Seq(self.seq.0.saturating_sub(1)) }
    }
}

/// The position of the one event that all of these are parts of; none where there are several events.
pub(crate) fn only_event(batch: &[Outgoing]) -> Option<Seq> {
    let first = batch.first()?.seq;
    batch.iter().all(|outgoing| outgoing.seq == first).then_some(first)
}

/// A place that events go to.
pub trait Sink: Send {
    /// Sends these events, in this order, and answers up to where the far side has everything.
    ///
    /// `Ok(Some(seq))`: every event up to and including `seq` that was ever handed over is at the far side (an fsync, an
    /// HTTP 2xx, a connection that proved alive afterwards). It may lag behind what was sent; then the courier calls again
    /// later with an empty slice and asks how far it got. `Ok(None)`: nothing new is confirmed.
    ///
    /// `Err`: see [`DeliverError`]. After `Retry` and `Pause` the courier starts again behind the last acknowledged event, so
    /// the sink forgets what it had in the air; what it sends then may be a repetition, with the same `event_id`. After a
    /// refusal only this batch is sent again, without what was refused.
    ///
    /// Dropping the future (a shutdown) leaves the sink in a state in which the next call may fail but nothing that was
    /// not confirmed counts as confirmed.
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>>;

    /// Closes the sink in good order and answers as [`deliver`](Self::deliver) does with no events: what a clean close
    /// proves (a peer that read to the end) counts as confirmed. Called once, last.
    fn close<'a>(&'a mut self) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        self.deliver(&[])
    }
}

/// A setting to say something about: its key under `[sinks.NAME]`, and what would be right.
pub type Problem = (String, String);

pub(crate) fn problem(key: &str, why: impl Into<String>) -> Problem {
    (key.to_owned(), why.into())
}

/// Why a sink cannot be made of its configuration. Names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct OpenError {
    /// The cause and the remedy.
    pub why: String,
}

impl From<String> for OpenError {
    fn from(why: String) -> Self {
        Self { why }
    }
}

/// What the settings of one kind of sink tell about it. Asks nobody and opens nothing but in [`open`](Self::open).
pub trait Settings: Debug {
    /// Makes the sink. Nothing connects yet: a far side that is away never stops the daemon from starting.
    ///
    /// # Errors
    /// What only another configuration can cure: TLS files that cannot be read, a path that another sink writes.
    fn open(&self) -> Result<Box<dyn Sink>, OpenError>;

    /// What is wrong with the settings as far as they alone tell, all of it at once. No file is read and nothing connects.
    fn validate(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What works and may surprise, each with its key.
    fn warnings(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What is promised of delivery, in one sentence.
    fn guarantee(&self) -> &'static str;

    /// What the settings name outside of themselves.
    fn names(&self) -> Names<'_> {
        Names::default()
    }

    /// Where events go: the key that says so, and the same text for the same place. None: nowhere that two could share.
    fn destination(&self) -> Option<(&'static str, String)>;

    /// The host and port that a connection goes to, for whoever wants to know whether somebody listens. None for what has no
    /// connection.
    fn authority(&self) -> Option<String> {
        let url = self.names().urls.first()?.1;
        Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
    }

    /// The connections that can be tried, any one of which is enough. None for what has no connection.
    fn lines(&self) -> Vec<Line<'_>> {
        let names = self.names();
        let Some((_, url)) = names.urls.first() else { return Vec::new() };
        let tls = names.tls.filter(|_| url.scheme() == "https");
        let straight = self.authority().and_then(|authority| Line::straight(&authority, tls));
        straight
            .map(|line| Line { proxy: proxy_to(url, names.proxy, names.proxy_settings), ..line })
            .into_iter()
            .collect()
    }

    /// Asks the far side what changes nothing there, with the credential where the question takes one, and tells what was found:
    /// what it is about, and the words. For `xdrelay check`; only asked where a connection comes about.
    ///
    /// # Errors
    /// Events could not go there: the cause and the remedy, without a secret.
    fn probe(&self) -> LocalBoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// How long one call may take before it counts as hung: more than all timeouts of the sink itself.
    fn delivery_max(&self) -> Duration {
        Duration::from_secs(120)
    }

    /// Whether the far side confirms later than it takes, so that what is not confirmed at once is in the air. Otherwise what
    /// is not confirmed at once was not taken.
    fn settles(&self) -> bool {
        false
    }

    /// How many events, and how many bytes of them, are handed over in one call at most. A single larger event goes alone.
    fn batch_limit(&self) -> (usize, usize);

    /// Bytes of one rendered record that the far side takes; a larger event is reduced to that. None: no limit.
    fn record_limit(&self) -> Option<usize> {
        None
    }

    /// The format where the configuration names none.
    fn format_default(&self) -> Format {
        Format::Json
    }

    /// Whether the far side can do anything with records of this format.
    ///
    /// # Errors
    /// What it wants instead, as a fragment.
    fn takes(&self, _format: Format) -> Result<(), &'static str> {
        Ok(())
    }
}

/// What a probe found: what it is about, and the words for people.
pub type Found = (&'static str, String);

/// A connection that can be tried.
#[derive(Debug)]
pub struct Line<'a> {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS; none: plain TCP.
    pub tls: Option<&'a tls::Config>,
    /// The proxy in between.
    pub proxy: Option<Url>,
}

impl<'a> Line<'a> {
    /// Straight to `HOST:PORT`.
    pub(crate) fn straight(authority: &str, tls: Option<&'a tls::Config>) -> Option<Self> {
        let (host, port) = authority.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: port.parse().ok()?, tls, proxy: None })
    }
}

/// What settings name outside of themselves: to be checked by whoever reads files and knows what an address may look like.
/// The keys are those below `[sinks.NAME]`.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// `https://` or `http://` addresses.
    pub urls: Vec<(&'static str, &'a Url)>,
    /// A proxy.
    pub proxy: Option<&'a Url>,
    /// What goes with that proxy.
    pub proxy_settings: Option<&'a proxy::Settings>,
    /// TLS.
    pub tls: Option<&'a tls::Config>,
    /// Secrets by reference, with dots in their keys. Where there is one, no address may be in the clear.
    pub secrets: Vec<(String, &'a SecretSource)>,
    /// A sign-in at Entra under `credential`, and its `client_id`.
    pub credential: Option<(&'a Credential, Option<&'a str>)>,
    /// A file that is written.
    pub file: Option<(&'static str, &'a Path)>,
}

/// What `[sinks.NAME]` says, by its `kind`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Config {
    /// `kind = "file"`
    File(file::Config),
    /// `kind = "stdout"`
    Stdout(stdout::Config),
    /// `kind = "syslog"`
    Syslog(syslog::Config),
    /// `kind = "http"`
    Http(http::Config),
    /// `kind = "splunk_hec"`
    SplunkHec(splunk_hec::Config),
    /// `kind = "elasticsearch"`
    Elasticsearch(elasticsearch::Config),
    /// `kind = "relp"`
    Relp(relp::Config),
    /// `kind = "kafka"`
    Kafka(kafka::Config),
    /// `kind = "azure_monitor"`
    AzureMonitor(azure_monitor::Config),
}

impl Config {
    /// The values of `kind`, in the order of the documentation.
    pub const KINDS: &'static [&'static str] =
        &["file", "stdout", "syslog", "http", "splunk_hec", "elasticsearch", "relp", "kafka", "azure_monitor"];

    /// What the kind makes of its settings: the one match over the kinds.
    pub fn settings(&self) -> &dyn Settings {
        match self {
            Self::File(config) => config,
            Self::Stdout(config) => config,
            Self::Syslog(config) => config,
            Self::Http(config) => config,
            Self::SplunkHec(config) => config,
            Self::Elasticsearch(config) => config,
            Self::Relp(config) => config,
            Self::Kafka(config) => config,
            Self::AzureMonitor(config) => config,
        }
    }

    /// Makes the sink; see [`Settings::open`].
    ///
    /// # Errors
    /// Those of [`Settings::open`], and what [`Settings::validate`] finds.
    pub fn open(&self, name: &SinkName) -> Result<Box<dyn Sink>, OpenError> {
        if let Some((key, why)) = self.settings().validate().into_iter().next() {
            return Err(OpenError { why: format!("sinks.{name}.{key}: {why}") });
        }
        self.settings().open().map_err(|error| OpenError { why: format!("sink {name}: {error}") })
    }
}
