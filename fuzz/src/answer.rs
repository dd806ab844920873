//! An answer of the API from its status line on: every status is the decision it should be, waits are bounded, and no word
//! for people is endless, breaks a line or shows the token.

use std::io::Write;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use xdrelay::api::completion::Completion;
use xdrelay::api::{Settings, fuzzing};
use xdrelay::model::dialect::Dialect;
use xdrelay::model::hash::ContentHash;
use xdrelay::model::incident::{Head, Row};
use xdrelay::model::page::{AlertsPage, FetchError, Page};
use xdrelay::model::parts::{Parts, elements};
use xdrelay::transport::http::RETRY_AFTER_MAX;

/// What the call was made with, and what no message may show.
const TOKEN: &str = "S3cret-t0p";
/// Characters of a message at most: up to four quotations of 200 characters, each perhaps six once it is escaped.
const WORDS_MAX: usize = 6000;
/// Small enough that a fuzzer passes them.
const BODY_SIZE_MAX: u64 = 16 * 1024;
const INCIDENT_SIZE_MAX: u64 = 256;
/// What a stub has at most: three members of 256 bytes each in either dialect, and their names.
const STUB_SIZE_MAX: usize = 1800;

/// A status, header lines, an empty line, a body. `x-packed: gzip`, `zlib` or `deflate` packs the body first. It is read as an answer
/// of either dialect.
pub fn check(bytes: &[u8]) {
    let Some((status, headers, body)) = parsed(bytes) else { return };
    let body = packed(&headers, body);
    let whole = is_plain(&headers).then(|| String::from_utf8(body.clone()).ok()).flatten();
    for dialect in Dialect::ALL {
        check_as(dialect, status, &headers, &body, whole.as_deref());
    }
}

fn check_as(dialect: Dialect, status: StatusCode, headers: &HeaderMap, body: &[u8], whole: Option<&str>) {
    let settings = settings(dialect);
    let asked = |endpoint| Asked { endpoint, dialect, status };
    let list = fuzzing::page(&settings, status, headers.clone(), body.to_vec(), TOKEN);
    match &list {
        Ok(page) => check_page(page, status, whole),
        Err(error) => check_error(error, asked(Endpoint::List)),
    }
    match &fuzzing::incident(&settings, status, headers.clone(), body.to_vec(), TOKEN) {
        Ok(row) => {
            assert_eq!(status, StatusCode::OK, "an incident is whole");
            check_row(row);
        }
        Err(error) => check_error(error, asked(Endpoint::Get)),
    }
    let alerts = fuzzing::alerts(&settings, status, headers.clone(), body.to_vec(), TOKEN);
    match (alerts, list) {
        (Ok(page), list) => {
            assert_eq!(status, StatusCode::OK, "a page of alerts is whole");
            if let Some(body) = whole {
                assert!(page.alerts.iter().all(|alert| body.contains(alert.get())), "an alert is not as it came");
            }
            // The same body as a list of incidents, each of which then has these alerts.
            for row in list.map(|page| page.rows).unwrap_or_default() {
                check_completed(row, page.clone());
            }
        }
        (Err(error), list) => {
            check_error(&error, asked(Endpoint::Alerts));
            if let (Err(FetchError::Throttled { .. }), false) = (&list, status == StatusCode::TOO_MANY_REQUESTS) {
                panic!("throttled by {status}");
            }
        }
    }
}

/// Whatever is listed and whatever its alerts are: it is whole, a stub, or an error.
fn check_completed(row: Row, page: AlertsPage) {
    let Ok(mut completion) = Completion::of(row.clone(), INCIDENT_SIZE_MAX) else { return };
    let alerts = page.alerts.clone();
    if completion.skip().is_some() && completion.read(page).is_err() {
        return;
    }
    let Ok(completed) = completion.row() else { return };
    assert!(!completed.cut, "cut, and called whole");
    check_row(&completed);
    assert_eq!(completed.last_update(), row.last_update());
    if !completed.truncated {
        let parts = Parts::of(completed.raw.get()).expect("it is an object");
        let expected: Vec<_> = alerts.iter().map(|alert| alert.get()).collect();
        assert_eq!(elements(parts.get("alerts")), expected, "other alerts than came");
    }
}

