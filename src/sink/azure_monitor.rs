//! Rows for Microsoft Sentinel: Azure Monitor's Logs Ingestion API. A row counts when its request was answered with 2xx. It makes
//! neither tables nor rules, and never leaves it to Azure to cut a value off.

mod probe;
mod row;

use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, LocalBoxFuture};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::core::courier::{DeliverError, Refusal};
use crate::format::Format;
use crate::identity::token::{Token, Tokens};
use crate::identity::{self, Credential, TokenError, environment};
use crate::model::names::Seq;
use crate::model::units::{Size, Span};
use crate::sink::azure_monitor::row::{RECORD_SIZE_MAX, row};
use crate::sink::blocking::Blocking;
use crate::sink::http::answer::Answer;
use crate::sink::http::compress;
use crate::sink::partly::{Partly, reached};
use crate::sink::{Found, Names, OpenError, Outgoing, Problem, Settings, Sink, problem};
use crate::transport::blot::Blot;
use crate::transport::http::{Options, causes, client, is_loopback};
use crate::transport::proxy;
use crate::transport::proxy::Way;
use crate::transport::tls;

/// What is promised of delivery.
pub(crate) const GUARANTEE: &str = "at least once: a row counts when its request was answered with 2xx, from when on Azure has it; \
     Azure knows no key to deduplicate on, so what is sent again is there twice with the same EventId: query with summarize \
     arg_max(ObservedAt, *) by EventId";
/// The version of the API.
const API_VERSION: &str = "2023-01-01";
/// Bytes of one call at most, compressed and not (service limits, Logs Ingestion API: 1 MB; the API itself says 1,048,576).
const CALL_SIZE_MAX: Size = Size::mebibytes(1);
/// `batch_events` at most: more never fit into a call.
const BATCH_EVENTS_MAX: u32 = 10_000;
/// `timeout` at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// One delivery that makes several calls starts no further one after this time: what is answered counts.
const CALLS_TIME: Duration = Duration::from_secs(30);
/// What a sign-in takes at most: two tokens of 30 s each (`identity::token`).
const SIGN_IN_TIME: Duration = Duration::from_secs(60);

/// The keys of a sink of kind `azure_monitor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The logs ingestion endpoint of the data collection rule or of a data collection endpoint.
    pub endpoint: Url,
    /// The immutable id of the data collection rule: `dcr-` and 32 hex digits.
    pub dcr: String,
    /// The stream that the rule declares: `Custom-…`.
    pub stream: String,
    /// The directory of the app registration: a GUID, or a domain.
    pub tenant_id: String,
    /// The app registration, or the user-assigned managed identity, that has the role Monitoring Metrics Publisher on the rule;
    /// none: the host's own identity, or what the platform says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// How we prove who we are.
    pub credential: Credential,
    /// The sign-in, where it is not the one that goes with the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_url: Option<Url>,
    /// What the token is for, where it is not what goes with the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Rows in one call at most.
    #[serde(default = "batch_events_default")]
    pub batch_events: u32,
    /// Bytes of one call at most, before compression; a single larger row goes alone.
    #[serde(default = "batch_size_default")]
    pub batch_size: Size,
    /// Compress bodies with gzip.
    #[serde(default = "gzip_default")]
    pub gzip: bool,
    /// One call, from connecting to the last byte of the answer.
    #[serde(default = "timeout_default")]
    pub timeout: Span,
    /// A proxy, for the sign-in too; left out: the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Url>,
    /// What goes with the proxy.
    #[serde(default, skip_serializing_if = "proxy::Settings::is_default")]
    pub proxy: proxy::Settings,
    /// TLS, for the sign-in too.
    #[serde(default)]
    pub tls: tls::Config,
}

fn batch_events_default() -> u32 {
    500
}

fn batch_size_default() -> Size {
    Size(1_000_000)
}

fn gzip_default() -> bool {
    true
}

fn timeout_default() -> Span {
    Span::seconds(30)
}

