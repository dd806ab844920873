//! What an answer of the far side asks for. Pure but for reading it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::core::courier::{DeliverError, Refusal};
use crate::model::page::excerpt;
use crate::sink::{Outgoing, only_event};

/// Bytes of an answer that are read at most; nothing but an excerpt is of interest.
const BODY_SIZE_MAX: usize = 64 * 1024;
/// The longest time that a far side may ask us to stay away.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// An answer, as far as it matters.
#[derive(Debug)]
pub(in crate::sink) struct Answer {
    /// Scheme, host and port: a path may hold what is nobody's business.
    pub(in crate::sink) place: String,
    pub(in crate::sink) status: StatusCode,
    pub(in crate::sink) retry_after: Option<Duration>,
    /// The host a redirect leads to.
    pub(in crate::sink) elsewhere: Option<String>,
    /// The beginning of the body, for people, without secrets.
    pub(in crate::sink) words: String,
}

impl Answer {
    /// Reads the answer up to [`BODY_SIZE_MAX`]. A body that breaks off changes nothing: the status has been said.
    pub(in crate::sink) async fn read(place: String, response: Response, hide: impl Fn(String) -> String) -> Self {
        Self::read_with_body(place, response, hide).await.0
    }

    /// As [`read`](Self::read), with the body for whoever understands it. It may hold what our request held.
    pub(in crate::sink) async fn read_with_body(
        place: String,
        mut response: Response,
        hide: impl Fn(String) -> String,
    ) -> (Self, Vec<u8>) {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(BODY_SIZE_MAX - body.len())]);
            if body.len() == BODY_SIZE_MAX {
                break;
            }
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| response.url().join(location).ok());
        let answer = Self {
            place,
            status: response.status(),
            retry_after: retry_after(response.headers(), Timestamp::now()),
            elsewhere: target.and_then(|url| url.host_str().map(str::to_owned)),
            words: excerpt(hide(String::from_utf8_lossy(&body).into_owned()).trim()),
        };
        (answer, body)
    }

    /// What it means for the events of its request.
    ///
    /// # Errors
    /// Everything but 2xx. What is about the content refuses a single event, or the batch it may be in.
    pub(in crate::sink) fn verdict(&self, batch: &[Outgoing]) -> Result<(), DeliverError> {
        let pause = |remedy: &str| Err(DeliverError::Pause { why: format!("{}; {remedy}", self.said()) });
        match self.status.as_u16() {
            200..=299 => Ok(()),
            300..=399 => match &self.elsewhere {
                Some(host) => pause(&format!(
                    "the redirect to {host} is not followed; put that url into the configuration if it is right"
                )),
                None => pause("the url is not the one to post to; correct it in the configuration"),
            },
            401 | 403 => pause(
                "the credential is missing, wrong or lacks a right; put it right under `auth`, it is read anew each time",
            ),
            407 => pause(
                "the proxy of proxy_url wants a user and a password, or others; correct proxy.user and proxy.password",
            ),
            404 | 405 | 410 => pause("nothing takes events there; correct the url"),
            402 | 406 | 411 | 415 | 421 | 426 | 431 | 451 => {
                pause("that is about the settings or the account, not about an event; correct them")
            }
            408 | 425 | 429 | 500..=599 => Err(DeliverError::Retry { why: self.said(), after: self.retry_after }),
            _ => Err(self.refusal(batch)),
        }
    }

    pub(in crate::sink) fn refusal(&self, batch: &[Outgoing]) -> DeliverError {
        match only_event(batch) {
            Some(seq) => DeliverError::Refused(vec![Refusal { seq, why: self.said() }]),
            None => DeliverError::RefusedBatch { why: self.said() },
        }
    }

    pub(in crate::sink) fn said(&self) -> String {
        let Self { place, status, words, .. } = self;
        match words.is_empty() {
            true => format!("{place} answered {status}"),
            false => format!("{place} answered {status}: {words}"),
        }
    }
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date, which is read against the answer's own `Date` because the
/// far side's clock wrote both.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let date = |name| {
        let text = headers.get(name)?.to_str().ok()?;
        rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
    };
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let wait = date(RETRY_AFTER)?.duration_since(date(DATE).unwrap_or(now));
            Duration::try_from(wait).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn check(name: &str, date: Option<&str>, expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::try_from(name).expect("a value"));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::try_from(date).expect("a value"));
        }
        let now = "1994-11-06T08:49:00Z".parse().expect("a time");
        assert_eq!(retry_after(&headers, now).map(|wait| wait.as_secs()), expected, "{name}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        check("0", None, Some(0));
        check(" 120 ", None, Some(120));
        check("99999999999", None, Some(3600));
        check("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(37));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:30 GMT"), Some(7));
        check("Sun, 06 Nov 1994 08:48:37 GMT", None, Some(0));
        check("Sun, 06 Nov 2094 08:48:37 GMT", None, Some(3600));
        check("soon", None, None);
        check("-1", None, None);
        check("", None, None);
    }
}