/// What was asked of whom, and the status of the answer.
#[derive(Clone, Copy)]
struct Asked {
    endpoint: Endpoint,
    dialect: Dialect,
    status: StatusCode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    List,
    Get,
    Alerts,
}

fn settings(dialect: Dialect) -> Settings {
    Settings {
        api_url: "https://api.example.net".parse().expect("a URL"),
        dialect,
        max_body_size: BODY_SIZE_MAX,
        max_incident_size: INCIDENT_SIZE_MAX,
        request_timeout: Duration::from_secs(60),
    }
}

fn parsed(bytes: &[u8]) -> Option<(StatusCode, HeaderMap, &[u8])> {
    let (first, mut rest) = line(bytes)?;
    let status = StatusCode::from_bytes(first).ok()?;
    let mut headers = HeaderMap::new();
    while let Some((line, after)) = line(rest) {
        rest = after;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(line[..colon].trim_ascii()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    Some((status, headers, rest))
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn packed(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let into_memory = "memory takes every write";
    match headers.get("x-packed").map(HeaderValue::as_bytes) {
        Some(b"gzip") => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).expect(into_memory);
            encoder.finish().expect(into_memory)
        }
        Some(b"zlib") => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).expect(into_memory);
            encoder.finish().expect(into_memory)
        }
        Some(b"deflate") => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(body).expect(into_memory);
            encoder.finish().expect(into_memory)
        }
        _ => body.to_vec(),
    }
}

fn is_plain(headers: &HeaderMap) -> bool {
    !headers.contains_key("content-encoding") && !headers.contains_key("x-packed")
}

fn check_page(page: &Page, status: StatusCode, body: Option<&str>) {
    assert_eq!(page.incomplete.is_some(), status == StatusCode::PARTIAL_CONTENT);
    for row in &page.rows {
        check_row(row);
        if let Some(body) = body {
            assert!(!row.repaired, "there was nothing to repair");
            assert!(row.truncated || body.contains(row.raw.get()), "a row is not as it came");
        }
    }
}

fn check_row(row: &Row) {
    let size = row.raw.get().len();
    if row.truncated {
        assert!(!row.cut, "a stub says all that there is to say");
        assert!(size <= STUB_SIZE_MAX, "a stub of {size} bytes");
        if let (Some(stub), Some(header)) = (Head::read(row.raw.get()).usual(), row.head.usual()) {
            assert_eq!((&stub.id, stub.last_update), (&header.id, header.last_update));
        }
    } else {
        assert!(size as u64 <= INCIDENT_SIZE_MAX);
        assert_eq!((&row.head, row.hash), (&Head::read(row.raw.get()), ContentHash::of(row.raw.get())));
    }
}

fn check_error(error: &FetchError, asked: Asked) {
    let Asked { endpoint, dialect, status } = asked;
    let words = error.to_string();
    assert!(!words.contains(TOKEN), "the token is shown: {words}");
    assert!(!words.chars().any(char::is_control), "more than a line: {words:?}");
    assert!(words.chars().count() <= WORDS_MAX, "too many words: {words}");
    let as_it_should_be = match (status.as_u16(), error) {
        (200, FetchError::Garbled { .. } | FetchError::TooLarge { .. }) => true,
        (200, _) => false,
        (206, FetchError::Garbled { .. } | FetchError::TooLarge { .. }) if dialect == Dialect::Graph => {
            endpoint == Endpoint::List
        }
        (206, error) if dialect == Dialect::Graph => {
            endpoint != Endpoint::List && matches!(error, FetchError::Unavailable { .. })
        }
        (201..=299, error) => matches!(error, FetchError::Garbled { .. }),
        (400 | 414 | 422, error) => matches!(error, FetchError::Rejected { .. }),
        (401, error) => matches!(error, FetchError::Unauthorized { .. } | FetchError::Refused { .. }),
        (403, error) => matches!(error, FetchError::Refused { .. }),
        (404, FetchError::NotFound) => endpoint != Endpoint::List,
        (429, error) => matches!(error, FetchError::Throttled { .. }),
        (_, error) => matches!(error, FetchError::Unavailable { .. }),
    };
    assert!(as_it_should_be, "{status} became {error:?}");
    if let FetchError::Throttled { after: Some(after), .. } | FetchError::Unavailable { after: Some(after), .. } = error
    {
        assert!(*after <= RETRY_AFTER_MAX, "sent away for {after:?}");
    }
}
