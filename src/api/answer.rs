//! One answer of the API: status, headers and body, and what they mean. Pure but for the time it takes; asks nobody.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::api::body::{Encoding, Text, decoded};
use crate::api::{Dialect, Settings, defender};
use crate::identity::token::Token;
use crate::model::hash::ContentHash;
use crate::model::incident::{Head, Row};
use crate::model::page::{FetchError, Page, excerpt, split};
use crate::transport::http::{RETRY_AFTER_MAX, blotted, date, redirect_target, retry_after};

/// Bytes of an error's body at most: they are only for people.
pub(crate) const ERROR_SIZE_MAX: u64 = 64 * 1024;

/// Rows of a page at most, a hundred times what the API is asked for: a row takes memory even where it is one byte long.
const ROWS_MAX: usize = 10_000;

/// An answer with its whole body as it came over the wire.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What was asked.
    pub(crate) url: Url,
    /// What it was asked with: for what it permits, and so that no echo of it is shown.
    pub(crate) token: Token,
}

impl Answer {
    /// A page of the list API.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(crate) fn page(self, settings: &Settings) -> Result<Page, FetchError> {
        let date = date(&self.headers);
        let token = self.token.clone();
        let text = self.json(settings)?;
        let rows = split(text.json()).map_err(|error| shown(error, &text, &token))?;
        if ROWS_MAX < rows.len() {
            return Err(FetchError::Garbled {
                why: format!("it holds {} rows, far more than were asked for", rows.len()),
            });
        }
        Ok(Page { rows: read(&rows, &text, settings.max_incident_size), date })
    }

    /// The incident of the get API, which comes bare.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(crate) fn incident(self, settings: &Settings) -> Result<Row, FetchError> {
        #[derive(Deserialize)]
        struct Bare<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        let token = self.token.clone();
        let text = self.json(settings)?;
        let fail = |why: String| shown(FetchError::Garbled { why }, &text, &token);
        let raw: &RawValue = serde_json::from_str(text.json()).map_err(|error| fail(excerpt(&error.to_string())))?;
        let bare: Bare<'_> = serde_json::from_str(raw.get()).map_err(|error| fail(excerpt(&error.to_string())))?;
        if let Some(error) = bare.error {
            return Err(fail(format!("it holds an error object: {}", excerpt(error.get()))));
        }
        let row = row(raw, &text, settings.max_incident_size);
        match &row.head {
            Head::Odd { id: None, why } => Err(fail(format!("it is no incident: {why}"))),
            Head::Usual(_) | Head::Odd { id: Some(_), .. } => Ok(row),
        }
    }

    /// The text of a 200, if it is JSON.
    fn json(self, settings: &Settings) -> Result<Text, FetchError> {
        if !is_json(&self.headers) {
            return Err(FetchError::Garbled {
                why: format!("200 with {} in place of JSON: {}", self.kind(), self.words()),
            });
        }
        Text::of(decoded(Encoding::of(&self.headers)?, self.body, settings.max_body_size)?)
    }

    /// What an answer other than 200 asks of the caller, `endpoint` being what it answered.
    pub(crate) fn failure(&self, endpoint: Endpoint, dialect: Dialect) -> FetchError {
        let words = self.words();
        let number = self.status.as_u16();
        let why = format!("status {number}: {words}");
        let after = retry_after(&self.headers);
        match number {
            400 | 414 | 422 => FetchError::Rejected { why },
            401 if no_token_helps(&words) => FetchError::Refused {
                why: format!(
                    "{why}; no token helps: the tenant has no active Microsoft Defender XDR, see to its licence and set-up"
                ),
            },
            401 => FetchError::Unauthorized { why },
            403 => FetchError::Refused { why: format!("{why}; {}", self.permission(dialect)) },
            404 if endpoint == Endpoint::Get && self.is_the_apis_own() => FetchError::NotFound,
            404 => FetchError::Unavailable {
                after,
                why: format!("{why}; there is no such API here: check api_url and cloud"),
            },
            407 => FetchError::Unavailable {
                after,
                why: format!("{why}; the proxy wants a sign-in of its own: check proxy_url"),
            },
            429 => FetchError::Throttled { after: after.or_else(|| wait_in(&self.message())), why },
            300..=399 => match redirect_target(&self.headers, &self.url) {
                Some(target) => FetchError::Unavailable {
                    after,
                    why: format!("status {number}: a redirect to {target} was not followed: check api_url"),
                },
                None => FetchError::Unavailable { after, why },
            },
            200..=299 => FetchError::Garbled { why: format!("{why} in place of 200") },
            _ => FetchError::Unavailable { after, why },
        }
    }

    /// The remedy for a 403.
    fn permission(&self, dialect: Dialect) -> String {
        if !self.is_the_apis_own() {
            return "that is not from the API but from something in between, such as a proxy or a firewall".into();
        }
        let (permission, api) = match dialect {
            Dialect::Defender => (defender::PERMISSION, defender::PERMISSION_OF),
        };
        let grant = format!(
            "the application permission {permission} of \"{api}\" must be granted to the app registration, with admin consent"
        );
        match self.token.claims() {
            None => grant,
            Some(claims) if claims.is_delegated => format!("{grant}; the token is a user's and not the application's"),
            Some(claims) if claims.roles.is_empty() => format!("{grant}; the token holds no role at all"),
            Some(claims) if claims.roles.iter().any(|role| role.starts_with(permission_stem(permission))) => {
                format!(
                    "the token holds {}, so this is for the tenant's own settings to allow",
                    excerpt(&claims.roles.join(", "))
                )
            }
            Some(claims) => format!("{grant}; the token holds {}", excerpt(&claims.roles.join(", "))),
        }
    }

    /// Whether the body is what the API itself writes: JSON, or nothing.
    fn is_the_apis_own(&self) -> bool {
        is_json(&self.headers) || self.body.is_empty()
    }

    /// The code and the message of the error, or else what came, for people.
    fn words(&self) -> String {
        match self.error() {
            Some(Fault { code, message, target }) => {
                let mut words = excerpt(&match (code, message) {
                    (Some(code), Some(message)) => format!("{code}: {message}"),
                    (Some(text), None) | (None, Some(text)) => text,
                    (None, None) => "an error without words".into(),
                });
                if let Some(target) = target {
                    words.push_str(&format!(" (tracking id {})", excerpt(&target)));
                }
                words
            }
            None => match self.text().trim() {
                "" => "no readable body".into(),
                text => format!("{}, {}", self.kind(), excerpt(text)),
            },
        }
    }

    /// The message of the error, whole.
    fn message(&self) -> String {
        self.error().and_then(|fault| fault.message).unwrap_or_else(|| self.text())
    }

    /// The API's error object, without any echo of the token: an escape in the JSON may have hidden one before.
    fn error(&self) -> Option<Fault> {
        #[derive(Deserialize)]
        struct Envelope {
            error: Fault,
        }
        let Envelope { error } = serde_json::from_str(&self.text()).ok()?;
        let clean = |text: Option<String>| text.map(|text| blotted(&text, self.token.secret()));
        Some(Fault { code: clean(error.code), message: clean(error.message), target: clean(error.target) })
    }

    /// The body of an error as text, without any echo of the token.
    fn text(&self) -> String {
        let bytes = match Encoding::of(&self.headers).unwrap_or(Encoding::Identity) {
            Encoding::Identity => self.body.iter().copied().take(ERROR_SIZE_MAX as usize).collect(),
            packed @ (Encoding::Gzip | Encoding::Deflate) => {
                decoded(packed, self.body.clone(), ERROR_SIZE_MAX).unwrap_or_default()
            }
        };
        blotted(&String::from_utf8_lossy(&bytes), self.token.secret())
    }

    /// The content type, for people.
    fn kind(&self) -> String {
        match self.headers.get(CONTENT_TYPE) {
            Some(value) => excerpt(&blotted(&String::from_utf8_lossy(value.as_bytes()), self.token.secret())),
            None => "no content type".into(),
        }
    }
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A page.
    List,
    /// One incident.
    Get,
}