/// The clouds: how an endpoint's host ends, where to sign in, and what for (Logs Ingestion API overview, "Token audience").
const CLOUDS: [(&str, &str, &str); 3] = [
    (".azure.com", "https://login.microsoftonline.com", "https://monitor.azure.com"),
    (".azure.us", "https://login.microsoftonline.us", "https://monitor.azure.us"),
    (".azure.cn", "https://login.partner.microsoftonline.cn", "https://monitor.azure.cn"),
];

impl Config {
    /// Where to sign in, and what for.
    fn sign_in(&self) -> (Url, String) {
        let host = self.endpoint.host_str().unwrap_or_default();
        let cloud = CLOUDS.iter().find(|(end, ..)| host.ends_with(end)).unwrap_or(&CLOUDS[0]);
        let login_url = self.login_url.clone().unwrap_or_else(|| Url::parse(cloud.1).expect("the URL of a cloud"));
        (login_url, self.audience.clone().unwrap_or_else(|| cloud.2.into()))
    }

    /// Where rows are posted to.
    fn url(&self) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(["dataCollectionRules", &self.dcr, "streams", &self.stream]);
        }
        url.query_pairs_mut().clear().append_pair("api-version", API_VERSION);
        url
    }

    fn problems(&self) -> Vec<Problem> {
        let hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let named = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let checks = [
            (
                matches!(self.endpoint.path(), "" | "/") && self.endpoint.query().is_none(),
                "endpoint",
                "ends with the host: what comes after it is added".into(),
            ),
            (
                self.dcr.strip_prefix("dcr-").is_some_and(hex),
                "dcr",
                "is not the immutable id of a data collection rule: dcr- and 32 hex digits, as `az monitor data-collection \
                 rule show --query immutableId` prints it; not the name of the rule"
                    .into(),
            ),
            (
                self.stream.strip_prefix("Custom-").is_some_and(|name| named(name, "-_")),
                "stream",
                "is not the name of a stream of our own: Custom- and what the rule has under streamDeclarations".into(),
            ),
            (named(&self.tenant_id, "-."), "tenant_id", "is neither a GUID nor a domain".into()),
            (
                self.client_id.as_deref().map_or(!self.credential.needs_client_id(), |id| named(id, "-")),
                "client_id",
                "is not a GUID: the Application (client) ID".into(),
            ),
            (
                self.audience.as_deref().is_none_or(|text| !text.is_empty() && !text.contains(char::is_whitespace)),
                "audience",
                "is empty or has blanks in it; such as \"https://monitor.azure.com\"".into(),
            ),
            (
                (1..=BATCH_EVENTS_MAX).contains(&self.batch_events),
                "batch_events",
                format!("is not from 1 to {BATCH_EVENTS_MAX}"),
            ),
            (
                (1..=CALL_SIZE_MAX.0).contains(&self.batch_size.0),
                "batch_size",
                format!("is not from 1 B to {CALL_SIZE_MAX}, which is what one call may hold"),
            ),
            (
                (Duration::from_secs(1)..=TIMEOUT_MAX).contains(&self.timeout.0),
                "timeout",
                format!("is not from 1s to {}", Span(TIMEOUT_MAX)),
            ),
        ];
        checks.into_iter().filter(|(is_right, ..)| !is_right).map(|(_, key, why)| problem(key, why)).collect()
    }
}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(AzureMonitor::open(self)?))
    }

    fn validate(&self) -> Vec<Problem> {
        self.problems()
    }

    fn guarantee(&self) -> &'static str {
        GUARANTEE
    }

    fn names(&self) -> Names<'_> {
        let login = self.login_url.iter().map(|url| ("login_url", url));
        let credential = Some((&self.credential, self.client_id.as_deref()));
        let urls = std::iter::once(("endpoint", &self.endpoint)).chain(login).collect();
        let (proxy, proxy_settings) = (self.proxy_url.as_ref(), Some(&self.proxy));
        Names { urls, proxy, proxy_settings, tls: Some(&self.tls), credential, ..Names::default() }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        Some(("stream", self.url().to_string()))
    }

    fn probe(&self) -> LocalBoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(probe::sign_in(self))
    }

    /// The last call may follow a rejected one, each with its own sign-in.
    fn delivery_max(&self) -> Duration {
        CALLS_TIME + self.timeout.0 * 3 + SIGN_IN_TIME * 2
    }

    fn batch_limit(&self) -> (usize, usize) {
        (self.batch_events as usize, usize::try_from(self.batch_size.0).unwrap_or(usize::MAX))
    }

    /// What is larger would not fit into the columns; in the call it may grow to twice its size by escaping.
    fn record_limit(&self) -> Option<usize> {
        Some(RECORD_SIZE_MAX)
    }

    fn takes(&self, format: Format) -> Result<(), &'static str> {
        match format.is_json() {
            true => Ok(()),
            false => Err(
                "a row is JSON: json, ecs or ocsf. For cef in CommonSecurityLog send syslog to an Azure Monitor Agent",
            ),
        }
    }
}

