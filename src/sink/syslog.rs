//! Events as RFC 5424 messages over UDP, TCP, TLS or a Unix socket. Never cuts a message and never takes written for
//! received.
//!
//! No syslog transport here has an acknowledgement. A datagram counts as delivered when it was sent: best effort. On a
//! stream an event counts as delivered
//! - when its connection was alive `settle` after the event's last byte had left this machine: a peer whose kernel takes
//!   nothing for two thirds of that time, or whose host is silent, ends the connection before; or
//! - when the peer closed cleanly after our own close, which it does only when it has read everything.
//!
//! Any other end of a connection makes everything that does not count yet be sent again, with the same `event_id`. What
//! remains: a receiver that dies later than `settle` with messages still in its kernel's buffer or its own memory takes
//! them with it. So `settle` must be longer than a message waits in the receiver's memory; where that is not enough, a
//! receiver that acknowledges is needed.

pub mod sender;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::courier::DeliverError;
use crate::format::syslog::priority::Facility;
use crate::format::syslog::{APP_NAME_LENGTH_MAX, HOSTNAME_LENGTH_MAX, Origin, is_name};
use crate::model::units::{Size, Span};
use crate::sink::syslog::sender::Syslog;
use crate::sink::{Found, Line, Names, OpenError, Problem, Settings, Sink};
use crate::transport::address::Address;
use crate::transport::datagram::UDP_PAYLOAD_BYTES_MAX;
use crate::transport::stream::StreamError;
use crate::transport::tls;

/// The longest message on a stream where the configuration names none: rsyslog loses its place in a stream above 200,000.
const STREAM_MESSAGE_SIZE: Size = Size(192 * 1024);
/// The longest message in a datagram where the configuration names none.
const DATAGRAM_MESSAGE_SIZE: Size = Size(8 * 1024);
/// Every receiver takes this much (RFC 5424 section 6.1), so a lower limit is a mistake.
pub(in crate::sink) const MESSAGE_SIZE_MIN: Size = Size(480);
/// Bounds of `settle`: the kernel's timers below it count in seconds.
const SETTLE_MIN: Span = Span::seconds(1);
const SETTLE_MAX: Span = Span::seconds(600);

/// The keys of a sink of kind `syslog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `udp://host:port`, `tcp://host:port`, `tls://host:port` or `unix:///path`. Ports: 514, and 6514 for TLS.
    pub address: String,
    /// How messages are told apart on a stream.
    #[serde(default)]
    pub framing: Framing,
    /// The longest message the receiver takes, header included. Left out: 192 KiB on a stream, 8 KiB in a
    /// datagram. A larger event is reduced to it, never cut.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// `LENGTH SP MESSAGE` (RFC 6587 section 3.4.1; the only one RFC 5425 knows).
    #[default]
    OctetCounting,
    /// A newline after each (RFC 6587 section 3.4.2).
    Newline,
}

pub(in crate::sink) fn facility_default() -> String {
    "local0".into()
}

pub(in crate::sink) fn app_name_default() -> String {
    "xdrelay".into()
}

/// What our messages have in common; HOSTNAME is this host's where the configuration names none.
pub(in crate::sink) fn origin(
    facility: &str,
    hostname: Option<&str>,
    app_name: &str,
    bom: bool,
) -> Result<Origin, String> {
    let this_host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Origin {
        facility: facility.parse()?,
        hostname: hostname.map_or_else(this_host, str::to_owned),
        app_name: app_name.to_owned(),
        procid: std::process::id().to_string(),
        bom,
    })
}

fn settle_default() -> Span {
    Span::seconds(10)
}