/// The API's error object (Common error codes of the Microsoft Defender XDR API).
#[derive(Deserialize)]
struct Fault {
    code: Option<String>,
    message: Option<String>,
    target: Option<String>,
}

/// `application/json`, whatever parameters follow.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// A 401 that says something about the tenant and nothing about the token.
fn no_token_helps(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.contains("account mode is inactive") || words.contains("account is not provisioned")
}

/// `Incident.Read` of `Incident.Read.All`: `Incident.ReadWrite.All` is enough too, and more than we want.
fn permission_stem(permission: &str) -> &str {
    permission.strip_suffix(".All").unwrap_or(permission)
}

/// The wait in "You can send requests again in 8 seconds." Not the "45 per 00:01:00" before it, which is the quota.
fn wait_in(message: &str) -> Option<Duration> {
    let words: Vec<_> = message.split_ascii_whitespace().collect();
    let seconds = words.windows(3).find_map(|words| match words {
        ["in", number, unit] if unit.starts_with("sec") => number.parse::<f64>().ok().filter(|seconds| 0.0 <= *seconds),
        _ => None,
    })?;
    Some(Duration::from_secs_f64(seconds.min(RETRY_AFTER_MAX.as_secs_f64()).ceil()))
}

/// The error with how the body begins, where that is no JSON object; and with nothing of the body, where that holds the token: a
/// proxy may answer with the whole request.
fn shown(error: FetchError, text: &Text, token: &Token) -> FetchError {
    let json = text.json();
    let FetchError::Garbled { why } = error else { return error };
    // An escape in the JSON may have hidden it before.
    let why = blotted(&why, token.secret());
    if blotted(json, token.secret()) != json {
        return FetchError::Garbled { why: "it quotes the token, so nothing of it is shown".into() };
    }
    match json.trim_start().starts_with('{') {
        true => FetchError::Garbled { why },
        false => FetchError::Garbled { why: format!("{why}; it begins with: {}", excerpt(json)) },
    }
}