/// A sink of kind `azure_monitor`.
#[derive(Debug)]
pub struct AzureMonitor {
    config: Config,
    url: Url,
    http: reqwest::Client,
    way: Way,
    tokens: Tokens,
    /// Compression, beside the runtime.
    desk: Blocking<()>,
    partly: Partly,
}

/// The next call.
struct Call<'a> {
    body: Vec<u8>,
    /// The events in it.
    batch: &'a [Outgoing],
}

impl AzureMonitor {
    /// Reads the TLS files; connects nowhere.
    ///
    /// # Errors
    /// TLS files or the proxy cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let (login_url, audience) = config.sign_in();
        let options = |loopback| Options {
            tls: config.tls.clone(),
            extra_ca: None,
            proxy: config.proxy_url.as_ref(),
            proxy_settings: Some(&config.proxy),
            timeout: config.timeout.0,
            loopback,
        };
        let client = |loopback| client(&options(loopback)).map_err(|error| OpenError { why: error.to_string() });
        let http = client(is_loopback(&config.endpoint))?;
        let way = options(is_loopback(&config.endpoint)).way();
        let signs_in_here = is_loopback(&login_url) || config.credential.is_of_this_host();
        let (sign_in, way_to_sign_in) = (client(signs_in_here)?, options(signs_in_here).way());
        let settings = identity::Settings {
            tenant_id: config.tenant_id.clone(),
            client_id: config.credential.client_id(config.client_id.as_deref(), &environment),
            login_url,
            audience,
            credential: config.credential.clone(),
        };
        let tokens = Tokens::new(sign_in, settings).by(way_to_sign_in);
        let desk = Blocking::new((), config.timeout.0);
        Ok(Self { config: config.clone(), url: config.url(), http, way, tokens, desk, partly: Partly::default() })
    }

    /// Call after call, in order, for as long as [`CALLS_TIME`] lasts. A failure after a part of them leaves its telling to the
    /// next delivery, and so does what is left.
    async fn send_all(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let began = Instant::now();
        let mut rest = self.partly.rest(events);
        let mut answered = None;
        while !rest.is_empty() && (answered.is_none() || began.elapsed() < CALLS_TIME) {
            let sent = match self.next_call(rest) {
                Ok(Call { body, batch }) => self.send(body, batch).await.map(|()| batch.len()),
                Err(error) => Err(error),
            };
            match sent {
                Ok(count) => {
                    let (batch, later) = rest.split_at(count);
                    self.partly.taken(batch);
                    answered = reached(events, batch).or(answered);
                    rest = later;
                }
                Err(error) if answered.is_none() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(answered)
    }

    /// As many events as fit, at least one.
    fn next_call<'a>(&self, events: &'a [Outgoing]) -> Result<Call<'a>, DeliverError> {
        let mut body = vec![b'['];
        let mut count = 0;
        for event in events.iter().take(self.config.batch_events as usize) {
            let row = match fitting(event) {
                Ok(row) => row,
                Err(refusal) if count == 0 => return Err(DeliverError::Refused(vec![refusal])),
                Err(_) => break,
            };
            if 0 < count && self.config.batch_size.0 < (body.len() + row.len() + 2) as u64 {
                break;
            }
            if 0 < count {
                body.push(b',');
            }
            body.extend_from_slice(&row);
            count += 1;
        }
        body.push(b']');
        Ok(Call { body, batch: &events[..count] })
    }

    async fn send(&self, body: Vec<u8>, batch: &[Outgoing]) -> Result<(), DeliverError> {
        let body = match self.config.gzip {
            false => body,
            true => self.desk.run(move |()| compress(&body)).await.map_err(|unfinished| {
                let why = format!("the call to {} cannot be prepared: {unfinished}", self.place());
                DeliverError::Retry { why, after: None }
            })?,
        };
        let token = self.tokens.token().await.map_err(no_token)?;
        let answer = self.post(&token, body.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return verdict(&answer, batch);
        }
        // It may have been revoked before its time: one new one is worth a try.
        self.tokens.reject(&token);
        let token = self.tokens.token().await.map_err(no_token)?;
        let answer = self.post(&token, body).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.tokens.reject(&token);
        }
        verdict(&answer, batch)
    }

    async fn post(&self, token: &Token, body: Vec<u8>) -> Result<Answer, DeliverError> {
        let mut request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if self.config.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let blot = Blot::of(self.way.secrets(&self.url).iter().chain([token.secret()]));
        let hide = |text: String| blot.out(&text);
        match request.bearer_auth(token.secret().expose_secret()).body(body).send().await {
            Ok(response) => Ok(Answer::read(self.place(), response, hide).await),
            Err(error) if error.is_timeout() => {
                let why = format!("{} did not answer within {}", self.place(), self.config.timeout);
                Err(DeliverError::Retry { why, after: None })
            }
            Err(error) => {
                let why = format!("{} cannot be reached: {}", self.place(), causes(&error.without_url()));
                Err(DeliverError::Retry { why, after: None })
            }
        }
    }

    /// Scheme, host and port, for messages.
    fn place(&self) -> String {
        self.config.endpoint.origin().ascii_serialization()
    }
}