impl Config {
    /// What is wrong with the keys, each with its name and what would be right. Empty: nothing.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut check = |key: &str, problem: Option<String>| problems.extend(problem.map(|why| (key.to_owned(), why)));
        match self.address.parse() {
            Err(why) => check("address", Some(why)),
            Ok(Address::Stream { is_tls, .. }) => check("tls", self.tls_problem(is_tls)),
            Ok(address @ (Address::Udp { .. } | Address::Unix(_))) => {
                let is_udp = matches!(address, Address::Udp { .. });
                let is_over = self.max_message_size.is_some_and(|size| UDP_PAYLOAD_BYTES_MAX < size.0);
                let over = || format!("a UDP datagram holds {UDP_PAYLOAD_BYTES_MAX} B at most");
                check("max_message_size", (is_udp && is_over).then(over));
                let framed = || "a datagram needs no framing: leave the key out".to_owned();
                check("framing", (self.framing != Framing::default()).then(framed));
                check("tls", self.tls_problem(false));
            }
        }
        let is_under = self.max_message_size.is_some_and(|size| size < MESSAGE_SIZE_MIN);
        check("max_message_size", is_under.then(|| format!("must be {MESSAGE_SIZE_MIN} or more")));
        check("facility", self.facility.parse::<Facility>().err());
        check("app_name", name_problem(&self.app_name, APP_NAME_LENGTH_MAX));
        check("hostname", self.hostname.as_ref().and_then(|name| name_problem(name, HOSTNAME_LENGTH_MAX)));
        let is_settled = (SETTLE_MIN..=SETTLE_MAX).contains(&self.settle);
        check("settle", (!is_settled).then(|| format!("must be from {SETTLE_MIN} to {SETTLE_MAX}")));
        problems
    }

    fn tls_problem(&self, is_tls: bool) -> Option<String> {
        let is_half = self.tls.certificate.is_some() != self.tls.private_key.is_some();
        match is_tls {
            true => is_half.then(|| tls::TlsError::Half.to_string()),
            false => (self.tls != tls::Config::default()).then(|| "is for an address with tls://".to_owned()),
        }
    }

    /// What works and may surprise, each with the name of its key.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let (key, warning) = match (self.address.parse(), self.framing) {
            (Ok(Address::Stream { is_tls: true, .. }), Framing::Newline) => {
                ("framing", "RFC 5425 knows octet counting only: a receiver may misread newlines over TLS")
            }
            (Ok(Address::Stream { is_tls: false, host, .. } | Address::Udp { host, .. }), _)
                if !is_this_host(&host) =>
            {
                ("address", "incidents can be read and changed on their way: prefer tls://")
            }
            (Ok(Address::Stream { .. } | Address::Udp { .. } | Address::Unix(_)) | Err(_), _) => return Vec::new(),
        };
        vec![(key.to_owned(), warning.to_owned())]
    }

    /// The host and port of a stream; a datagram knows no connection.
    pub fn authority(&self) -> Option<String> {
        let (stream, port) = match self.address.split_once("://")? {
            ("tcp", rest) => (rest, 514),
            ("tls", rest) => (rest, 6514),
            (_, _) => return None,
        };
        let has_port = stream.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Some(if has_port { stream.to_owned() } else { format!("{stream}:{port}") })
    }

    /// Whether what a receiver takes is confirmed later: on a stream, when its connection has outlived it.
    pub fn settles(&self) -> bool {
        self.address.starts_with("tcp://") || self.address.starts_with("tls://")
    }

    /// What this sink promises, for people; the head of the file says it precisely.
    pub fn guarantee(&self) -> &'static str {
        match self.address.parse() {
            Ok(Address::Udp { .. }) => "best effort: a datagram counts as delivered when it was sent",
            Ok(Address::Unix(_)) => "best effort: a datagram counts as delivered when the socket took it",
            Ok(Address::Stream { .. }) | Err(_) => {
                "at least once up to the receiver's memory: an event counts as delivered when its connection was alive \
                 for `settle` after it, and is sent again where the connection broke before; a receiver that dies later \
                 with the event still in memory loses it"
            }
        }
    }
}

