//! Events as documents of Elasticsearch or OpenSearch, through `_bulk`. An event counts when the answer says so of each of its
//! documents, and never because the request as a whole was answered. It makes no index, no mapping and no template.

pub mod auth;
mod bulk;
pub mod cloud_id;
mod index;
mod items;
mod probe;
pub mod sender;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::format::Format;
use crate::model::units::{Size, Span};
use crate::sink::elasticsearch::auth::Auth;
use crate::sink::elasticsearch::cloud_id::CloudId;
use crate::sink::elasticsearch::sender::Elasticsearch;
use crate::sink::{Found, Names, OpenError, Problem, Settings, Sink, http, problem};
use crate::transport::http::is_loopback;
use crate::transport::proxy;
use crate::transport::tls;

/// What is promised of delivery with `mode = "history"`.
pub(crate) const OF_HISTORY: &str = "at least once: an event counts when the bulk answer says of each of its documents that it \
     was created or was there already; what is sent again has the same _id, and a backing index keeps one document of it";
/// What is promised of delivery with `mode = "current"`.
pub(crate) const OF_CURRENT: &str = "at least once: an event counts when the bulk answer says of each of its documents that it \
     was written or that a newer revision is there; an incident is one document, and the newest revision stays whatever \
     comes after it";
/// `batch_events` at most.
const BATCH_EVENTS_MAX: u32 = 10_000;
/// `batch_size` at most: what a cluster takes in one request where nobody raised it (`http.max_content_length`).
const BATCH_SIZE_MAX: Size = Size(100_000_000);
/// Bytes of a record at most: with its action line it goes alone into the largest request.
const RECORD_SIZE_MAX: usize = 99_990_000;
/// `timeout` at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// The keys of a sink of kind `elasticsearch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["cloud_id"] }]))]
pub struct Config {
    /// The cluster, `https://` or `http://`, with the path of a proxy in front of it but without `_bulk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// Instead of `url`: the Cloud ID of a deployment in Elastic Cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_id: Option<CloudId>,
    /// The index, the alias or the data stream; `{tenant}` stands for the tenant's name.
    pub index: String,
    /// What a document is.
    #[serde(default)]
    pub mode: Mode,
    /// An ingest pipeline; left out: that of the index, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Documents in one request at most.
    #[serde(default = "batch_events_default")]
    pub batch_events: u32,
    /// Bytes of body in one request at most, before compression; a single larger document is sent alone.
    #[serde(default = "batch_size_default")]
    pub batch_size: Size,
    /// Compress bodies with gzip.
    #[serde(default = "gzip_default")]
    pub gzip: bool,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
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

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// An event: every revision stays. The default, because nothing is ever overwritten, data streams take nothing else, and
    /// the credential needs no right but that to add.
    #[default]
    History,
    /// An incident as it is now: a later revision takes the place of the one before.
    Current,
}

fn batch_events_default() -> u32 {
    500
}

fn batch_size_default() -> Size {
    Size::mebibytes(5)
}

/// Every Elasticsearch and every OpenSearch takes it.
fn gzip_default() -> bool {
    true
}

/// Longer than the minute that a cluster waits for a shard by itself, so that its answer is heard.
fn timeout_default() -> Span {
    Span::seconds(90)
}

impl Config {
    /// The key that says where the cluster is, and the address.
    fn address(&self) -> Option<(&'static str, &Url)> {
        let of_cloud = self.cloud_id.as_ref().map(|id| ("cloud_id", id.url()));
        self.url.as_ref().map(|url| ("url", url)).or(of_cloud)
    }

    /// Where requests go.
    fn endpoint(&self) -> Option<Url> {
        let (_, base) = self.address()?;
        let mut url = base.clone();
        url.path_segments_mut().ok()?.pop_if_empty().push("_bulk");
        if let Some(pipeline) = &self.pipeline {
            url.query_pairs_mut().append_pair("pipeline", pipeline);
        }
        Some(url)
    }

    fn address_problems(&self) -> Vec<Problem> {
        let mut problems = match (&self.url, &self.cloud_id) {
            (Some(_), Some(_)) => {
                vec![problem("cloud_id", "is one address too many beside `url`; take one of them out")]
            }
            (None, None) => vec![problem("url", "is missing; either `url` or `cloud_id` says where the cluster is")],
            (Some(_), None) | (None, Some(_)) => Vec::new(),
        };
        if let Some((_, url)) = self.address() {
            problems.extend(http::address_problems(url, &self.tls, self.proxy_url.as_ref()));
        }
        if let Some(url) = &self.url {
            if url.query().is_some() || url.fragment().is_some() {
                problems.push(problem("url", "ends after the path: what follows a `?` or `#` has keys of its own"));
            }
            if url.path_segments().into_iter().flatten().any(|part| part == "_bulk") {
                problems.push(problem("url", "ends before `_bulk`, which is added"));
            }
        }
        problems
    }
}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(Elasticsearch::open(self)?))
    }

    fn validate(&self) -> Vec<Problem> {
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
        let is_pipeline = |name: &String| !name.is_empty() && !name.contains(char::is_control);
        let pipeline = self.pipeline.as_ref().is_none_or(is_pipeline);
        check(pipeline, "pipeline", "is no name; leave it out for the index's own".into());
        if let Err(why) = index::check(&self.index) {
            problems.push(problem("index", why));
        }
        problems.extend(self.auth.iter().flat_map(Auth::problems));
        problems
    }

    fn warnings(&self) -> Vec<Problem> {
        let mut warnings = Vec::new();
        if let Some((key, url)) = self.address()
            && url.scheme() == "http"
            && !is_loopback(url)
        {
            let what = if self.auth.is_some() { "incidents and the credential" } else { "incidents" };
            warnings.push(problem(key, format!("{what} can be read and changed on their way: prefer https://")));
        }
        if self.mode == Mode::Current && index::is_data_stream_by_name(&self.index) {
            let why =
                "a cluster makes data streams of names like this, and those take nothing but `mode = \"history\"`";
            warnings.push(problem("index", why));
        }
        warnings
    }

    fn guarantee(&self) -> &'static str {
        match self.mode {
            Mode::History => OF_HISTORY,
            Mode::Current => OF_CURRENT,
        }
    }

    fn names(&self) -> Names<'_> {
        let secrets = self.auth.iter().map(Auth::secret).collect();
        let (urls, proxy) = (self.address().into_iter().collect(), self.proxy_url.as_ref());
        let proxy_settings = Some(&self.proxy);
        Names { urls, proxy, proxy_settings, tls: Some(&self.tls), secrets, ..Names::default() }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        let (_, url) = self.address()?;
        Some(("index", format!("{}/{}", url.as_str().trim_end_matches('/'), self.index)))
    }

    fn probe(&self) -> LocalBoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(probe::ask(self))
    }

    fn delivery_max(&self) -> Duration {
        self.timeout.0 * 2 + Duration::from_secs(60)
    }

    fn batch_limit(&self) -> (usize, usize) {
        (self.batch_events as usize, usize::try_from(self.batch_size.0).unwrap_or(usize::MAX))
    }

    fn record_limit(&self) -> Option<usize> {
        Some(RECORD_SIZE_MAX)
    }

    fn format_default(&self) -> Format {
        Format::Ecs
    }

    fn takes(&self, format: Format) -> Result<(), &'static str> {
        match format.is_json() {
            true => Ok(()),
            false => Err("a document is a JSON object: \"ecs\", \"ocsf\" or \"json\""),
        }
    }
}
