//! What one request holds: how many events, and their bytes.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::sink::Outgoing;
use crate::sink::http::{Batch, Config};

impl Config {
    /// How many of these events go into the next request: at least one, however large.
    pub(super) fn count_of_next(&self, events: &[Outgoing]) -> usize {
        let most = match self.batch {
            Batch::One => 1,
            Batch::Array | Batch::Ndjson => self.batch_events as usize,
        };
        let mut size = 1;
        let fitting = events.iter().take(most).take_while(|event| {
            size += event.body.len() as u64 + 1;
            size <= self.batch_size.0
        });
        fitting.count().max(1)
    }
}

impl Batch {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::One | Self::Array => "application/json",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    pub(super) fn body(self, events: &[Outgoing]) -> Vec<u8> {
        let (open, between, close): (&[u8], &[u8], &[u8]) = match self {
            Self::One => (b"", b"", b""),
            Self::Array => (b"[", b",", b"]"),
            Self::Ndjson => (b"", b"\n", b"\n"),
        };
        let mut body = Vec::with_capacity(events.iter().map(|event| event.body.len() + 1).sum::<usize>() + 2);
        body.extend_from_slice(open);
        for (at, event) in events.iter().enumerate() {
            body.extend_from_slice(if at == 0 { b"" } else { between });
            body.extend_from_slice(&event.body);
        }
        body.extend_from_slice(close);
        body
    }
}

/// The fastest level: JSON shrinks tenfold with it, and a slower one would be the slowest part of the way.
pub(in crate::sink) fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8 + 64), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing into memory does not fail")
}
