//! Posts to HEC and reads what it answers. Decides nothing about events, and shows the token to nobody else.

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::core::courier::DeliverError;
use crate::model::units::Span;
use crate::sink::OpenError;
use crate::sink::http::answer::Answer;
use crate::sink::http::body::compress;
use crate::sink::http::client::client;
use crate::sink::http::credential::Credential;
use crate::sink::splunk_hec::Config;
use crate::sink::splunk_hec::ack::Question;
use crate::sink::splunk_hec::endpoint::Endpoints;
use crate::sink::splunk_hec::reply::Reply;
use crate::transport::blocking::Blocking;
use crate::transport::http::{causes, is_loopback};
use crate::transport::secret::SecretSource;

const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// The way to HEC.
#[derive(Debug)]
pub(super) struct Connection {
    /// Scheme, host and port.
    place: String,
    endpoints: Endpoints,
    client: reqwest::Client,
    /// The token and compression, beside the runtime.
    desk: Blocking<SecretSource>,
    /// Requests are numbered within it.
    channel: HeaderValue,
    gzip: bool,
    timeout: Span,
}

impl Connection {
    /// Reads the TLS files; connects nowhere.
    ///
    /// # Errors
    /// TLS files, the proxy or the url cannot be used.
    pub(super) fn open(config: &Config) -> Result<Self, OpenError> {
        Ok(Self {
            place: config.url.origin().ascii_serialization(),
            endpoints: Endpoints::of(&config.url).map_err(|why| OpenError { why: format!("url: {why}") })?,
            client: client(
                &config.tls,
                config.proxy_url.as_ref(),
                &config.proxy,
                config.timeout,
                is_loopback(&config.url),
            )?,
            desk: Blocking::new(config.token.clone(), config.timeout.0),
            channel: new_channel(),
            gzip: config.gzip,
            timeout: config.timeout,
        })
    }

    /// Scheme, host and port of the far side.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// From now on requests are numbered anew, and nothing that is said about former ones can be mistaken for them.
    pub(super) fn change_channel(&mut self) {
        self.channel = new_channel();
    }

    /// Sends events.
    ///
    /// # Errors
    /// There was no answer, or the token cannot be read.
    pub(super) async fn send(&self, body: Vec<u8>) -> Result<Reply, DeliverError> {
        self.post(&self.endpoints.event, body).await
    }

    /// Asks what is acknowledged.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub(super) async fn ask(&self, question: &Question) -> Result<Reply, DeliverError> {
        let body = serde_json::to_vec(question).expect("numbers go into memory without fail");
        self.post(&self.endpoints.ack, body).await
    }

    async fn post(&self, url: &Url, body: Vec<u8>) -> Result<Reply, DeliverError> {
        let (place, is_gzip) = (self.place.clone(), self.gzip);
        let prepared = self.desk.run(move |token| {
            let secret = token.read().map_err(|error| format!("the token of the sink cannot be used: {error}"))?;
            let credential = Credential::of(AUTHORIZATION, "Splunk ", secret.clone(), secret)?;
            Ok::<_, String>((credential, if is_gzip { compress(&body) } else { body }))
        });
        let (credential, body) = match prepared.await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(why)) => return Err(DeliverError::Pause { why }),
            Err(unfinished) => return Err(retry(format!("the request to {place} cannot be prepared: {unfinished}"))),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(&credential.name, credential.value.clone());
        headers.insert(CHANNEL, self.channel.clone());
        if is_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let hide = |text: String| credential.hide(&text);
        match self.client.post(url.clone()).headers(headers).body(body).send().await {
            Ok(response) => {
                let (answer, body) = Answer::read_with_body(place, response, hide).await;
                Ok(Reply::of(answer, &body))
            }
            Err(error) if error.is_timeout() => Err(retry(format!("{place} did not answer within {}", self.timeout))),
            Err(error) => Err(retry(format!("{place} cannot be reached: {}", hide(causes(&error.without_url()))))),
        }
    }
}

fn retry(why: String) -> DeliverError {
    DeliverError::Retry { why, after: None }
}

/// A random GUID (RFC 9562 section 5.4), which is what HEC wants for a channel.
fn new_channel() -> HeaderValue {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let guid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    HeaderValue::try_from(guid).expect("hex digits and dashes are a header's value")
}