/// Bytes of a page from which on its rows are read by several threads.
const SHARED_FROM: usize = 256 * 1024;
/// Threads at most: the rest of the process wants to go on.
const THREADS_MAX: usize = 4;

/// The rows of a page in their order. Hashes and lists of a large page take longer than everything else about it.
fn read(raws: &[&RawValue], text: &Text, incident_size_max: u64) -> Vec<Row> {
    let each = |raws: &[&RawValue]| raws.iter().map(|raw| row(raw, text, incident_size_max)).collect::<Vec<_>>();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    if text.json().len() < SHARED_FROM || threads == 1 {
        return each(raws);
    }
    std::thread::scope(|scope| {
        let mut shares = raws.chunks(raws.len().div_ceil(threads).max(1));
        let own = shares.next();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || each(share))).collect();
        let mut rows = own.map(each).unwrap_or_default();
        for other in others {
            match other.join() {
                Ok(share) => rows.extend(share),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        rows
    })
}

/// A row of a page, or its stub.
fn row(raw: &RawValue, text: &Text, incident_size_max: u64) -> Row {
    let size = raw.get().len() as u64;
    let row = match incident_size_max < size {
        true => Row {
            raw: stub(raw, size),
            hash: ContentHash::of(raw.get()),
            lists: None,
            head: Head::read(raw.get()),
            repaired: false,
            truncated: true,
        },
        false => Row::new(raw.to_owned()),
    };
    Row { repaired: text.is_repaired(raw.get()), ..row }
}

/// What is left of an incident that is too large: its id and times as they stand, and its size in bytes.
fn stub(raw: &RawValue, size: u64) -> Box<RawValue> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Kept<'a> {
        #[serde(borrow)]
        incident_id: Option<&'a RawValue>,
        #[serde(borrow)]
        created_time: Option<&'a RawValue>,
        #[serde(borrow)]
        last_update_time: Option<&'a RawValue>,
    }
    /// A member is kept as long as it is what it should be: nothing makes a stub large again.
    const MEMBER_SIZE_MAX: usize = 256;
    // serde would take the elements of an array for the members too.
    let kept: Kept<'_> = match raw.get().starts_with('{') {
        true => serde_json::from_str(raw.get()).unwrap_or_default(),
        false => Kept::default(),
    };
    let mut json = String::from("{");
    for (name, member) in [
        ("incidentId", kept.incident_id),
        ("createdTime", kept.created_time),
        ("lastUpdateTime", kept.last_update_time),
    ] {
        if let Some(value) = member.filter(|value| value.get().len() <= MEMBER_SIZE_MAX) {
            json.push_str(&format!("\"{name}\":{},", value.get()));
        }
    }
    json.push_str(&format!("\"size\":{size}}}"));
    RawValue::from_string(json).expect("members cut out of JSON, put together as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_found_in_the_words_and_the_quota_is_no_wait() {
        let check = |message: &str, seconds: Option<u64>| {
            assert_eq!(wait_in(message), seconds.map(Duration::from_secs), "{message}");
        };
        check("API calls quota exceeded! maximum allowed 45 per 00:01:00", None);
        check("Maximum allowed 30 per 00:01:00 for the key X. You can send requests again in 8 seconds.", Some(8));
        check("try again in 1 second", Some(1));
        check("try again in 2.5 secs", Some(3));
        check("try again in 99999999999999999999 seconds", Some(3600));
        check("try again in -8 seconds", None);
        check("try again in NaN seconds", None);
        check("in some seconds", None);
        check("", None);
    }

    #[test]
    fn a_stub_keeps_id_and_times_as_they_stand() {
        let check = |json: &str, expected: &str| {
            let raw = RawValue::from_string(json.to_owned()).expect("JSON");
            assert_eq!(stub(&raw, 7).get(), expected, "{json}");
        };
        check(
            r#"{"incidentId" : 924565, "x":[1], "lastUpdateTime":"2026-11-21T10:00:00.50Z","createdTime": null}"#,
            r#"{"incidentId":924565,"lastUpdateTime":"2026-11-21T10:00:00.50Z","size":7}"#,
        );
        check(&format!(r#"{{"incidentId":"{}"}}"#, "9".repeat(500)), r#"{"size":7}"#);
        check("[1]", r#"{"size":7}"#);
    }
}
