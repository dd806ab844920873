//! The HTTP client of a sink.

use url::Url;

use crate::model::units::Span;
use crate::transport::http::{self, Options};
use crate::transport::proxy::Way;
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
    http::client(&options(tls, proxy_url, proxy, timeout, loopback)).map_err(|error| error.to_string())
}

/// The way that such a client takes, for whoever hides the secrets of it.
pub(in crate::sink) fn way(proxy_url: Option<&Url>, proxy: &proxy::Settings, loopback: bool) -> Way {
    options(&tls::Config::default(), proxy_url, proxy, Span::seconds(1), loopback).way()
}

fn options<'a>(
    tls: &tls::Config,
    proxy_url: Option<&'a Url>,
    proxy: &'a proxy::Settings,
    timeout: Span,
    loopback: bool,
) -> Options<'a> {
    Options {
        tls: tls.clone(),
        extra_ca: None,
        proxy: proxy_url,
        proxy_settings: Some(proxy),
        timeout: timeout.0,
        loopback,
    }
}