impl Sink for AzureMonitor {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.send_all(events))
    }
}

/// A row that one call can carry.
fn fitting(event: &Outgoing) -> Result<Vec<u8>, Refusal> {
    let refused = |why| Refusal { seq: event.seq, why };
    let row = row(event).map_err(refused)?;
    match row.len() as u64 + 2 <= CALL_SIZE_MAX.0 {
        true => Ok(row),
        false => Err(refused(format!("a row of {} B is more than one call may hold ({CALL_SIZE_MAX})", row.len()))),
    }
}

/// The sign-in's answer as the courier's decision.
fn no_token(error: TokenError) -> DeliverError {
    let why = error.to_string();
    match error {
        TokenError::Refused { .. } => DeliverError::Pause { why },
        TokenError::Unavailable { after, .. } | TokenError::Throttled { after, .. } => {
            DeliverError::Retry { why, after: Some(after) }
        }
    }
}

/// What an answer means: as for any receiver by HTTP, but for what has a remedy of Azure's own.
fn verdict(answer: &Answer, batch: &[Outgoing]) -> Result<(), DeliverError> {
    let pause = |remedy: &str| Err(DeliverError::Pause { why: format!("{}; {remedy}", answer.said()) });
    match answer.status.as_u16() {
        401 => pause("the token is not taken: check tenant_id, client_id, audience and login_url"),
        403 => pause(
            "give the application (client_id) the role Monitoring Metrics Publisher on the data collection rule and wait up to 30 \
             minutes; where it has the role, check that the endpoint belongs to the rule",
        ),
        404 => pause("there is no such rule or stream here: check endpoint, dcr and stream"),
        _ => answer.verdict(batch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(keys: &str) -> Config {
        let base = "endpoint = 'https://xdrelay-a1b2.westeurope-1.ingest.monitor.azure.com'\n\
                    dcr = 'dcr-00112233445566778899aabbccddeeff'\nstream = 'Custom-XdrIncidents'\n\
                    tenant_id = '11111111-2222-3333-4444-555555555555'\nclient_id = '66666666-7777-8888-9999-000000000000'\n\
                    credential = { kind = 'client_secret', env = 'SECRET' }";
        let mut table: toml::Table = base.parse().expect("TOML");
        table.extend(keys.parse::<toml::Table>().expect("TOML"));
        table.try_into().expect("a configuration")
    }

    #[test]
    fn the_cloud_follows_from_the_endpoint() {
        let check = |keys: &str, login: &str, audience: &str| {
            let (url, actual) = config(keys).sign_in();
            assert_eq!((url.as_str(), actual.as_str()), (login, audience), "{keys}");
        };
        check("", "https://login.microsoftonline.com/", "https://monitor.azure.com");
        check(
            "endpoint = 'https://x.usgovvirginia-1.ingest.monitor.azure.us'",
            "https://login.microsoftonline.us/",
            "https://monitor.azure.us",
        );
        check(
            "endpoint = 'https://x.chinaeast2-1.ingest.monitor.azure.cn'",
            "https://login.partner.microsoftonline.cn/",
            "https://monitor.azure.cn",
        );
        check(
            "endpoint = 'https://gateway.example.net'",
            "https://login.microsoftonline.com/",
            "https://monitor.azure.com",
        );
        check("login_url = 'https://sign.in'\naudience = 'https://a/'", "https://sign.in/", "https://a/");
    }

    #[test]
    fn rows_are_posted_to_the_stream_of_the_rule() {
        let url = "https://xdrelay-a1b2.westeurope-1.ingest.monitor.azure.com/dataCollectionRules/\
                   dcr-00112233445566778899aabbccddeeff/streams/Custom-XdrIncidents?api-version=2023-01-01";
        assert_eq!(config("").url().as_str(), url);
        assert_eq!(config("").destination(), Some(("stream", url.into())));
    }

    #[test]
    fn every_wrong_setting_is_named() {
        let check = |keys: &str, expected: &[&str]| {
            let problems = config(keys).validate();
            assert_eq!(problems.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), expected, "{keys}");
        };
        check("", &[]);
        check("tenant_id = 'contoso.example'\nbatch_size = '1 MiB'\ngzip = false", &[]);
        check("endpoint = 'https://x.ingest.monitor.azure.com/dataCollectionRules/dcr-1'", &["endpoint"]);
        check("dcr = 'dcr-incidents'", &["dcr"]);
        check("dcr = '/subscriptions/0/resourceGroups/x/providers/Microsoft.Insights/dataCollectionRules/y'", &["dcr"]);
        check("stream = 'XdrIncidents_CL'", &["stream"]);
        check("stream = 'Microsoft-CommonSecurityLog'", &["stream"]);
        check("stream = 'Custom-a/b'", &["stream"]);
        check("tenant_id = ''\nclient_id = 'a b'\naudience = ''", &["tenant_id", "client_id", "audience"]);
        check("batch_events = 0\nbatch_size = '2 MiB'\ntimeout = '2h'", &["batch_events", "batch_size", "timeout"]);
    }

    #[test]
    fn the_secret_is_named_and_nothing_is_in_the_clear() {
        let config = config("login_url = 'https://sign.in'");
        let names = config.names();
        assert_eq!(names.urls.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["endpoint", "login_url"]);
        assert_eq!(names.credential, Some((&config.credential, config.client_id.as_deref())));
    }

    #[test]
    fn rows_are_json() {
        let is_taken = |format: &&Format| config("").takes(**format).is_ok();
        assert_eq!(
            Format::ALL.iter().filter(is_taken).collect::<Vec<_>>(),
            [&Format::Json, &Format::Ecs, &Format::Ocsf]
        );
    }
}
