//! One answer of the token endpoint: a token, or what its absence asks of the caller. Never shows the body.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::identity::TokenError;
use crate::identity::aadsts::{self, Meaning};
use crate::model::page::excerpt;
use crate::transport::call::Call;
use crate::transport::http::retry_after;
use crate::transport::proxy::SIGN_IN;

/// A token lives no longer than this, whatever the answer says; the longest seen are those of managed identities, a little over
/// a day.
const LIFE_MAX: Duration = Duration::from_secs(28 * 3600);
/// RFC 6749 section 5.1 lets `expires_in` be left out. Then the token is renewed soon.
const LIFE_UNKNOWN: Duration = Duration::from_secs(300);

/// A token as it was granted.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The token.
    pub(crate) secret: SecretString,
    /// How long it lives from the moment it was asked for.
    pub(crate) life: Duration,
}

/// Reads an answer. The pauses of the errors are what `Retry-After` says, or zero.
///
/// # Errors
/// There is no token in it; see [`TokenError`].
pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Grant, TokenError> {
    match status {
        StatusCode::OK => granted(body, Success::life).map_err(|why| no_token(status, headers, why)),
        _ => Err(refusal(status, headers, body)),
    }
}

/// The same of a managed identity's endpoint, where the end of the token comes as a time (`expires_on`) too, or as nothing else.
/// Such tokens are cached there, so that the earlier end counts.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_until(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Grant, TokenError> {
    match status {
        StatusCode::OK => granted(body, |answer| answer.life_until(server_time(headers)))
            .map_err(|why| no_token(status, headers, why)),
        _ => Err(refusal(status, headers, body)),
    }
}

/// What Entra says in an answer that is no token, where it is one of the codes that we know.
pub(crate) fn of_entra(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<TokenError> {
    let failure: Failure = serde_json::from_slice(body).ok()?;
    failure.code().and_then(aadsts::meaning).map(|_| refusal(status, headers, body))
}

/// Entra's code in an answer that is no token, whether we know it or not.
pub(crate) fn code(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Failure>(body).ok()?.code()
}

/// What came of a call for a token, for its trace.
pub(crate) fn trace(call: &mut Call, outcome: &Result<Grant, TokenError>) {
    match outcome {
        Ok(grant) => call.granted(&grant.secret, grant.life.as_secs()),
        Err(error) => call.failed(error),
    }
}

/// RFC 6749 section 5.1. Numbers come as strings too (v1 endpoint, managed identities).
#[derive(Deserialize)]
struct Success {
    access_token: SecretString,
    token_type: Option<String>,
    /// Seconds.
    expires_in: Option<Value>,
    /// Seconds since 1970.
    expires_on: Option<Value>,
}

impl Success {
    /// Seconds.
    fn life(&self) -> Result<f64, &'static str> {
        match &self.expires_in {
            Some(value) => number(value).ok_or("expires_in is no number of seconds above zero"),
            None => Ok(LIFE_UNKNOWN.as_secs_f64()),
        }
    }

    /// Seconds, where the server's clock says this. Ours counts only where there is nothing else to go by.
    fn life_until(&self, server_time: Option<SystemTime>) -> Result<f64, &'static str> {
        let end = self.expires_on.as_ref().and_then(number);
        let now = match (end, server_time, &self.expires_in) {
            (None, _, _) | (Some(_), None, Some(_)) => return self.life(),
            (Some(_), Some(time), _) => time,
            (Some(_), None, None) => SystemTime::now(),
        };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let left = end.unwrap_or_default() - now;
        let left = if self.expires_in.is_some() { left.min(self.life()?) } else { left };
        if left <= 0.0 { Err("the token has expired already") } else { Ok(left) }
    }
}

/// The time by which `expires_on` counts: the answer's own, since both come from one clock.
fn server_time(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?.trim()).ok()
}

