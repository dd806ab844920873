//! Events as RFC 5424 messages over RELP, TCP or TLS: each message is answered by the receiver. Never cuts a message, and
//! takes nothing for delivered that was not answered with 200.
//!
//! An event counts when each of its messages was answered with 200. What a broken session left unanswered is sent again,
//! with the same `event_id`; what was answered behind it is remembered and not sent again. A message that the receiver
//! rejects is sent again twice, with pauses and while the others go on: some reject what they cannot store at the moment.
//! Then its event is refused for good.

mod frame;
mod session;
mod verdicts;

use std::time::Duration;

use futures_util::future::{BoxFuture, LocalBoxFuture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::courier::{DeliverError, Refusal};
use crate::format::syslog::priority::Facility;
use crate::format::syslog::{APP_NAME_LENGTH_MAX, HOSTNAME_LENGTH_MAX, Header, Origin, message};
use crate::model::names::Seq;
use crate::model::units::{Size, Span};
use crate::sink::relp::session::{Limits, Session};
use crate::sink::relp::verdicts::Verdicts;
use crate::sink::syslog::{
    HEADER_SIZE, MESSAGE_SIZE_MIN, app_name_default, facility_default, is_this_host, name_problem, origin,
};
use crate::sink::{Found, Line, Names, OpenError, Outgoing, Problem, Settings, Sink, problem};
use crate::transport::address::Address;
use crate::transport::stream::Target;
use crate::transport::tls;

/// The port where the address names none: that of librelp. None is assigned.
const PORT: u16 = 20514;
/// The longest message where the configuration names none: what the specification and librelp take.
const MESSAGE_SIZE: Size = Size(128 * 1024);
/// A frame's length has nine digits, and a message is held in memory.
const MESSAGE_SIZE_MAX: Size = Size::mebibytes(64);
/// Messages without an answer where the configuration says nothing: librelp's number.
const WINDOW: u32 = 128;
const WINDOW_MAX: u32 = 10_000;
const TIMEOUT: Span = Span::seconds(30);
const TIMEOUT_MIN: Span = Span::seconds(1);
const TIMEOUT_MAX: Span = Span::seconds(600);
/// Events and bytes in one call: several windows, so that the receiver does not wait for us between two calls.
const BATCH_LIMIT: (usize, usize) = (1000, 4 << 20);

/// The keys of a sink of kind `relp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `tcp://host:port` or `tls://host:port`. Port left out: 20514.
    pub address: String,
    /// The longest message the receiver takes, header included: what RELP calls data. A larger event is reduced.
    #[serde(default = "max_message_size_default")]
    pub max_message_size: Size,
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
    /// Messages without an answer at most.
    #[serde(default = "window_default")]
    pub window: u32,
    /// A receiver that answers nothing for so long is gone: what it has not answered is sent again.
    #[serde(default = "timeout_default")]
    pub timeout: Span,
    /// TLS, for `tls://`.
    #[serde(default)]
    pub tls: tls::Config,
}

fn max_message_size_default() -> Size {
    MESSAGE_SIZE
}

fn window_default() -> u32 {
    WINDOW
}

fn timeout_default() -> Span {
    TIMEOUT
}

impl Config {
    fn place(&self) -> Result<(String, u16, bool), String> {
        match Address::stream(&self.address, PORT)? {
            Address::Stream { host, port, is_tls } => Ok((host, port, is_tls)),
            Address::Udp { .. } | Address::Unix(_) => Err("is no stream".into()),
        }
    }

