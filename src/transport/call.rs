//! The trace of what is asked of the source and of the sign-in: one line a call, at DEBUG, whether it was answered, failed or was given
//! up. What goes along with a call to prove who we are is never in it, nor is a body, and what comes back is cut and cleaned.

use std::time::Instant;

use http::header::HeaderName;
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use tracing::Level;
use url::Url;

use crate::transport::blot::Blot;
use crate::transport::http::retry_after;

/// What `log.level` calls the trace.
pub(crate) const TARGET: &str = "xdrelay::api";

/// What Microsoft calls the number that its support asks for: Graph, Entra and the Defender API.
const REQUEST_ID: [HeaderName; 3] = [
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-ms-request-id"),
    HeaderName::from_static("x-request-id"),
];
const CLIENT_REQUEST_ID: [HeaderName; 1] = [HeaderName::from_static("client-request-id")];

/// One call. It is told of when it is over, that is, dropped. None of it is kept where nobody listens.
pub(crate) struct Call(Option<Box<Told>>);

struct Told {
    method: &'static str,
    url: Url,
    blot: Blot,
    begun: Instant,
    duration_ms: Option<u128>,
    status: Option<u16>,
    bytes: Option<usize>,
    request_id: Option<String>,
    client_request_id: Option<String>,
    retry_after_seconds: Option<u64>,
    rows: Option<usize>,
    /// Of a call for a token: the kind of proof, Entra's code, how long it is good.
    credential: Option<&'static str>,
    code: Option<String>,
    expires_seconds: Option<u64>,
    error: Option<String>,
}

impl Call {
    /// It leaves now.
    pub(crate) fn begin(method: &'static str, url: &Url, blot: impl FnOnce() -> Blot) -> Self {
        let told = || Told {
            method,
            url: url.clone(),
            blot: blot(),
            begun: Instant::now(),
            duration_ms: None,
            status: None,
            bytes: None,
            request_id: None,
            client_request_id: None,
            retry_after_seconds: None,
            rows: None,
            credential: None,
            code: None,
            expires_seconds: None,
            error: None,
        };
        Self(tracing::enabled!(target: TARGET, Level::DEBUG).then(|| Box::new(told())))
    }

    /// As [`begin`](Self::begin), for a token.
    pub(crate) fn for_token(
        credential: &'static str,
        method: &'static str,
        url: &Url,
        blot: impl FnOnce() -> Blot,
    ) -> Self {
        let mut call = Self::begin(method, url, blot);
        call.note(|told| told.credential = Some(credential));
        call
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let text = |names: &[HeaderName]| {
            let value = names.iter().find_map(|name| headers.get(name))?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        self.note(|told| {
            told.status = Some(status.as_u16());
            told.request_id = text(&REQUEST_ID);
            told.client_request_id = text(&CLIENT_REQUEST_ID);
            told.retry_after_seconds = retry_after(headers).map(|after| after.as_secs());
        });
    }

    /// The last byte is there; so many came over the wire.
    pub(crate) fn read(&mut self, bytes: usize) {
        self.note(|told| (told.bytes, told.duration_ms) = (Some(bytes), Some(told.begun.elapsed().as_millis())));
    }

    /// The answer holds so many rows.
    pub(crate) fn found(&mut self, rows: usize) {
        self.note(|told| told.rows = Some(rows));
    }

    /// The answer is a token that is good for so long. It must not be shown either.
    pub(crate) fn granted(&mut self, token: &SecretString, expires_seconds: u64) {
        self.note(|told| {
            told.blot.add(token);
            told.expires_seconds = Some(expires_seconds);
        });
    }

    /// The answer is a refusal with this code of Entra.
    pub(crate) fn refused(&mut self, code: Option<u64>) {
        self.note(|told| told.code = code.map(|code| format!("AADSTS{code}")));
    }

    /// It came to nothing.
    pub(crate) fn failed(&mut self, error: &impl ToString) {
        self.note(|told| told.error = Some(error.to_string()));
    }

    fn note(&mut self, note: impl FnOnce(&mut Told)) {
        if let Some(told) = &mut self.0 {
            note(told);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(told) = &self.0 {
            told.tell();
        }
    }
}

impl Told {
    fn tell(&self) {
        let words = |text: &Option<String>| text.as_ref().map(|text| self.blot.words(text));
        // An id in it may be the far side's.
        let (path, query) = (self.blot.out(self.url.path()), self.url.query().map(|query| self.blot.out(query)));
        let duration_ms = self.duration_ms.unwrap_or_else(|| self.begun.elapsed().as_millis());
        // Never dropped unfinished but by somebody who does not want the answer any more.
        let is_given_up = self.status.is_none() && self.error.is_none();
        tracing::debug!(
            target: TARGET,
            method = self.method,
            host = self.url.host_str(),
            port = self.url.port(),
            path,
            query,
            status = self.status,
            duration_ms = u64::try_from(duration_ms).unwrap_or(u64::MAX),
            bytes = self.bytes,
            rows = self.rows,
            credential = self.credential,
            code = self.code,
            expires_seconds = self.expires_seconds,
            retry_after_seconds = self.retry_after_seconds,
            request_id = words(&self.request_id),
            client_request_id = words(&self.client_request_id),
            error = words(&self.error),
            given_up = is_given_up.then_some(true),
            "{}",
            if self.credential.is_some() { "asked for a token" } else { "asked the API" }
        );
    }
}
