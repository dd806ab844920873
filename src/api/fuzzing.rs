//! The way into the private parts of this module for `fuzz/`. Nothing else may use it, and it asks nobody.

use std::time::Instant;

use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use url::Url;

use crate::api::Settings;
use crate::api::answer::{Answer, Endpoint};
use crate::identity::Fingerprint;
use crate::identity::token::Token;
use crate::model::incident::Row;
use crate::model::page::{FetchError, Page};

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
    match status {
        StatusCode::OK => answer.page(settings),
        _ => Err(answer.failure(Endpoint::List, settings.dialect)),
    }
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
    match status {
        StatusCode::OK => answer.incident(settings),
        _ => Err(answer.failure(Endpoint::Get, settings.dialect)),
    }
}

fn answer(url: Url, status: StatusCode, headers: HeaderMap, body: Vec<u8>, token: &str) -> Answer {
    let now = Instant::now();
    let token = Token::new(SecretString::from(token), now, now, now, Fingerprint::of(b""));
    Answer { status, headers, body, url, token }
}
