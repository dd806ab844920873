//! Events by HTTP POST, one each or a batch. An event counts when its request was answered with 2xx. It follows no redirect
//! and repeats nothing.

pub(in crate::sink) mod answer;
pub(in crate::sink) mod body;
pub(in crate::sink) mod client;
pub(in crate::sink) mod credential;
pub mod sender;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{self, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::format::Format;
use crate::model::units::{Size, Span};
use crate::sink::http::sender::{Http, IDEMPOTENCY_KEY};
use crate::sink::{Names, OpenError, Problem, Settings, Sink, problem};
use crate::transport::http::is_loopback;
use crate::transport::proxy;
use crate::transport::secret::SecretSource;
use crate::transport::tls;

/// What is promised of delivery.
pub(crate) const GUARANTEE: &str = "at least once: an event counts when its request was answered with 2xx; where an answer \
     was lost, the same events are sent again with the same event_id, and at first as the same request with the same \
     Idempotency-Key";
/// Events in one call with `batch = "one"`, so that few are in the air when the daemon stops.
const SINGLES_MAX: usize = 16;
/// `batch_events` at most.
const BATCH_EVENTS_MAX: u32 = 100_000;
/// `batch_size` at most: it is in memory, and compressed beside that.
const BATCH_SIZE_MAX: Size = Size::mebibytes(256);
/// `timeout` at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Headers that are ours to set.
const OURS: [HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::EXPECT,
    header::UPGRADE,
    IDEMPOTENCY_KEY,
];
/// Headers that hold secrets, which do not belong into a configuration.
const SECRET: [HeaderName; 3] = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];

/// The keys of a sink of kind `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to post to, `https://` or `http://`.
    pub url: Url,
    /// What one request holds.
    #[serde(default)]
    pub batch: Batch,
    /// Events in one request at most.
    #[serde(default = "batch_events_default")]
    pub batch_events: u32,
    /// Bytes of body in one request at most, before compression; a single larger event is sent alone.
    #[serde(default = "batch_size_default")]
    pub batch_size: Size,
    /// Compress bodies with gzip.
    #[serde(default)]
    pub gzip: bool,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Further headers, none of them secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
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

/// What one request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// One event, as it is.
    One,
    /// A JSON array of events.
    Array,
    /// Events with a newline after each.
    #[default]
    Ndjson,
}

/// Who we are, the secret always by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "HttpAuth")]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer {
        /// The token.
        token: SecretSource,
    },
    /// `Authorization: Basic …`
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretSource,
    },
    /// A header of its own, such as `X-Api-Key`.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: SecretSource,
    },
}

fn batch_events_default() -> u32 {
    100
}

fn batch_size_default() -> Size {
    Size::mebibytes(4)
}

fn timeout_default() -> Span {
    Span::seconds(30)
}

