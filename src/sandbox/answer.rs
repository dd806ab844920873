//! Answers: bodies in the shapes of the real ones, headers, packing, and ways of sending that spoil them.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use serde_json::json;

use crate::model::timestamp::Timestamp;
use crate::sandbox::settings::Coding;

/// Bodies below this are not worth packing.
const PACKED_MIN: usize = 256;

/// An answer before it is packed and sent.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers beside those of every answer.
    pub headers: Vec<(HeaderName, String)>,
    /// The body as it is before packing.
    pub body: Vec<u8>,
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Well.
    Whole,
    /// Up to the middle of the body; then the connection ends.
    Cut,
    /// In so many pieces with a pause before each.
    Slow(u32, Duration),
}

impl Answer {
    /// JSON of the API.
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        let headers = vec![
            (
                header::CONTENT_TYPE,
                "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8".into(),
            ),
            (HeaderName::from_static("odata-version"), "4.0".into()),
            (header::VARY, "Accept-Encoding".into()),
            (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains".into()),
        ];
        Self { status, headers, body }
    }

    /// The API's error object. `target` is its tracking id.
    pub fn error(status: u16, code: &str, message: &str, target: &str) -> Self {
        let body = json!({ "error": { "code": code, "message": message, "target": target } });
        Self::json(status, body.to_string().into_bytes())
    }

    /// JSON of Graph.
    pub fn graph(status: u16, body: Vec<u8>, request_id: &str) -> Self {
        let kind = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";
        let headers = vec![
            (header::CONTENT_TYPE, kind.into()),
            (HeaderName::from_static("odata-version"), "4.0".into()),
            (HeaderName::from_static("request-id"), request_id.into()),
            (header::VARY, "Accept-Encoding".into()),
            (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000".into()),
        ];
        Self { status, headers, body }
    }

    /// Graph's error object.
    pub fn graph_error(status: u16, code: &str, message: &str, date: Timestamp, request_id: &str) -> Self {
        let date = date.floor_to_second().to_string();
        let inner = json!({ "date": &date[..19], "request-id": request_id, "client-request-id": request_id });
        let body = json!({ "error": { "code": code, "message": message, "innerError": inner } });
        Self::graph(status, body.to_string().into_bytes(), request_id)
    }

    /// JSON of the token endpoint.
    pub fn token(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![
            (header::CONTENT_TYPE, "application/json; charset=utf-8".into()),
            (header::CACHE_CONTROL, "no-store, no-cache".into()),
            (header::PRAGMA, "no-cache".into()),
        ];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// A page of HTML, as something between client and server sends.
    pub fn html(status: u16) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
        let body = format!(
            "<!DOCTYPE html>\r\n<html><head><title>{reason}</title></head><body><h2>{status} {reason}</h2>\
             <p>The service is unavailable.</p></body></html>\r\n"
        );
        Self { status, headers: vec![(header::CONTENT_TYPE, "text/html; charset=utf-8".into())], body: body.into() }
    }

    /// One more header.
    pub fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Packs the body. Takes long for a large one: not for a thread that others wait for.
    pub fn packed(mut self, coding: Coding, asked: &HeaderMap) -> Self {
        let packing = Packing::chosen(coding, asked);
        if let Some(packing) = packing.filter(|_| PACKED_MIN <= self.body.len()) {
            self.body = packing.pack(&self.body);
            self.headers.push((header::CONTENT_ENCODING, packing.name().into()));
        }
        self
    }

    /// The response. Bodies are chunked, as the real ones are.
    pub fn response(self, date: Option<String>, delivery: Delivery) -> Response<Body> {
        let mut response = Response::new(body(self.body.into(), delivery));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let date = date.map(|date| (header::DATE, date));
        for (name, value) in self.headers.into_iter().chain(date) {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

fn body(bytes: Bytes, delivery: Delivery) -> Body {
    match delivery {
        Delivery::Whole => Body::from_stream(stream::iter([Ok::<_, Infallible>(bytes)])),
        Delivery::Cut => Body::from_stream(stream::unfold(0u8, move |step| {
            let half = bytes.slice(..bytes.len() / 2);
            async move {
                match step {
                    0 => Some((Ok(half), 1)),
                    // The turn given away is what lets the first half leave before the connection ends.
                    1 => {
                        tokio::task::yield_now().await;
                        Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), 2))
                    }
                    2.. => None,
                }
            }
        })),
        Delivery::Slow(pieces, pause) => {
            let size = bytes.len().div_ceil(pieces.max(1) as usize).max(1);
            Body::from_stream(stream::unfold(bytes, move |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(pause).await;
                let piece = rest.split_to(size.min(rest.len()));
                Some((Ok::<_, Infallible>(piece), rest))
            }))
        }
    }
}

enum Packing {
    Gzip,
    Zlib,
    Raw,
}

impl Packing {
    fn chosen(coding: Coding, asked: &HeaderMap) -> Option<Self> {
        let offers = |name: &str| {
            let lists = asked.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
            lists.flat_map(|list| list.split(',')).any(|item| {
                let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
                coding.trim().eq_ignore_ascii_case(name) && !matches!(weight.trim(), "q=0" | "q=0.0")
            })
        };
        match coding {
            Coding::AsOffered if offers("deflate") => Some(Self::Zlib),
            Coding::AsOfferedRaw if offers("deflate") => Some(Self::Raw),
            Coding::AsOffered | Coding::AsOfferedRaw => offers("gzip").then_some(Self::Gzip),
            Coding::Identity => None,
            Coding::Gzip => Some(Self::Gzip),
            Coding::Zlib => Some(Self::Zlib),
            Coding::RawDeflate => Some(Self::Raw),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib | Self::Raw => "deflate",
        }
    }

    fn pack(&self, bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        let out = Vec::with_capacity(bytes.len() / 4);
        let packed = match self {
            Self::Gzip => write(flate2::write::GzEncoder::new(out, level), bytes, flate2::write::GzEncoder::finish),
            Self::Zlib => write(flate2::write::ZlibEncoder::new(out, level), bytes, flate2::write::ZlibEncoder::finish),
            Self::Raw => {
                write(flate2::write::DeflateEncoder::new(out, level), bytes, flate2::write::DeflateEncoder::finish)
            }
        };
        packed.expect("a Vec takes every write")
    }
}

fn write<E: Write>(mut encoder: E, bytes: &[u8], finish: impl FnOnce(E) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    encoder.write_all(bytes)?;
    finish(encoder)
}
