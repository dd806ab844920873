//! The HTTP client: one way to make one. It follows no redirect and repeats nothing by itself, because every call of the
//! source is counted before it leaves, and a redirect would carry the token to a stranger.

use std::path::Path;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, LOCATION, RETRY_AFTER};
use rustls_pki_types::ServerName;
use url::Url;

use crate::model::timestamp::Timestamp;
use crate::transport::proxy::{self, ProxyError, Way};
use crate::transport::proxy_tls;
use crate::transport::tls::{self, TlsError};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an idle connection is kept for the next call.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// No server sends us away for longer than this, whatever it says.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a client needs to know beside the URL of each call.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// TLS.
    pub tls: tls::Config,
    /// An authority trusted beside the others, such as that of a proxy in between.
    pub extra_ca: Option<&'a Path>,
    /// A proxy (`http://`, `https://`, `socks5://`); left out: `HTTPS_PROXY`, `NO_PROXY` and their like count.
    pub proxy: Option<&'a Url>,
    /// What goes with that proxy.
    pub proxy_settings: Option<&'a proxy::Settings>,
    /// The whole call, from connecting to the last byte of the body.
    pub timeout: Duration,
    /// The calls go to this machine itself: no proxy, whatever the environment says.
    pub loopback: bool,
}

impl Options<'_> {
    /// The way that the calls go.
    pub fn way(&self) -> Way {
        match self.loopback {
            true => Way::Direct,
            false => Way::new(self.proxy, self.proxy_settings),
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The rest.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// A client that connects, asks once and answers.
///
/// # Errors
/// See [`HttpError`].
pub fn client(options: &Options<'_>) -> Result<reqwest::Client, HttpError> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_of(options)?)
        .user_agent(concat!("xdrelay/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_MAX)
        .timeout(options.timeout);
    let builder = match options.proxy {
        _ if options.loopback => builder.no_proxy(),
        Some(url) => {
            let settings = options.proxy_settings.cloned().unwrap_or_default();
            builder.proxy(settings.route(url)?)
        }
        None => builder,
    };
    builder.build().map_err(|error| HttpError::Client(causes(&error)))
}

/// TLS to the far side, and to an `https://` proxy that needs its own.
fn tls_of(options: &Options<'_>) -> Result<rustls::ClientConfig, HttpError> {
    let mut client = options.tls.client(options.extra_ca)?;
    let secured = options.proxy.filter(|url| url.scheme() == "https" && !options.loopback).and_then(Url::host_str);
    if let (Some(host), Some(settings)) = (secured, options.proxy_settings) {
        let host = host.trim_matches(['[', ']']).to_owned();
        let host = ServerName::try_from(host).map_err(|_| ProxyError::Url)?;
        let (far, own) = (options.tls.roots(options.extra_ca)?, options.tls.own()?);
        proxy_tls::add(&mut client, far, own, &settings.tls, host)?;
    }
    Ok(client)
}

/// Whether a URL is of this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An error with all its causes, which is where reqwest and hyper say what happened. URLs are left out: a query may hold
/// what is nobody's business. Where a proxy is the reason, what to do about it stands behind them.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    match proxy::remedy(&text) {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    }
}

/// Why there is no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is, or says that it is, larger than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// It broke off, or the time was up.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// The bytes of a body as they came over the wire, whole and at most `size_max` of them.
///
/// # Errors
/// See [`BodyError`]. A body shorter than its `Content-Length`, or without its last chunk, is broken.
pub async fn body(mut response: reqwest::Response, size_max: u64) -> Result<Vec<u8>, BodyError> {
    if response.content_length().is_some_and(|length| size_max < length) {
        return Err(BodyError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::Broken(call_causes(error)))? {
        if size_max < (bytes.len() + chunk.len()) as u64 {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// [`causes`] of a failed call, without its URL.
pub fn call_causes(error: reqwest::Error) -> String {
    causes(&error.without_url())
}

/// The server's time: the `Date` header (RFC 9110 section 6.6.1), whole seconds.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let seconds = header_date(headers.get(DATE)?)?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(Timestamp::from_seconds(seconds))
}

/// How long to stay away: `Retry-After` (RFC 9110 section 10.2.3) in seconds, or as a date less the `Date` of the same
/// answer, so that no clock of ours takes part. At most [`RETRY_AFTER_MAX`]; what is negative or no number is none.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    let wait = match value.to_str().ok()?.trim().parse::<f64>() {
        Ok(seconds) if 0.0 <= seconds => Duration::from_secs_f64(seconds.min(RETRY_AFTER_MAX.as_secs_f64()).ceil()),
        Ok(_) => return None,
        Err(_) => header_date(value)?.duration_since(header_date(headers.get(DATE)?)?).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn header_date(value: &http::HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

/// Where a redirect points, scheme and host only: for a message, because none is followed.
pub fn redirect_target(headers: &HeaderMap, asked: &Url) -> Option<String> {
    let target = asked.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    Some(format!("{}://{}", target.scheme(), target.host_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| ((*name).parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn retry_after_is_read_in_every_spelling_and_has_a_limit() {
        let check = |value: &str, seconds: Option<u64>| {
            let headers = headers(&[("retry-after", value), ("date", "Sat, 21 Nov 2026 10:00:00 GMT")]);
            assert_eq!(retry_after(&headers), seconds.map(Duration::from_secs), "{value}");
        };
        check("0", Some(0));
        check("8", Some(8));
        check(" 8 ", Some(8));
        check("1.5", Some(2));
        check("1000000000", Some(3600));
        check("1e99", Some(3600));
        check("-5", None);
        check("NaN", None);
        check("soon", None);
        check("", None);
        check("Sat, 21 Nov 2026 10:00:30 GMT", Some(30));
        check("Saturday, 21-Nov-26 10:00:30 GMT", Some(30));
        check("Sat, 21 Nov 2026 09:59:00 GMT", Some(0));
        check("Sat, 21 Nov 2099 09:59:00 GMT", Some(3600));
        assert_eq!(
            retry_after(&headers(&[("retry-after", "Sat, 21 Nov 2026 10:00:30 GMT")])),
            None,
            "no Date beside it"
        );
        assert_eq!(retry_after(&headers(&[])), None);
    }

    #[test]
    fn the_date_of_an_answer_is_read_to_the_second() {
        let check = |value: &str, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse::<Timestamp>().expect("a time"));
            assert_eq!(date(&headers(&[("date", value)])), expected, "{value}");
        };
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some("1994-11-06T08:49:37Z"));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some("1994-11-06T08:49:37Z"));
        check("Sun Nov  6 08:49:37 1994", Some("1994-11-06T08:49:37Z"));
        check("yesterday", None);
        check("Thu, 01 Jan 1900 00:00:00 GMT", None);
        assert_eq!(date(&headers(&[])), None);
    }

    #[test]
    fn a_redirect_is_named_by_scheme_and_host_only() {
        let asked = Url::parse("https://api.example.net/api/incidents?a=b").expect("a URL");
        let check = |location: &str, expected: Option<&str>| {
            assert_eq!(redirect_target(&headers(&[("location", location)]), &asked).as_deref(), expected, "{location}");
        };
        check("https://u:p@login.example.org/x?token=1", Some("https://login.example.org"));
        check("/elsewhere", Some("https://api.example.net"));
        check("//other.example", Some("https://other.example"));
        check("http://[", None);
    }
}
