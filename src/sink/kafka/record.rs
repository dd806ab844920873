//! Record batches of format 2 (Kafka documentation, "Record Batch"): records of one partition, compressed together, with the
//! numbers by which a broker knows a repetition. Sends nothing.

use std::io::Write;

use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sink::Outgoing;
use crate::sink::kafka::wire::Writer;

/// Bytes of a batch beside its records.
pub(super) const BATCH_OVERHEAD: usize = 61;
/// Bytes of one record beside key, value and headers at most: the lengths, and the names of the headers.
const RECORD_OVERHEAD: usize = 64;

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Small and slow; every consumer reads it.
    Gzip,
    /// Fast.
    Snappy,
    /// Fast.
    Lz4,
    /// Small and fast; wants brokers and consumers of Kafka 2.1 or newer.
    Zstd,
}

impl Compression {
    /// The lowest bits of the batch's attributes.
    const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    fn compress(self, records: Vec<u8>) -> Vec<u8> {
        let reason = "compressing into memory does not fail";
        match self {
            Self::None => records,
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&records).and_then(|()| encoder.finish()).expect(reason)
            }
            // One block without a frame, as librdkafka writes it; Java reads both.
            Self::Snappy => snap::raw::Encoder::new().compress_vec(&records).expect(reason),
            Self::Lz4 => {
                // Java's reader knows independent blocks only.
                let form = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
                let mut encoder = FrameEncoder::with_frame_info(form, Vec::new());
                encoder.write_all(&records).expect(reason);
                encoder.finish().expect(reason)
            }
            Self::Zstd => zstd::bulk::compress(&records, 1).expect(reason),
        }
    }
}

/// By what a broker knows a batch that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbering {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
}

impl Numbering {
    /// None: a repetition is taken as new.
    pub(super) const NONE: Self = Self { producer_id: -1, epoch: -1 };
}

/// The key of an event: all revisions of an incident have the same one.
pub(super) fn key(outgoing: &Outgoing) -> String {
    format!("{}/{}", outgoing.event.tenant, outgoing.event.incident_id)
}

/// Bytes of one record at most, before compression.
pub(super) fn size(outgoing: &Outgoing) -> usize {
    let event = &outgoing.event;
    let twice = event.tenant.as_str().len() * 2 + event.incident_id.as_str().len();
    outgoing.body.len() + twice + event.event_id.as_str().len() + RECORD_OVERHEAD
}

/// The batch of these events, of which there is one at least. `sequence` is the number of the first in its partition.
pub(super) fn batch(events: &[&Outgoing], compression: Compression, numbering: Numbering, sequence: i32) -> Vec<u8> {
    let times: Vec<i64> = events.iter().map(|event| milliseconds(event)).collect();
    let first = times.first().copied().unwrap_or_default();
    let mut records = Writer::default();
    for (at, event) in events.iter().enumerate() {
        let record = record(event, at, times[at] - first);
        records.var_bytes(&record.0);
    }
    let records = compression.compress(records.0);
    let mut body = Writer::default();
    body.i16(compression.code()).i32(events.len() as i32 - 1);
    body.i64(first).i64(times.iter().copied().max().unwrap_or(first));
    body.i64(numbering.producer_id).i16(numbering.epoch).i32(sequence);
    body.count(events.len()).raw(&records);
    let mut batch = Writer(Vec::with_capacity(BATCH_OVERHEAD + records.len()));
    // The offset and the epoch of the leader are the broker's to fill in; 9 bytes lie between the length and what it covers.
    batch.i64(0).count(body.0.len() + 9).i32(-1).i8(2).raw(&crc32c(&body.0).to_be_bytes()).raw(&body.0);
    batch.0
}

fn record(outgoing: &Outgoing, at: usize, later_by: i64) -> Writer {
    let event = &outgoing.event;
    let part = event.for_sink.part.as_ref().map(|part| format!("{}/{}", part.number, part.of));
    let mut headers =
        vec![("event_id", event.event_id.as_str()), ("kind", event.kind.as_str()), ("tenant", event.tenant.as_str())];
    headers.extend(part.as_deref().map(|part| ("part", part)));
    let mut record = Writer(Vec::with_capacity(size(outgoing)));
    record.i8(0).varint(later_by).varint(at as i64);
    record.var_bytes(key(outgoing).as_bytes()).var_bytes(&outgoing.body).varint(headers.len() as i64);
    for (name, value) in headers {
        record.var_bytes(name.as_bytes()).var_bytes(value.as_bytes());
    }
    record
}

/// When the incident was changed last, or when we took it in where it does not say.
fn milliseconds(outgoing: &Outgoing) -> i64 {
    let time = outgoing.event.last_update.unwrap_or(outgoing.event.observed_at);
    i64::try_from(time.ticks() / 10_000).unwrap_or(i64::MAX)
}

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_castagnoli() {
        // RFC 3720 appendix B.4, and the check value that catalogues give.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }
}