    /// Scheme, host and port, and nothing else.
    fn normal_address(&self) -> Option<(&'static str, String)> {
        let (host, port, is_tls) = self.place().ok()?;
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_ascii_lowercase() };
        Some((if is_tls { "tls" } else { "tcp" }, format!("{host}:{port}")))
    }
}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(Relp::open(self)?))
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |key: &str, why: Option<String>| problems.extend(why.map(|why| problem(key, why)));
        match self.place() {
            Err(why) => check("address", Some(why)),
            Ok((_, _, is_tls)) => {
                let is_idle = !is_tls && self.tls != tls::Config::default();
                check("address", is_idle.then(|| "must begin with tls:// for what `tls` says".to_owned()));
            }
        }
        let size = self.max_message_size;
        let sizes = || format!("must be from {MESSAGE_SIZE_MIN} to {MESSAGE_SIZE_MAX}");
        check("max_message_size", (!(MESSAGE_SIZE_MIN..=MESSAGE_SIZE_MAX).contains(&size)).then(sizes));
        check("facility", self.facility.parse::<Facility>().err());
        check("app_name", name_problem(&self.app_name, APP_NAME_LENGTH_MAX));
        check("hostname", self.hostname.as_ref().and_then(|name| name_problem(name, HOSTNAME_LENGTH_MAX)));
        let windows = || format!("must be from 1 to {WINDOW_MAX}");
        check("window", (!(1..=WINDOW_MAX).contains(&self.window)).then(windows));
        let times = || format!("must be from {TIMEOUT_MIN} to {TIMEOUT_MAX}");
        check("timeout", (!(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&self.timeout)).then(times));
        problems
    }

    fn warnings(&self) -> Vec<Problem> {
        match self.place() {
            Ok((host, _, false)) if !is_this_host(&host) => {
                vec![problem("address", "incidents can be read and changed on their way: prefer tls://")]
            }
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn guarantee(&self) -> &'static str {
        "at least once: an event counts when the receiver answered its message with 200; where an answer was lost, the \
         event is sent again with the same event_id"
    }

    fn names(&self) -> Names<'_> {
        Names { tls: Some(&self.tls), ..Names::default() }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        let (scheme, authority) = self.normal_address()?;
        Some(("address", format!("{scheme}://{authority}")))
    }

    fn authority(&self) -> Option<String> {
        self.normal_address().map(|(_, authority)| authority)
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let Ok((host, port, is_tls)) = self.place() else { return Vec::new() };
        vec![Line { host, port, tls: is_tls.then_some(&self.tls), proxy: None }]
    }

    /// A session that is opened and closed.
    fn probe(&self) -> LocalBoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(async {
            let mut relp = Relp::open(self)?;
            let session = relp.session().await.map_err(|error| error.to_string())?;
            session.close().await;
            Ok(vec![("session", "it speaks RELP and takes syslog messages".into())])
        })
    }

    /// Connecting and signing on, sending for `timeout`, and waiting that long for the last answers.
    fn delivery_max(&self) -> Duration {
        self.timeout.0 * 3 + Duration::from_secs(60)
    }

    fn batch_limit(&self) -> (usize, usize) {
        BATCH_LIMIT
    }

    fn record_limit(&self) -> Option<usize> {
        let size = self.max_message_size.0;
        Some(usize::try_from(size.saturating_sub(HEADER_SIZE).max(size / 2)).unwrap_or(usize::MAX))
    }
}

/// A sink of kind `relp`.
pub struct Relp {
    host: String,
    port: u16,
    /// None: plain TCP.
    tls: Option<tls::Config>,
    message_bytes_max: u64,
    origin: Origin,
    limits: Limits,
    /// None while a call is under way: one that is dropped takes its session along, whatever state that was in.
    session: Option<Session>,
    verdicts: Verdicts,
}

impl Relp {
    /// Takes the configuration and connects to nothing yet.
    ///
    /// # Errors
    /// The first problem that [`Settings::validate`] knows, or a TLS file that cannot be used.
    pub fn open(config: &Config) -> Result<Self, String> {
        if let Some((key, problem)) = config.validate().into_iter().next() {
            return Err(format!("{key}: {problem}"));
        }
        let (host, port, is_tls) = config.place()?;
        if is_tls {
            // They are read again for each connection; here only to say what is wrong with them.
            config.tls.client(None).map_err(|error| format!("tls: {error}"))?;
        }
        let window = usize::try_from(config.window).map_err(|error| error.to_string())?;
        Ok(Self {
            host,
            port,
            tls: is_tls.then(|| config.tls.clone()),
            message_bytes_max: config.max_message_size.0,
            origin: origin(&config.facility, config.hostname.as_deref(), &config.app_name, config.bom)?,
            limits: Limits { window, timeout: config.timeout.0 },
            session: None,
            verdicts: Verdicts::default(),
        })
    }

    async fn send(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let Some(first) = events.first() else { return Ok(None) };
        self.verdicts.forget_before(first.seq);
        let unsent: Vec<&Outgoing> = events.iter().filter(|event| !self.verdicts.has(event)).collect();
        let messages = self.messages(&unsent)?;
        let carried = self.carry(&unsent, &messages).await;
        match (self.verdicts.reached(events), carried) {
            // What is at the far side counts. What is wrong behind it, the next call finds and says.
            (Some(seq), _) => Ok(Some(seq)),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(self.verdicts.of_rejected(events)),
        }
    }