/// Events and bytes in one call: what is in the air when a connection breaks is sent again.
const BATCH_LIMIT: (usize, usize) = (100, 1 << 20);
/// Bytes that a header may take of a message, the byte order mark among them; a longer one is refused with its event.
pub(in crate::sink) const HEADER_SIZE: u64 = 600;

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(Syslog::open(self)?))
    }

    fn validate(&self) -> Vec<Problem> {
        Self::validate(self)
    }

    fn warnings(&self) -> Vec<Problem> {
        Self::warnings(self)
    }

    fn guarantee(&self) -> &'static str {
        Self::guarantee(self)
    }

    fn names(&self) -> Names<'_> {
        Names { tls: Some(&self.tls), ..Names::default() }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        Some(("address", self.address.to_ascii_lowercase()))
    }

    fn authority(&self) -> Option<String> {
        Self::authority(self)
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let is_tls = self.address.starts_with("tls://");
        self.authority().and_then(|to| Line::straight(&to, is_tls.then_some(&self.tls))).into_iter().collect()
    }

    fn probe(&self) -> LocalBoxFuture<'_, Result<Vec<Found>, String>> {
        let is_udp = matches!(self.address.parse(), Ok(Address::Udp { .. }));
        let words = "a datagram: nobody answers one, so it is not known whether anybody listens";
        Box::pin(std::future::ready(Ok(is_udp.then(|| ("not tried", words.to_owned())).into_iter().collect())))
    }

    fn settles(&self) -> bool {
        Self::settles(self)
    }

    fn batch_limit(&self) -> (usize, usize) {
        BATCH_LIMIT
    }

    fn record_limit(&self) -> Option<usize> {
        let size =
            self.max_message_size.unwrap_or(if self.settles() { STREAM_MESSAGE_SIZE } else { DATAGRAM_MESSAGE_SIZE });
        let room = size.0.saturating_sub(HEADER_SIZE).max(size.0 / 2);
        Some(usize::try_from(room).unwrap_or(usize::MAX))
    }
}

/// Whether what goes there stays on this machine.
pub(in crate::sink) fn is_this_host(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(in crate::sink) fn name_problem(name: &str, length_max: usize) -> Option<String> {
    (!is_name(name, length_max)).then(|| format!("must be 1 to {length_max} printable ASCII characters without spaces"))
}

pub(in crate::sink) fn retry(why: String) -> DeliverError {
    DeliverError::Retry { why, after: None }
}

pub(in crate::sink) fn failure(error: StreamError) -> DeliverError {
    match error {
        StreamError::Broken(why) => retry(why),
        StreamError::Untrusted(why) => DeliverError::Pause { why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let config: Config = toml::from_str(toml).expect("the keys of a syslog sink");
        config.validate().into_iter().map(|(key, why)| format!("{key}: {why}")).collect()
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let check = |toml: &str, expected: &[&str]| assert_eq!(problems(toml), expected, "{toml}");
        check("address = 'tls://siem.example.net'", &[]);
        check("address = 'tcp://siem.example.net'\nframing = 'newline'\nmax_message_size = '8 MiB'", &[]);
        check("address = 'unix:///dev/log'\nhostname = 'here'\nsettle = '1s'", &[]);
        check(
            "address = 'udp://h'\nframing = 'newline'\nmax_message_size = '64 KiB'\ntls = { ca_file = 'a' }",
            &[
                "max_message_size: a UDP datagram holds 65507 B at most",
                "framing: a datagram needs no framing: leave the key out",
                "tls: is for an address with tls://",
            ],
        );
        check(
            "address = 'tls://h'\nmax_message_size = '479 B'\napp_name = ''\nhostname = 'a b'\nsettle = '11m'\n\
             tls = { certificate = 'a' }",
            &[
                "tls: a client certificate needs both `certificate` and `private_key`",
                "max_message_size: must be 480 B or more",
                "app_name: must be 1 to 48 printable ASCII characters without spaces",
                "hostname: must be 1 to 255 printable ASCII characters without spaces",
                "settle: must be from 1s to 10m",
            ],
        );
        assert!(problems("address = 'h:514'")[0].starts_with("address: \"h:514\" is none of udp://"));
        assert!(problems("address = 'tls://h'\nfacility = 'local8'")[0].starts_with("facility: \"local8\" is no"));
    }

    #[test]
    fn a_sink_says_what_it_promises_and_what_may_surprise() {
        let check = |toml: &str, promise: &str, warned: Option<&str>| {
            let config: Config = toml::from_str(toml).expect("the keys of a syslog sink");
            assert!(config.guarantee().starts_with(promise), "{toml}");
            assert_eq!(config.warnings().first().map(|(key, _)| key.as_str()), warned, "{toml}");
        };
        check("address = 'udp://h'", "best effort", Some("address"));
        check("address = 'unix:///dev/log'", "best effort", None);
        check("address = 'tcp://h'", "at least once", Some("address"));
        check("address = 'tls://h'", "at least once", None);
        check("address = 'tls://h'\nframing = 'newline'", "at least once", Some("framing"));
    }
}
