//! Events as records of a Kafka topic, one each. An event counts when all in-sync replicas of its partition have it. It creates
//! no topic and never settles for fewer acknowledgements.

mod broker;
mod cluster;
mod fault;
mod message;
mod partitioner;
mod producer;
mod record;
mod sasl;
mod wire;

use std::time::Duration;

use futures_util::future::{BoxFuture, LocalBoxFuture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::courier::DeliverError;
use crate::model::names::Seq;
use crate::model::units::{Size, Span};
use crate::sink::kafka::broker::{Manners, SignOn, is_host, is_loopback};
use crate::sink::kafka::cluster::Cluster;
use crate::sink::kafka::producer::{Form, Producer, TOPIC_LENGTH_MAX};
pub use crate::sink::kafka::record::Compression;
pub use crate::sink::kafka::sasl::Mechanism;
use crate::sink::{Found, Line, Names, OpenError, Outgoing, Problem, Settings, Sink, problem};
use crate::transport::blocking::Blocking;
use crate::transport::secret::SecretSource;
use crate::transport::tls;

/// What is promised of delivery.
const GUARANTEE: &str = "at least once: an event counts when all in-sync replicas of its partition have \
     acknowledged it; where an acknowledgement was lost, the same batch goes again under the same number, which a broker drops \
     when it has it, and only a restart of the daemon in between can repeat events, with the same event_id";
/// The same without numbers.
const GUARANTEE_UNNUMBERED: &str = "at least once: an event counts when all in-sync replicas of its partition have \
     acknowledged it; where an acknowledgement was lost, the same events are sent again with the same event_id";
/// Brokers named at most: one that answers is enough to find the others.
const BROKERS_MAX: usize = 100;
/// `batch_events` at most.
const BATCH_EVENTS_MAX: u32 = 100_000;
/// `batch_size` and `max_message_size` at most: what a broker takes in one request by default (`socket.request.max.bytes`) is 100
/// MiB.
const SIZE_MAX: Size = Size::mebibytes(64);
/// `max_message_size` at least, so that a summary of an incident fits.
const MESSAGE_SIZE_MIN: Size = Size(16 * 1024);
/// `timeout` at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Characters of a client id or a user at most.
const NAME_LENGTH_MAX: usize = 255;
/// What of a message is not the rendered event, with much to spare: the batch's head, lengths, key and headers.
const OVERHEAD: u64 = 4096;

/// The keys of a sink of kind `kafka`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Some of the brokers, `HOST:PORT` each; they tell about the others.
    #[schemars(length(min = 1, max = BROKERS_MAX))]
    pub brokers: Vec<String>,
    /// The topic; `{tenant}` in it becomes the tenant's name.
    pub topic: String,
    /// What we call ourselves in the brokers' logs and quotas.
    #[serde(default = "client_id_default")]
    pub client_id: String,
    /// How batches are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Bytes of a batch at most before compression, and so of a message: no more than `max.message.bytes` of the topic.
    #[serde(default = "max_message_size_default")]
    pub max_message_size: Size,
    /// Number batches, so that brokers drop what comes twice.
    #[serde(default = "yes")]
    pub idempotent: bool,
    /// Events in one round of requests at most.
    #[serde(default = "batch_events_default")]
    pub batch_events: u32,
    /// Bytes of events in one round of requests at most.
    #[serde(default = "batch_size_default")]
    pub batch_size: Size,
    /// How long a broker may take for an answer.
    #[serde(default = "timeout_default")]
    pub timeout: Span,
    /// Left out: no TLS. An empty table: TLS with the system's authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<tls::Config>,
    /// Left out: nobody in particular, or who the certificate of `tls` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

/// Who we are, the password by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretSource,
}

fn client_id_default() -> String {
    "xdrelay".into()
}

fn max_message_size_default() -> Size {
    Size::mebibytes(1)
}

const fn yes() -> bool {
    true
}

fn batch_events_default() -> u32 {
    500
}