    /// The messages of these events, or those that cannot be sent: all of them, and before any byte leaves.
    fn messages(&self, events: &[&Outgoing]) -> Result<Vec<Vec<u8>>, DeliverError> {
        let mut messages = Vec::with_capacity(events.len());
        let mut refusals: Vec<Refusal> = Vec::new();
        for event in events {
            let message = message(&Header::of(&event.event, &self.origin), &event.body);
            let (size, size_max) = (message.len() as u64, self.message_bytes_max);
            if size <= size_max {
                messages.push(message);
            } else if refusals.last().is_none_or(|last| last.seq != event.seq) {
                let why = format!("its message has {size} B, and `max_message_size` is {size_max} B");
                refusals.push(Refusal { seq: event.seq, why });
            }
        }
        if refusals.is_empty() { Ok(messages) } else { Err(DeliverError::Refused(refusals)) }
    }

    /// Sends these messages over the session that is open, or a new one, and notes what is said of each.
    async fn carry(&mut self, events: &[&Outgoing], messages: &[Vec<u8>]) -> Result<(), DeliverError> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut session = self.session().await?;
        let verdicts = &mut self.verdicts;
        session.carry(messages, |index, answer| verdicts.note(events[index], &answer)).await?;
        self.session = Some(session);
        Ok(())
    }

    /// The session that is open, where it is alive, or a new one.
    async fn session(&mut self) -> Result<Session, DeliverError> {
        if let Some(mut session) = self.session.take()
            && session.is_alive().await
        {
            return Ok(session);
        }
        let (host, port, tls) = (self.host.as_str(), self.port, self.tls.as_ref());
        Session::open(Target { host, port, tls, dead_after: self.limits.timeout }, self.limits).await
    }

    async fn hang_up(&mut self) -> Result<Option<Seq>, DeliverError> {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
        Ok(None)
    }
}

impl Sink for Relp {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.send(events))
    }

    /// Signs off within 6 s. Nothing is in the air between two calls.
    fn close<'a>(&'a mut self) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.hang_up())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        toml::from_str(toml).expect("the keys of a RELP sink")
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let check = |toml: &str, expected: &[&str]| {
            let problems = config(toml).validate();
            let problems: Vec<_> = problems.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
            assert_eq!(problems, expected, "{toml}");
        };
        check("address = 'tls://siem.example.net'\ntls = { ca_file = 'a' }", &[]);
        check("address = 'tcp://h:1'\nwindow = 1\ntimeout = '1s'\nmax_message_size = '480 B'", &[]);
        check("address = 'udp://h'", &["address: \"udp://h\" is none of tcp://HOST:PORT, tls://HOST:PORT"]);
        check(
            "address = 'tcp://h'\nmax_message_size = '65 MiB'\napp_name = ''\nhostname = 'a b'\nwindow = 0\n\
             timeout = '11m'\ntls = { ca_file = 'a' }",
            &[
                "address: must begin with tls:// for what `tls` says",
                "max_message_size: must be from 480 B to 64 MiB",
                "app_name: must be 1 to 48 printable ASCII characters without spaces",
                "hostname: must be 1 to 255 printable ASCII characters without spaces",
                "window: must be from 1 to 10000",
                "timeout: must be from 1s to 10m",
            ],
        );
        assert!(config("address = 'tls://h'\nfacility = 'local8'").validate()[0].1.starts_with("\"local8\" is no"));
    }

    #[test]
    fn the_same_place_has_the_same_name() {
        let check = |address: &str, destination: &str, authority: &str, is_warned: bool| {
            let config = config(&format!("address = '{address}'"));
            assert_eq!(config.destination(), Some(("address", destination.to_owned())));
            assert_eq!(config.authority().as_deref(), Some(authority));
            assert_eq!(!config.warnings().is_empty(), is_warned, "{address}");
        };
        check("tls://Siem.example.net", "tls://siem.example.net:20514", "siem.example.net:20514", false);
        check("tls://siem.example.net:20514/", "tls://siem.example.net:20514", "siem.example.net:20514", false);
        check("tcp://siem.example.net:1", "tcp://siem.example.net:1", "siem.example.net:1", true);
        check("tcp://[::1]", "tcp://[::1]:20514", "[::1]:20514", false);
    }

    #[test]
    fn opening_reads_the_files_and_connects_to_nothing() {
        let open = |toml: &str| Relp::open(&config(toml)).err().unwrap_or_default();
        assert_eq!(open("address = 'tcp://nowhere.invalid'"), "");
        assert!(open("address = 'tls://h'\ntls = { ca_file = '/nowhere.pem' }").starts_with("tls: /nowhere.pem: "));
        assert!(open("address = 'h'").starts_with("address: "));
    }

    #[test]
    fn a_record_leaves_room_for_its_header() {
        let limit = |toml: &str| config(toml).record_limit();
        assert_eq!(limit("address = 'tcp://h'"), Some(128 * 1024 - 600));
        assert_eq!(limit("address = 'tcp://h'\nmax_message_size = '480 B'"), Some(240));
    }
}