fn no_token(status: StatusCode, headers: &HeaderMap, why: &str) -> TokenError {
    let why = format!("{} with {}: {why}", status.as_u16(), content_type(headers));
    TokenError::Unavailable { why, after: Duration::ZERO }
}

fn granted(body: &[u8], life: impl FnOnce(&Success) -> Result<f64, &'static str>) -> Result<Grant, &'static str> {
    // serde's message could quote the token.
    let answer: Success = serde_json::from_slice(body).map_err(|_| "there is no access_token in the answer")?;
    if answer.token_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token is no Bearer token");
    }
    // RFC 6750 section 2.1; anything else could not be sent in a header.
    let text = answer.access_token.expose_secret();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the access_token is not made of visible ASCII characters");
    }
    let life = Duration::from_secs_f64(life(&answer)?.min(LIFE_MAX.as_secs_f64()));
    Ok(Grant { secret: answer.access_token, life })
}

fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (0.0 < number).then_some(number)
}

/// RFC 6749 section 5.2, with what Entra adds.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Failure {
    error: Option<String>,
    error_description: Option<String>,
    error_codes: Vec<u64>,
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> TokenError {
    let after = retry_after(headers).unwrap_or_default();
    let failure: Failure = serde_json::from_slice(body).unwrap_or_default();
    let code = failure.code();
    let meaning = code.and_then(aadsts::meaning);
    let number = status.as_u16();
    let why = match (code, meaning) {
        (Some(code), Some(Meaning::Refused(text) | Meaning::Transient(text))) => format!("AADSTS{code}: {text}"),
        (Some(code), None) => {
            format!(
                "{}; see https://login.microsoftonline.com/error?code={code}",
                failure.words(&format!("AADSTS{code}"))
            )
        }
        (None, _) => match &failure.error {
            Some(error) => format!("status {number}, {}", failure.words(&excerpt(error))),
            None => foreign(number, headers),
        },
    };
    match (status, meaning) {
        (StatusCode::TOO_MANY_REQUESTS, _) => TokenError::Throttled { why, after },
        (_, Some(Meaning::Refused(_))) => TokenError::Refused { why, after },
        (_, Some(Meaning::Transient(_))) => TokenError::Unavailable { why, after },
        (_, None) if failure.is_final() && status.is_client_error() => TokenError::Refused { why, after },
        (_, None) => TokenError::Unavailable { why, after },
    }
}

/// An answer that is none of Entra's.
fn foreign(status: u16, headers: &HeaderMap) -> String {
    let remedy = match status {
        300..=399 => "a redirect is not followed; check login_url",
        407 => SIGN_IN,
        500..=599 => "the sign-in service or something in between has failed",
        _ => "that is no answer of the sign-in; check login_url, and any proxy in between",
    };
    format!("status {status} with {}: {remedy}", content_type(headers))
}

/// Never the header itself: what answers here may be anything, and the request held the secret.
fn content_type(headers: &HeaderMap) -> &'static str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.split(';').next().unwrap_or_default().trim() {
        "" => "no content type",
        "application/json" => "JSON",
        "text/html" => "an HTML page",
        _ => "neither JSON nor HTML",
    }
}

