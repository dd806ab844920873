//! Events as RFC 5424 messages over UDP, TCP, TLS or a Unix socket.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::core::courier::DeliverError;
use crate::model::names::Seq;
use crate::model::units::{Size, Span};
use crate::sink::{Outgoing, Problem, Sink};
use crate::transport::tls;

/// The keys of a sink of kind `syslog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `udp://host:port`, `tcp://host:port`, `tls://host:port` or `unix:///path`. Ports: 514, and 6514 for TLS.
    pub address: String,
    /// How messages are told apart on a stream.
    #[serde(default)]
    pub framing: Framing,
    /// The longest message the receiver takes, header included. Left out: 64 KiB on a stream, 8 KiB over UDP. A longer one is
    /// refused, never cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_size: Option<Size>,
    /// The facility by name or number.
    #[serde(default = "facility_default")]
    pub facility: String,
    /// APP-NAME, 48 printable ASCII characters at most.
    #[serde(default = "app_name_default")]
    pub app_name: String,
    /// HOSTNAME, 255 printable ASCII characters at most; left out: this host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Begin MSG with the byte order mark that RFC 5424 section 6.4 asks of UTF-8; many receivers stumble over it.
    #[serde(default)]
    pub bom: bool,
    /// A stream has no acknowledgement: events count as delivered when their connection has been alive this long after
    /// them, and are sent again where it broke before.
    #[serde(default = "settle_default")]
    pub settle: Span,
    /// TLS, for `tls://`.
    #[serde(default)]
    pub tls: tls::Config,
}

/// How messages are told apart on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// `LENGTH SP MESSAGE` (RFC 6587 section 3.4.1; the only one RFC 5425 knows).
    #[default]
    OctetCounting,
    /// A newline after each (RFC 6587 section 3.4.2).
    Newline,
}

fn facility_default() -> String {
    "local0".into()
}

fn app_name_default() -> String {
    "xdrelay".into()
}

fn settle_default() -> Span {
    Span::seconds(10)
}

/// Stands in until the sink is merged: it opens nothing.
#[derive(Debug)]
pub struct Syslog;

impl Config {
    /// What is wrong with the settings as far as they alone tell.
    pub fn validate(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What is promised of delivery.
    pub fn guarantee(&self) -> &'static str {
        "none yet"
    }

    /// What works and may surprise.
    pub fn warnings(&self) -> Vec<Problem> {
        Vec::new()
    }
}

impl Syslog {
    /// Opens nothing.
    ///
    /// # Errors
    /// Always.
    pub fn open(_config: &Config) -> Result<Self, String> {
        Err("syslog is not there yet".into())
    }
}

impl Sink for Syslog {
    fn deliver<'a>(&'a mut self, _events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
