//! The way into the private parts of this module for `fuzz/`. Nothing else may use it, and it asks nobody.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use url::Url;

use crate::api::Settings;
use crate::api::answer::{Answer, Asked};
use crate::api::client::is_answered;
use crate::api::failure::Endpoint;
use crate::identity::Fingerprint;
use crate::identity::token::Token;
use crate::model::incident::Row;
use crate::model::page::{AlertsPage, FetchError, Page};
use crate::transport::proxy::Way;

/// What an answer to a list call says.
///
/// # Errors
/// As those of [`Client::list`](crate::api::client::Client::list).
pub fn page(
    settings: &Settings,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    token: &str,
) -> Result<Page, FetchError> {
    let answer = answer(settings.api_url.clone(), status, headers, body, token);
    let asked = Arc::clone(&answer.asked);
    let outcome = match is_answered(status, settings.dialect) {
        true => answer.page(settings),
        false => Err(answer.failure(Endpoint::List, settings.dialect)),
    };
    outcome.map_err(|error| asked.shown(error))
}

/// What an answer to a get call says.
///
/// # Errors
/// As those of [`Client::get`](crate::api::client::Client::get).
pub fn incident(
    settings: &Settings,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    token: &str,
) -> Result<Row, FetchError> {
    let answer = answer(settings.api_url.clone(), status, headers, body, token);
    let asked = Arc::clone(&answer.asked);
    let outcome = match is_answered(status, settings.dialect) {
        true => answer.incident(settings),
        false => Err(answer.failure(Endpoint::Get, settings.dialect)),
    };
    outcome.map_err(|error| asked.shown(error))
}

/// What an answer to a call for alerts says.
///
/// # Errors
/// As those of [`Client::alerts`](crate::api::client::Client::alerts).
pub fn alerts(
    settings: &Settings,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    token: &str,
) -> Result<AlertsPage, FetchError> {
    let answer = answer(settings.api_url.clone(), status, headers, body, token);
    let asked = Arc::clone(&answer.asked);
    let outcome = match is_answered(status, settings.dialect) {
        true => answer.alerts(settings),
        false => Err(answer.failure(Endpoint::Alerts, settings.dialect)),
    };
    outcome.map_err(|error| asked.shown(error))
}

fn answer(url: Url, status: StatusCode, headers: HeaderMap, body: Vec<u8>, token: &str) -> Answer {
    let now = Instant::now();
    let token = Token::new(SecretString::from(token), now, now, now, Fingerprint::of(b""));
    let asked = Arc::new(Asked { url, token, way: Way::Direct });
    Answer { status, headers, body, asked }
}
