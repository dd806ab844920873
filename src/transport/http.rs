//! The HTTP client: one way to make one. It follows no redirect and repeats nothing by itself, because every call of the
//! source is counted before it leaves, and a redirect would carry the token to a stranger.

use std::path::Path;
use std::time::Duration;

use url::Url;

use crate::transport::tls::{self, TlsError};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an idle connection is kept for the next call.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// What a client needs to know beside the URL of each call.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// TLS.
    pub tls: tls::Config,
    /// An authority trusted beside the others, such as that of a proxy in between.
    pub extra_ca: Option<&'a Path>,
    /// A proxy (`http://`, `https://`, `socks5://`); left out: `HTTPS_PROXY`, `NO_PROXY` and their like count.
    pub proxy: Option<&'a Url>,
    /// The whole call, from connecting to the last byte of the body.
    pub timeout: Duration,
    /// The calls go to this machine itself: no proxy, whatever the environment says.
    pub loopback: bool,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The proxy or the rest.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// A client that connects, asks once and answers.
///
/// # Errors
/// See [`HttpError`].
pub fn client(options: &Options<'_>) -> Result<reqwest::Client, HttpError> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(options.tls.client(options.extra_ca)?)
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
            builder.proxy(reqwest::Proxy::all(url.clone()).map_err(|error| HttpError::Client(causes(&error)))?)
        }
        None => builder,
    };
    builder.build().map_err(|error| HttpError::Client(causes(&error)))
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
/// what is nobody's business.
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
    text
}
