//! The far sides: one file each. A sink sends and says what was confirmed; when and what again is the courier's business
//! (`core/courier.rs`), and so are batches, retries and logging. The one match over the kinds is here.

mod blocking;
pub mod file;
pub mod http;
pub mod stdout;
pub mod syslog;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::core::courier::DeliverError;
use crate::model::event::Event;
use crate::model::names::{Seq, SinkName};

/// One event as it is handed to a sink: where it stands, what it is, and its rendering.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its position in the outbox.
    pub seq: Seq,
    /// The event, for headers and keys.
    pub event: Event,
    /// The rendering in the sink's format: one record, without a trailing newline.
    pub body: Vec<u8>,
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

/// Events and bytes in one call of the syslog sink: what is in the air when a connection breaks is sent again.
const SYSLOG_BATCH_LIMIT: (usize, usize) = (100, 1 << 20);

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

/// What `[sinks.NAME]` says, by its `kind`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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
}

impl Config {
    /// The values of `kind`, in the order of the documentation.
    pub const KINDS: &'static [&'static str] = &["file", "stdout", "syslog", "http"];

    /// The value of `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
            Self::Syslog(_) => "syslog",
            Self::Http(_) => "http",
        }
    }

    /// Makes the sink. Nothing connects yet: a far side that is away never stops the daemon from starting.
    ///
    /// # Errors
    /// What only another configuration can cure: TLS files that cannot be read, a path that another sink writes. What
    /// [`validate`](Self::validate) finds is among it.
    pub fn open(&self, name: &SinkName) -> Result<Box<dyn Sink>, OpenError> {
        if let Some((key, why)) = self.validate().into_iter().next() {
            return Err(OpenError { why: format!("sinks.{name}.{key}: {why}") });
        }
        let named = |error: OpenError| OpenError { why: format!("sink {name}: {error}") };
        Ok(match self {
            Self::File(config) => Box::new(file::File::open(config).map_err(named)?),
            Self::Stdout(config) => Box::new(stdout::Stdout::open(config)),
            Self::Syslog(config) => Box::new(syslog::Syslog::open(config).map_err(|error| named(error.into()))?),
            Self::Http(config) => Box::new(http::Http::open(config).map_err(named)?),
        })
    }

    /// What is wrong with the settings as far as they alone tell, all of it at once. No file is read and nothing connects.
    pub fn validate(&self) -> Vec<Problem> {
        match self {
            Self::File(config) => config.validate(),
            Self::Stdout(_) => Vec::new(),
            Self::Syslog(config) => config.validate(),
            Self::Http(config) => config.validate(),
        }
    }

    /// What works and may surprise, each with its key.
    pub fn warnings(&self) -> Vec<Problem> {
        match self {
            Self::File(_) | Self::Stdout(_) => Vec::new(),
            Self::Syslog(config) => config.warnings(),
            Self::Http(config) => config.warnings(),
        }
    }

    /// What is promised of delivery, in one sentence.
    pub fn guarantee(&self) -> &'static str {
        match self {
            Self::File(_) => file::GUARANTEE,
            Self::Stdout(_) => stdout::GUARANTEE,
            Self::Syslog(config) => config.guarantee(),
            Self::Http(_) => http::GUARANTEE,
        }
    }

    /// The host and port that a connection goes to, for whoever wants to know whether somebody listens. None for what has no
    /// connection.
    pub fn authority(&self) -> Option<String> {
        match self {
            Self::File(_) | Self::Stdout(_) => None,
            Self::Syslog(config) => config.authority(),
            Self::Http(config) => {
                let (host, port) = (config.url.host_str()?, config.url.port_or_known_default()?);
                Some(format!("{host}:{port}"))
            }
        }
    }

    /// How long one call may take before it counts as hung: more than all timeouts of the sink itself.
    pub fn delivery_max(&self) -> Duration {
        let own = match self {
            Self::File(_) | Self::Stdout(_) | Self::Syslog(_) => Duration::from_secs(60),
            Self::Http(config) => config.timeout.0 * 2,
        };
        own + Duration::from_secs(60)
    }

    /// Whether the far side confirms later than it takes, so that what is not confirmed at once is in the air. Otherwise what
    /// is not confirmed at once was not taken.
    pub fn settles(&self) -> bool {
        match self {
            Self::File(_) | Self::Stdout(_) | Self::Http(_) => false,
            Self::Syslog(config) => config.settles(),
        }
    }

    /// How many events, and how many bytes of them, are handed over in one call at most. A single larger event goes alone.
    pub fn batch_limit(&self) -> (usize, usize) {
        match self {
            Self::File(_) => file::BATCH_LIMIT,
            Self::Stdout(_) => stdout::BATCH_LIMIT,
            Self::Syslog(_) => SYSLOG_BATCH_LIMIT,
            Self::Http(config) => config.batch_limit(),
        }
    }
}
