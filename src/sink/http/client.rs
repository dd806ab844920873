//! The HTTP client of a sink.

use url::Url;

use crate::model::units::Span;
use crate::transport::http::{self, Options};
use crate::transport::{proxy, tls};

/// A client with what a sink is set to. `timeout` is for one call as a whole; with `loopback` it goes to this machine itself, past
/// every proxy.
///
/// # Errors
/// TLS files or the proxy cannot be used.
pub(in crate::sink) fn client(
    tls: &tls::Config,
    proxy_url: Option<&Url>,
    proxy: &proxy::Settings,
    timeout: Span,
    loopback: bool,
) -> Result<reqwest::Client, String> {
    let options = Options {
        tls: tls.clone(),
        extra_ca: None,
        proxy: proxy_url,
        proxy_settings: Some(proxy),
        timeout: timeout.0,
        loopback,
    };
    http::client(&options).map_err(|error| error.to_string())
}