impl Failure {
    /// The number after `AADSTS`.
    fn code(&self) -> Option<u64> {
        self.error_codes.first().copied().or_else(|| {
            let (_, rest) = self.error_description.as_deref()?.split_once("AADSTS")?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
    }

    /// Whether the standard's word for it means that asking again will not help.
    fn is_final(&self) -> bool {
        const FINAL: [&str; 8] = [
            "invalid_client",
            "invalid_request",
            "invalid_grant",
            "invalid_scope",
            "invalid_resource",
            "unauthorized_client",
            "unsupported_grant_type",
            "interaction_required",
        ];
        self.error.as_deref().is_some_and(|error| FINAL.contains(&error))
    }

    /// The description up to its trace id, or else the name.
    fn words(&self, name: &str) -> String {
        let text = self.error_description.as_deref().unwrap_or_default();
        let text = text.split("Trace ID:").next().unwrap_or_default().lines().next().unwrap_or_default().trim();
        match text {
            "" => name.to_owned(),
            words if words.contains(name) => excerpt(words),
            words => format!("{name}: {}", excerpt(words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Grant, TokenError> {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
        headers.insert("retry-after", "7".parse().expect("a value"));
        read(status, &headers, body.as_bytes())
    }

    #[test]
    fn a_token_is_taken_with_numbers_in_either_spelling() {
        let check = |body: &str, seconds: u64| {
            let grant = answer(200, body).expect(body);
            assert_eq!(
                (grant.secret.expose_secret(), grant.life),
                ("eyJ0.a.b", Duration::from_secs(seconds)),
                "{body}"
            );
        };
        check(r#"{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0.a.b"}"#, 3599);
        check(r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":0,"access_token":"eyJ0.a.b"}"#, 3599);
        check(
            r#"{"token_type":"bearer","expires_in":"3599","expires_on":"1746197909","access_token":"eyJ0.a.b"}"#,
            3599,
        );
        check(r#"{"access_token":"eyJ0.a.b"}"#, 300);
        check(r#"{"access_token":"eyJ0.a.b","expires_in":1e300}"#, 28 * 3600);
    }

    #[test]
    fn the_end_of_a_cached_token_is_the_earlier_of_the_two_that_are_said() {
        let check = |body: &str, date: Option<&str>, expected: Result<u64, &str>| {
            let date = date.map(|date| (DATE, date.parse().expect("a value")));
            let headers = HeaderMap::from_iter(date);
            match (read_until(StatusCode::OK, &headers, body.as_bytes()), expected) {
                (Ok(grant), Ok(seconds)) => assert_eq!(grant.life, Duration::from_secs(seconds), "{body}"),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{body}: {error}"),
                (other, expected) => panic!("{body}: {other:?}, not {expected:?}"),
            }
        };
        // 1000 seconds before the end below.
        let date = Some("Fri, 02 May 2025 14:41:49 GMT");
        check(r#"{"access_token":"a","expires_on":"1746197909"}"#, date, Ok(1000));
        check(r#"{"access_token":"a","expires_on":1746197909}"#, date, Ok(1000));
        check(r#"{"access_token":"a","expires_in":"86399","expires_on":"1746197909"}"#, date, Ok(1000));
        check(r#"{"access_token":"a","expires_in":"600","expires_on":"1746197909"}"#, date, Ok(600));
        check(r#"{"access_token":"a","expires_in":"600","expires_on":"1746197909"}"#, None, Ok(600));
        check(r#"{"access_token":"a","expires_in":"600","expires_on":"05/02/2025 14:58:29 +00:00"}"#, date, Ok(600));
        check(r#"{"access_token":"a","expires_in":"600"}"#, date, Ok(600));
        check(r#"{"access_token":"a","expires_on":"4102444800"}"#, None, Ok(28 * 3600));
        check(r#"{"access_token":"a","expires_on":"1746190000"}"#, date, Err("has expired already"));
        check(r#"{"access_token":"a","expires_in":"soon"}"#, date, Err("expires_in"));
    }

    #[test]
    fn what_is_no_token_is_unavailable_and_never_shown() {
        for body in [
            "",
            "<html>canary</html>",
            r#"{"token_type":"Bearer","expires_in":3599}"#,
            r#"{"access_token":"","expires_in":3599}"#,
            r#"{"access_token":"can ary","expires_in":3599}"#,
            r#"{"access_token":"canary\nX: y","expires_in":3599}"#,
            r#"{"access_token":"canary","expires_in":0}"#,
            r#"{"access_token":"canary","expires_in":"soon"}"#,
            r#"{"access_token":"canary","expires_in":-1}"#,
            r#"{"access_token":"canary","token_type":"mac"}"#,
            r#"{"access_token":["canary"]}"#,
        ] {
            let error = answer(200, body).expect_err(body);
            assert!(matches!(error, TokenError::Unavailable { .. }), "{body}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[derive(Debug, PartialEq)]
    enum Decision {
        Refused,
        Unavailable,
        Throttled,
    }

    #[test]
    fn every_refusal_becomes_a_decision_and_a_sentence() {
        use Decision::{Refused, Throttled, Unavailable};
        let check = |status: u16, body: &str, expected: Decision, words: &[&str]| {
            let error = answer(status, body).expect_err(body);
            let decision = match error {
                TokenError::Refused { .. } => Refused,
                TokenError::Unavailable { .. } => Unavailable,
                TokenError::Throttled { .. } => Throttled,
            };
            assert_eq!((decision, error.after()), (expected, Duration::from_secs(7)), "{error}");
            for word in words {
                assert!(error.to_string().contains(word), "{error} lacks {word}");
            }
            assert!(!error.to_string().contains("canary"), "{error}");
        };
        let entra = |error: &str, code: u64| {
            format!(
                r#"{{"error":"{error}","error_description":"AADSTS{code}: Words of Microsoft.\r\nTrace ID: canary\r\nTimestamp: x","error_codes":[{code}],"trace_id":"canary"}}"#
            )
        };
        check(401, &entra("invalid_client", 7000215), Refused, &["AADSTS7000215", "Value, not its ID"]);
        check(401, &entra("invalid_client", 7000222), Refused, &["AADSTS7000222", "expired"]);
        check(400, &entra("unauthorized_client", 700016), Refused, &["AADSTS700016", "client_id", "tenant_id"]);
        check(400, &entra("invalid_request", 90002), Refused, &["AADSTS90002", "cloud"]);
        check(404, &entra("invalid_request", 90002), Refused, &["AADSTS90002"]);
        check(400, &entra("invalid_request", 900023), Refused, &["malformed"]);
        check(400, &entra("invalid_scope", 70011), Refused, &["AADSTS70011", "audience"]);
        check(400, &entra("invalid_resource", 500011), Refused, &["Defender XDR"]);
        check(400, &entra("invalid_request", 901002), Refused, &["login_url"]);
        check(401, &entra("invalid_client", 700027), Refused, &["AADSTS700027", "upload it", "client_id"]);
        check(401, &entra("invalid_client", 700024), Refused, &["AADSTS700024", "clock"]);
        check(400, &entra("invalid_request", 700213), Refused, &["AADSTS700213", "subject", "letter by letter"]);
        check(400, &entra("invalid_request", 90061), Unavailable, &["AADSTS90061", "openid-configuration"]);
        for code in [50196, 90055, 90006, 90012, 90024, 90033] {
            check(400, &entra("invalid_request", code), Unavailable, &[&format!("AADSTS{code}")]);
            check(503, &entra("temporarily_unavailable", code), Unavailable, &[]);
        }
        check(401, &entra("invalid_client", 4242), Refused, &["AADSTS4242: Words of Microsoft.", "error?code=4242"]);
        check(500, &entra("server_error", 4242), Unavailable, &["AADSTS4242"]);
        check(400, &entra("temporarily_unavailable", 4242), Unavailable, &[]);
        check(429, &entra("invalid_request", 90055), Throttled, &["AADSTS90055"]);
        check(429, "", Throttled, &["status 429"]);
        check(400, r#"{"error":"invalid_grant","error_description":"AADSTS7000222: x"}"#, Refused, &["AADSTS7000222"]);
        check(400, r#"{"error":"invalid_client"}"#, Refused, &["invalid_client"]);
        check(503, "<html>canary</html>", Unavailable, &["status 503"]);
        check(404, "<html>canary</html>", Unavailable, &["login_url"]);
        check(302, "canary", Unavailable, &["redirect"]);
        check(407, "", Unavailable, &["proxy"]);
        check(204, "", Unavailable, &["204"]);
    }
}
