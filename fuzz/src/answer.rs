//! An answer of the API from its status line on: every status is the decision it should be, waits are bounded, and no word
//! for people is endless, breaks a line or shows the token.

use std::io::Write;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use xdrelay::api::{Dialect, Settings, fuzzing};
use xdrelay::model::hash::ContentHash;
use xdrelay::model::incident::{Head, Row};
use xdrelay::model::page::{FetchError, Page};
use xdrelay::transport::http::RETRY_AFTER_MAX;

/// What the call was made with, and what no message may show.
const TOKEN: &str = "S3cret-t0p";
/// Characters of a message at most: up to four quotations of 200 characters, each perhaps six once it is escaped.
const WORDS_MAX: usize = 6000;
/// Small enough that a fuzzer passes them.
const BODY_SIZE_MAX: u64 = 16 * 1024;
const INCIDENT_SIZE_MAX: u64 = 256;
/// What a stub has at most: three members of 256 bytes each and their names.
const STUB_SIZE_MAX: usize = 900;

/// A status, header lines, an empty line, a body. `x-packed: gzip`, `zlib` or `deflate` packs the body first.
pub fn check(bytes: &[u8]) {
    let Some((status, headers, body)) = parsed(bytes) else { return };
    let body = packed(&headers, body);
    let whole = is_plain(&headers).then(|| String::from_utf8(body.clone()).ok()).flatten();
    let list = fuzzing::page(&settings(), status, headers.clone(), body.clone(), TOKEN);
    match &list {
        Ok(page) => check_page(page, whole.as_deref()),
        Err(error) => check_error(error, status, false),
    }
    match &fuzzing::incident(&settings(), status, headers, body, TOKEN) {
        Ok(row) => check_row(row),
        Err(error) => check_error(error, status, true),
    }
    if let (Err(FetchError::Throttled { .. }), false) = (&list, status == StatusCode::TOO_MANY_REQUESTS) {
        panic!("throttled by {status}");
    }
}

fn settings() -> Settings {
    Settings {
        api_url: "https://api.example.net".parse().expect("a URL"),
        dialect: Dialect::Defender,
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

fn check_page(page: &Page, body: Option<&str>) {
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
        assert!(size <= STUB_SIZE_MAX, "a stub of {size} bytes");
        if let (Some(stub), Some(header)) = (Head::read(row.raw.get()).usual(), row.head.usual()) {
            assert_eq!((&stub.id, stub.last_update), (&header.id, header.last_update));
        }
    } else {
        assert!(size as u64 <= INCIDENT_SIZE_MAX);
        assert_eq!((&row.head, row.hash), (&Head::read(row.raw.get()), ContentHash::of(row.raw.get())));
    }
}

fn check_error(error: &FetchError, status: StatusCode, one: bool) {
    let words = error.to_string();
    assert!(!words.contains(TOKEN), "the token is shown: {words}");
    assert!(!words.chars().any(char::is_control), "more than a line: {words:?}");
    assert!(words.chars().count() <= WORDS_MAX, "too many words: {words}");
    let as_it_should_be = match (status.as_u16(), error) {
        (200, FetchError::Garbled { .. } | FetchError::TooLarge { .. }) => true,
        (200, _) => false,
        (201..=299, error) => matches!(error, FetchError::Garbled { .. }),
        (400 | 414 | 422, error) => matches!(error, FetchError::Rejected { .. }),
        (401, error) => matches!(error, FetchError::Unauthorized { .. } | FetchError::Refused { .. }),
        (403, error) => matches!(error, FetchError::Refused { .. }),
        (404, FetchError::NotFound) => one,
        (429, error) => matches!(error, FetchError::Throttled { .. }),
        (_, error) => matches!(error, FetchError::Unavailable { .. }),
    };
    assert!(as_it_should_be, "{status} became {error:?}");
    if let FetchError::Throttled { after: Some(after), .. } | FetchError::Unavailable { after: Some(after), .. } = error
    {
        assert!(*after <= RETRY_AFTER_MAX, "sent away for {after:?}");
    }
}