fn batch_size_default() -> Size {
    Size::mebibytes(4)
}

fn timeout_default() -> Span {
    Span::seconds(30)
}

/// Host and port; an IPv6 address stands in brackets.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?,
        None => host,
    };
    (is_host(host) && host.contains(':') == text.starts_with('[')).then(|| (host.to_owned(), port))
}

/// A name in a request that is no secret and not empty.
fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

impl Config {
    fn addresses(&self) -> impl Iterator<Item = (String, u16)> {
        self.brokers.iter().filter_map(|broker| address(broker))
    }

    /// Whether what is sent can be read on its way: no TLS, and another machine.
    fn is_open(&self) -> bool {
        self.tls.is_none() && !self.addresses().all(|(host, _)| is_loopback(&host))
    }

    fn name_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(1..=BROKERS_MAX).contains(&self.brokers.len()) {
            problems.push(problem(
                "brokers",
                format!("names {} brokers, and 1 to {BROKERS_MAX} are right", self.brokers.len()),
            ));
        } else if self.addresses().count() < self.brokers.len() {
            problems.push(problem(
                "brokers",
                "holds something else than \"HOST:PORT\", such as \"kafka.example.net:9092\"",
            ));
        }
        let bare = self.topic.replace("{tenant}", "x");
        let is_topic = bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_topic || !(1..=TOPIC_LENGTH_MAX).contains(&bare.len()) || matches!(bare.as_str(), "." | "..") {
            problems.push(problem(
                "topic",
                "is no name of a topic: letters, digits, `.`, `_` and `-`, and `{tenant}` where its name belongs",
            ));
        }
        if !is_name(&self.client_id) {
            problems.push(problem(
                "client_id",
                format!("is empty, longer than {NAME_LENGTH_MAX} bytes or holds a control character"),
            ));
        }
        problems
    }

    fn limit_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |is_right: bool, key: &str, why: String| {
            if !is_right {
                problems.push(problem(key, why));
            }
        };
        let message = self.max_message_size;
        let message_limits = format!("{message} is not between {MESSAGE_SIZE_MIN} and {SIZE_MAX}");
        check((MESSAGE_SIZE_MIN..=SIZE_MAX).contains(&message), "max_message_size", message_limits);
        let events = self.batch_events;
        let event_limits = format!("{events} is not between 1 and {BATCH_EVENTS_MAX}");
        check((1..=BATCH_EVENTS_MAX).contains(&events), "batch_events", event_limits);
        let size_limits = format!("{} is not between 1 B and {SIZE_MAX}", self.batch_size);
        check((Size(1)..=SIZE_MAX).contains(&self.batch_size), "batch_size", size_limits);
        let time_limits = format!("{} is not between 100ms and 1h", self.timeout);
        check((Duration::from_millis(100)..=TIMEOUT_MAX).contains(&self.timeout.0), "timeout", time_limits);
        problems
    }

    fn trust_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let is_whole = self.tls.as_ref().is_none_or(|tls| tls.certificate.is_some() == tls.private_key.is_some());
        if !is_whole {
            problems.push(problem("tls", "a client certificate needs both `certificate` and `private_key`"));
        }
        let Some(sasl) = &self.sasl else { return problems };
        if !is_name(&sasl.user) {
            problems.push(problem(
                "sasl.user",
                format!("is empty, longer than {NAME_LENGTH_MAX} bytes or holds a control character"),
            ));
        }
        if sasl.password.file.is_some() == sasl.password.env.is_some() {
            problems.push(problem("sasl.password", "needs either `file` or `env`"));
        }
        if self.is_open() {
            let why = match sasl.mechanism {
                Mechanism::Plain => {
                    "the password would travel in the clear: add `tls = {}` and use the listener for TLS"
                }
                Mechanism::ScramSha256 | Mechanism::ScramSha512 => {
                    "who listens could guess the password at leisure: add `tls = {}` and use the listener for TLS"
                }
            };
            problems.push(problem("sasl", why));
        }
        problems
    }

    fn manners(&self) -> Manners {
        let sasl = self.sasl.as_ref().map(|sasl| SignOn {
            mechanism: sasl.mechanism,
            user: sasl.user.clone(),
            password: Blocking::new(sasl.password.clone(), self.timeout.0),
        });
        Manners { client_id: self.client_id.clone(), tls: self.tls.clone(), sasl, timeout: self.timeout.0 }
    }

    /// One call may take this long: connections, where things are, and a few rounds.
    fn call_max(&self) -> Duration {
        self.timeout.0 * 3 + Duration::from_secs(30)
    }
}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        if let Some(tls) = &self.tls {
            tls.client(None).map_err(|error| OpenError { why: error.to_string() })?;
        }
        let form = Form {
            topic: self.topic.clone(),
            compression: self.compression,
            size_max: usize::try_from(self.max_message_size.0).unwrap_or(usize::MAX),
            is_idempotent: self.idempotent,
        };
        let cluster = Cluster::new(self.manners(), self.addresses().collect());
        Ok(Box::new(Kafka { producer: Producer::new(cluster, form), call_max: self.call_max() }))
    }

    fn validate(&self) -> Vec<Problem> {
        [self.name_problems(), self.limit_problems(), self.trust_problems()].concat()
    }

    fn warnings(&self) -> Vec<Problem> {
        let why = "incidents can be read and changed on their way: add `tls = {}` and use the listener for TLS";
        (self.is_open() && self.sasl.is_none()).then(|| problem("tls", why)).into_iter().collect()
    }

    fn guarantee(&self) -> &'static str {
        if self.idempotent { GUARANTEE } else { GUARANTEE_UNNUMBERED }
    }

    fn names(&self) -> Names<'_> {
        let secrets = self.sasl.iter().map(|sasl| ("sasl.password".to_owned(), &sasl.password)).collect();
        Names { tls: self.tls.as_ref(), secrets, ..Names::default() }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        Some(("topic", format!("{}/{}", self.brokers.join(","), self.topic)))
    }

    fn authority(&self) -> Option<String> {
        self.brokers.first().cloned()
    }

    fn lines(&self) -> Vec<Line<'_>> {
        self.addresses().map(|(host, port)| Line { host, port, tls: self.tls.as_ref(), proxy: None }).collect()
    }

    /// Signs on to one broker and asks where the topic is.
    fn probe(&self) -> LocalBoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(async {
            let mut cluster = Cluster::new(self.manners(), self.addresses().collect());
            let is_one = !self.topic.contains("{tenant}");
            let topics = is_one.then(|| self.topic.clone()).into_iter().collect();
            cluster.learn(&topics).await.map_err(|fault| DeliverError::from(fault).to_string())?;
            let user =
                self.sasl.as_ref().map(|sasl| ("sign-on", format!("as {} by {}", sasl.user, sasl.mechanism.name())));
            let topic = match cluster.partitions(&self.topic) {
                Some(1) => format!("{} has 1 partition", self.topic),
                Some(count) => format!("{} has {count} partitions", self.topic),
                None => format!("{} stands for one topic a tenant: not looked for", self.topic),
            };
            let not_tried = ("not tried", "to write: a broker tells of that right with the first event".into());
            Ok(user.into_iter().chain([("topic", topic), not_tried]).collect())
        })
    }

    fn delivery_max(&self) -> Duration {
        self.call_max() + Duration::from_secs(30)
    }

    fn batch_limit(&self) -> (usize, usize) {
        (self.batch_events as usize, usize::try_from(self.batch_size.0).unwrap_or(usize::MAX))
    }

    fn record_limit(&self) -> Option<usize> {
        usize::try_from(self.max_message_size.0.saturating_sub(OVERHEAD)).ok()
    }
}

/// A sink of kind `kafka`.
struct Kafka {
    producer: Producer,
    call_max: Duration,
}

impl Sink for Kafka {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.producer.deliver(events, self.call_max))
    }
}
