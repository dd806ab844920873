//! An answer that is none: what it asks of the caller, and its words for people, with the remedy where there is one. They are the far
//! side's: secrets come out of them in `answer`.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::api::answer::{Answer, is_json};
use crate::api::body::{Encoding, decoded};
use crate::api::{defender, graph};
use crate::model::dialect::Dialect;
use crate::model::page::{FetchError, excerpt};
use crate::transport::http::{RETRY_AFTER_MAX, redirect_target, retry_after};
use crate::transport::proxy::SIGN_IN;

/// Bytes of an error's body at most: they are only for people.
pub(crate) const ERROR_SIZE_MAX: u64 = 64 * 1024;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A page.
    List,
    /// One incident.
    Get,
    /// A page of the alerts of one incident.
    Alerts,
}

impl Answer {
    /// What an answer other than 200 asks of the caller, `endpoint` being what it answered.
    pub(crate) fn failure(&self, endpoint: Endpoint, dialect: Dialect) -> FetchError {
        let words = self.words();
        let number = self.status.as_u16();
        let why = format!("status {number}: {words}");
        let after = retry_after(&self.headers);
        match number {
            400 if words.contains("for Top query") => {
                FetchError::Rejected { why: format!("{why}; check poll.page_size") }
            }
            400 | 414 | 422 => FetchError::Rejected { why },
            401 | 403 if no_token_helps(&words) => FetchError::Refused {
                why: format!(
                    "{why}; no token helps: the tenant has no active Microsoft Defender XDR, see to its licence and set-up"
                ),
            },
            401 => FetchError::Unauthorized {
                why: self.audience(&words).map_or(why.clone(), |remedy| format!("{why}; {remedy}")),
            },
            403 => FetchError::Refused { why: format!("{why}; {}", self.permission(dialect)) },
            404 if endpoint.is_of_one() && self.is_the_apis_own() => FetchError::NotFound,
            404 => FetchError::Unavailable {
                after,
                why: format!("{why}; there is no such API here: check api_url and cloud"),
            },
            407 => FetchError::Unavailable { after, why: format!("{why}; {SIGN_IN}") },
            429 => {
                let after = after.or_else(|| wait_in(&self.message()));
                FetchError::Throttled { after, of_one: endpoint.is_of_one(), why }
            }
            300..=399 => match redirect_target(&self.headers, &self.asked.url) {
                Some(target) => FetchError::Unavailable {
                    after,
                    why: format!("status {number}: a redirect to {} was not followed: check api_url", excerpt(&target)),
                },
                None => FetchError::Unavailable { after, why },
            },
            200..=299 => FetchError::Garbled { why: format!("{why} in place of 200") },
            _ => FetchError::Unavailable { after, why },
        }
    }

    /// The remedy for a 401 that is about the audience.
    fn audience(&self, words: &str) -> Option<String> {
        if !words.to_ascii_lowercase().contains("audience") {
            return None;
        }
        let of = self.asked.token.claims().and_then(|claims| claims.audience).map(|of| excerpt(&of));
        let of = of.map_or_else(|| "another API".into(), |of| format!("{of:?}"));
        Some(format!("the token is for {of}, which must be what this API expects: check audience, api and cloud"))
    }

    /// The remedy for a 403.
    fn permission(&self, dialect: Dialect) -> String {
        if !self.is_the_apis_own() {
            return "that is not from the API but from something in between, such as a proxy or a firewall".into();
        }
        let (permission, api) = match dialect {
            Dialect::Defender => (defender::PERMISSION, defender::PERMISSION_OF),
            Dialect::Graph => (graph::PERMISSION, graph::PERMISSION_OF),
        };
        let grant = format!(
            "the application permission {permission} of \"{api}\" must be granted to the app registration, with admin consent"
        );
        match self.asked.token.claims() {
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
    pub(crate) fn words(&self) -> String {
        match self.error() {
            Some(Fault { code, message, target, .. }) => {
                let mut words = excerpt(&match (code, message) {
                    (Some(code), Some(message)) => format!("{code}: {message}"),
                    (Some(text), None) | (None, Some(text)) => text,
                    (None, None) => "an error without words".into(),
                });
                if let Some(id) = target {
                    words.push_str(&format!(" (tracking id {})", excerpt(&id)));
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

    /// The API's error object.
    fn error(&self) -> Option<Fault> {
        #[derive(Deserialize)]
        struct Envelope {
            error: Fault,
        }
        let Envelope { error } = serde_json::from_str(&self.text()).ok()?;
        let inner = error.inner.and_then(request_id);
        Some(Fault { target: error.target.or(inner), inner: None, ..error })
    }

    /// The body of an error as text, as it came: not for people.
    fn text(&self) -> String {
        let bytes = match Encoding::of(&self.headers).unwrap_or(Encoding::Identity) {
            Encoding::Identity => self.body.iter().copied().take(ERROR_SIZE_MAX as usize).collect(),
            packed @ (Encoding::Gzip | Encoding::Deflate) => {
                decoded(packed, self.body.clone(), ERROR_SIZE_MAX).unwrap_or_default()
            }
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The content type, for people.
    pub(crate) fn kind(&self) -> String {
        match self.headers.get(CONTENT_TYPE) {
            Some(value) => excerpt(&String::from_utf8_lossy(value.as_bytes())),
            None => "no content type".into(),
        }
    }
}

impl Endpoint {
    /// Whether it belongs to one incident, which may not be there.
    const fn is_of_one(self) -> bool {
        match self {
            Self::List => false,
            Self::Get | Self::Alerts => true,
        }
    }
}

/// The API's error object (Common error codes of the Microsoft Defender XDR API; Microsoft Graph error responses).
#[derive(Deserialize)]
struct Fault {
    code: Option<String>,
    message: Option<String>,
    /// Defender's tracking id.
    target: Option<String>,
    /// Graph's object with its tracking id, in either spelling of its documents.
    #[serde(rename = "innerError", alias = "innererror")]
    inner: Option<serde_json::Value>,
}

/// `request-id`, which is what Microsoft's support asks for.
fn request_id(inner: serde_json::Value) -> Option<String> {
    inner.get("request-id")?.as_str().map(str::to_owned)
}

/// A 401 or 403 that says something about the tenant and nothing about the token.
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
}