impl Config {
    /// What is wrong with the settings as far as they alone tell.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.address_problems();
        let mut check = |is_right: bool, key: &str, why: String| {
            if !is_right {
                problems.push(problem(key, why));
            }
        };
        let events = self.batch_events;
        let events_max = format!("{events} is not between 1 and {BATCH_EVENTS_MAX}");
        check((1..=BATCH_EVENTS_MAX).contains(&events), "batch_events", events_max);
        let size_max = format!("{} is not between 1 B and {BATCH_SIZE_MAX}", self.batch_size);
        check((Size(1)..=BATCH_SIZE_MAX).contains(&self.batch_size), "batch_size", size_max);
        let time_max = format!("{} is not between 1ms and 1h", self.timeout);
        check((Duration::from_millis(1)..=TIMEOUT_MAX).contains(&self.timeout.0), "timeout", time_max);
        let is_whole = self.tls.certificate.is_some() == self.tls.private_key.is_some();
        check(is_whole, "tls", "a client certificate needs both `certificate` and `private_key`".into());
        for (name, value) in &self.headers {
            if let Err(why) = fixed_header(name, value) {
                problems.push(problem(&format!("headers.{name}"), why));
            }
        }
        problems.extend(self.auth.iter().flat_map(Auth::problems));
        problems
    }

    fn address_problems(&self) -> Vec<Problem> {
        address_problems(&self.url, &self.tls, self.proxy_url.as_ref())
    }

    /// What works and may surprise.
    pub fn warnings(&self) -> Vec<Problem> {
        let is_open = self.url.scheme() == "http" && !is_loopback(&self.url);
        let why = match self.auth {
            Some(_) => "incidents and the credential can be read and changed on their way: prefer https://",
            None => "incidents can be read and changed on their way: prefer https://",
        };
        is_open.then(|| problem("url", why)).into_iter().collect()
    }
}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(Http::open(self)?))
    }

    fn validate(&self) -> Vec<Problem> {
        Self::validate(self)
    }

    fn warnings(&self) -> Vec<Problem> {
        Self::warnings(self)
    }

    fn guarantee(&self) -> &'static str {
        GUARANTEE
    }

    fn names(&self) -> Names<'_> {
        let secrets = match &self.auth {
            None => Vec::new(),
            Some(Auth::Bearer { token }) => vec![("auth.token".to_owned(), token)],
            Some(Auth::Basic { password, .. }) => vec![("auth.password".to_owned(), password)],
            Some(Auth::Header { value, .. }) => vec![("auth.value".to_owned(), value)],
        };
        let (urls, proxy) = (vec![("url", &self.url)], self.proxy_url.as_ref());
        let proxy_settings = Some(&self.proxy);
        Names { urls, proxy, proxy_settings, tls: Some(&self.tls), secrets, ..Names::default() }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        Some(("url", self.url.to_string()))
    }

    fn delivery_max(&self) -> Duration {
        self.timeout.0 * 2 + Duration::from_secs(60)
    }

    /// One request, or a few single events.
    fn batch_limit(&self) -> (usize, usize) {
        let size = usize::try_from(self.batch_size.0).unwrap_or(usize::MAX);
        match self.batch {
            Batch::One => (SINGLES_MAX, size),
            Batch::Array | Batch::Ndjson => (self.batch_events as usize, size),
        }
    }

    fn takes(&self, format: Format) -> Result<(), &'static str> {
        match (self.batch, format.is_json()) {
            (Batch::Array, false) => Err("an array holds JSON: `batch = \"ndjson\"` sends one record a line"),
            (Batch::One | Batch::Array | Batch::Ndjson, _) => Ok(()),
        }
    }
}

impl Auth {
    /// What is wrong with it, each with its key.
    pub(in crate::sink) fn problems(&self) -> Vec<Problem> {
        let secret = |key: &str, source: &SecretSource| {
            let is_clear = source.file.is_some() != source.env.is_some();
            (!is_clear).then(|| problem(key, "needs either `file` or `env`"))
        };
        match self {
            Self::Bearer { token } => secret("auth.token", token).into_iter().collect(),
            Self::Basic { user, password } => {
                let is_user = !user.contains(':') && !user.contains(char::is_control);
                let wrong = (!is_user).then(|| problem("auth.user", "may hold no colon and no control character"));
                wrong.into_iter().chain(secret("auth.password", password)).collect()
            }
            Self::Header { name, value } => {
                let is_name = HeaderName::try_from(name).is_ok_and(|name| !OURS.contains(&name));
                let wrong = (!is_name).then(|| problem("auth.name", format!("{name:?} is no header that can be set")));
                wrong.into_iter().chain(secret("auth.value", value)).collect()
            }
        }
    }
}

/// What is wrong with `url`, `tls` and `proxy_url` of a sink that speaks HTTP.
pub(in crate::sink) fn address_problems(url: &Url, tls: &tls::Config, proxy: Option<&Url>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let scheme = url.scheme();
    if !matches!(scheme, "https" | "http") || url.host().is_none() {
        problems.push(problem("url", "is no https:// or http:// address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        problems.push(problem("url", "holds a user or a password; put them under `auth`, the secret by reference"));
    }
    if scheme == "http" && *tls != tls::Config::default() {
        problems.push(problem("tls", "is of no use with an http:// address; make it https://"));
    }
    let proxy = proxy.map(Url::scheme);
    if proxy.is_some_and(|scheme| !matches!(scheme, "http" | "https" | "socks5" | "socks5h")) {
        problems.push(problem("proxy_url", "is no http://, https://, socks5:// or socks5h:// address"));
    }
    problems
}

/// A header of the configuration.
fn fixed_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(name).map_err(|_| "is no name of a header".to_owned())?;
    if OURS.contains(&name) {
        return Err("is set by the sink itself".into());
    }
    if SECRET.contains(&name) {
        return Err("is a secret; put it under `auth`".into());
    }
    HeaderValue::try_from(value).map(|value| (name, value)).map_err(|_| "holds what no header can carry".into())
}
