//! The values of the ledger: a checksum over key and body in front of every one, then the body. It must not know sled.
//!
//! Small bodies are JSON, read leniently enough that a member can be added; chunks are bytes. No value is over
//! [`VALUE_MAX`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::core::position::Position;
use crate::core::seen::Mark;
use crate::model::delivery::ForSink;
use crate::model::event::{Change, Event, Kind, Notes};
use crate::model::names::{EventId, IncidentId, Seq, SinkName, TenantKey, TenantName};
use crate::model::timestamp::Timestamp;

/// The format this program writes and reads. A ledger with a greater one was written by a newer program.
pub(crate) const FORMAT: u32 = 1;
/// No value is longer, in bytes. sled spills page writes over 128 KiB into files that it never syncs and leaks. A page has 17
/// values before it is split, and up to 3 more where a sparse neighbour was merged into it: 20 of these stay below.
pub(crate) const VALUE_MAX: usize = 6 * 1024;
/// Bytes of a compressed body in one chunk.
pub(crate) const CHUNK_MAX: usize = VALUE_MAX - CHECKSUM;
/// Bytes of CRC-32 in front of a body.
const CHECKSUM: usize = 4;
/// What a ledger calls itself.
pub(crate) const MAGIC: &str = "xdrelay ledger";

/// A value that is not what was written there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Damage {
    pub(crate) why: String,
}

/// What the database is. The layout of this one value is the same in every format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// [`MAGIC`].
    pub(crate) ledger: String,
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// When it was made, in seconds since 1970: tells one ledger from the one that replaced it.
    pub(crate) made: u64,
}

/// What would cost a scan to know. Here and below, positions are kept beside what depends on them: where damage makes sled
/// lose some pages and not others, they do not fit together any more, and that is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// The newest position ever given out, cut or not. Positions are never given out twice.
    pub(crate) end: Seq,
    /// The newest position that was cut. Behind it there is no gap.
    pub(crate) cut: Seq,
    /// Seen marks.
    pub(crate) seen: u64,
}

/// How far a tenant was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) position: Position,
    /// The end of the outbox when this was written: all of it is older than the cursor's move.
    pub(crate) end: Seq,
}

/// What is remembered of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) mark: Mark,
    /// The event that was written with it.
    pub(crate) seq: Seq,
}

impl Remembered {
    /// The same, without what `changes` would compare of its lists where that is too much for a value.
    pub(crate) fn fitting(mut self) -> Self {
        let size = serde_json::to_vec(&self).map_or(0, |json| json.len());
        if CHUNK_MAX < size {
            self.mark.digest = None;
        }
        self
    }
}

/// The entry of one event in the outbox's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The configured name of the tenant.
    pub(crate) tenant: TenantName,
    /// Whose cursor this event holds back while it is not delivered.
    pub(crate) key: TenantKey,
    /// When we took it in.
    pub(crate) observed_at: Timestamp,
    /// The time of the revision, where it has one.
    pub(crate) last_update: Option<Timestamp>,
    /// Bytes of the body over all chunks.
    pub(crate) compressed: u64,
    /// Bytes of the body once it is decompressed.
    pub(crate) whole: u64,
    /// The one sink that it is for; none: everybody who wants its tenant. Absent in what was written before there was this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<SinkName>,
}

impl Entry {
    /// How many chunks the body has.
    pub(crate) fn chunks(&self) -> u32 {
        u32::try_from(self.compressed.div_ceil(CHUNK_MAX as u64)).unwrap_or(u32::MAX)
    }
}

/// An event but for its incident, as it stands at the front of a body.
#[derive(Debug, Serialize, Deserialize)]
struct Front {
    event_id: EventId,
    kind: Kind,
    tenant: TenantName,
    sequence: u64,
    observed_at: Timestamp,
    changes: Vec<Change>,
    incident_id: IncidentId,
    last_update: Option<Timestamp>,
    severity: Option<String>,
    notes: Notes,
}

/// Puts the checksum in front of a body. The key counts too, so a body under another one's key is found out.
pub(crate) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(CHECKSUM + body.len());
    value.extend_from_slice(&checksum(key, body).to_be_bytes());
    value.extend_from_slice(body);
    value
}

/// The body of a value.
pub(crate) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Damage> {
    let damage = |why: &str| Damage { why: format!("{why} (key {})", shown(key)) };
    let (sum, body) = value.split_at_checked(CHECKSUM).ok_or_else(|| damage("a value is cut short"))?;
    if sum == checksum(key, body).to_be_bytes() { Ok(body) } else { Err(damage("a value fails its checksum")) }
}

/// The value of anything small.
pub(crate) fn encode<T: Serialize>(key: &[u8], value: &T) -> Vec<u8> {
    let body = serde_json::to_vec(value).expect("our own structs have text keys and no failing serializer");
    seal(key, &body)
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, Damage> {
    serde_json::from_slice(unseal(key, value)?)
        .map_err(|error| Damage { why: format!("a value cannot be read: {error} (key {})", shown(key)) })
}

/// The body of an event: the length of its front, the front, the incident byte for byte.
pub(crate) fn write_body(event: &Event) -> Vec<u8> {
    let front = Front {
        event_id: event.event_id.clone(),
        kind: event.kind,
        tenant: event.tenant.clone(),
        sequence: event.sequence,
        observed_at: event.observed_at,
        changes: event.changes.clone(),
        incident_id: event.incident_id.clone(),
        last_update: event.last_update,
        severity: event.severity.clone(),
        notes: event.notes.clone(),
    };
    let front = serde_json::to_vec(&front).expect("our own structs have text keys and no failing serializer");
    let length = u32::try_from(front.len()).expect("a front is shorter than the page it came in, under 4 GiB");
    let mut body = Vec::with_capacity(4 + front.len() + event.incident.get().len());
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&front);
    body.extend_from_slice(event.incident.get().as_bytes());
    body
}

/// Reads what [`write_body`] wrote.
pub(crate) fn read_body(seq: Seq, body: Vec<u8>) -> Result<Event, Damage> {
    let damage = |why: String| Damage { why: format!("the body of event {seq} cannot be read: {why}") };
    let short = || damage("it is cut short".into());
    let (length, rest) = body.split_at_checked(4).ok_or_else(short)?;
    let length = u32::from_be_bytes(length.try_into().map_err(|_| short())?);
    let (front, incident) = rest.split_at_checked(length as usize).ok_or_else(short)?;
    let front: Front = serde_json::from_slice(front).map_err(|error| damage(error.to_string()))?;
    let incident = String::from_utf8(incident.to_vec()).map_err(|error| damage(error.to_string()))?;
    Ok(Event {
        event_id: front.event_id,
        kind: front.kind,
        tenant: front.tenant,
        sequence: front.sequence,
        observed_at: front.observed_at,
        changes: front.changes,
        incident_id: front.incident_id,
        last_update: front.last_update,
        severity: front.severity,
        notes: front.notes,
        incident: RawValue::from_string(incident).map_err(|error| damage(error.to_string()))?,
        for_sink: ForSink::default(),
    })
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// A key for messages: kinds are in the first byte, names readable.
fn shown(key: &[u8]) -> String {
    key.iter().take(120).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::courier::{Progress, Refusal};
    use crate::core::quota::QuotaState;
    use crate::core::seen::{HASHES_MAX, Telling};
    use crate::model::dialect::Dialect;
    use crate::model::digest::Digest;
    use crate::model::hash::ContentHash;
    use crate::model::incident::{Extent, Fields};
    use crate::model::moment::Moment;

    fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let sealed = encode(b"key", value);
        assert_eq!(&decode::<T>(b"key", &sealed).expect("our own value"), value);
        assert!(decode::<T>(b"kez", &sealed).is_err(), "under another key");
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        any::<u64>().prop_map(Timestamp::from_ticks)
    }

    fn moment() -> impl Strategy<Value = Moment> {
        any::<u64>().prop_map(Moment::from_nanos)
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        proptest::option::of(".{0,30}")
    }

    fn hashes() -> impl Strategy<Value = Vec<ContentHash>> {
        proptest::collection::vec(any::<u64>().prop_map(ContentHash::from_bits), 0..8)
    }

    #[test]
    fn the_largest_mark_fits() {
        // As long as they are cut to, and six bytes each in JSON.
        let text = Some("\u{1}".repeat(128));
        let fields = Fields {
            status: text.clone(),
            severity: text.clone(),
            assignee: text.clone(),
            classification: text.clone(),
            determination: text.clone(),
            redirected_to: text,
        };
        let time = Timestamp::from_ticks(u64::MAX);
        let telling = Telling { time, dialect: Dialect::Graph, extent: Extent::Part };
        let hashes = vec![ContentHash::from_bits(u64::MAX); HASHES_MAX];
        let mark = Mark {
            time,
            odd_hashes: hashes.clone(),
            hashes,
            ahead: vec![telling; HASHES_MAX],
            dialect: Dialect::Graph,
            extent: Extent::Part,
            fields,
            digest: Some(Digest { tags: vec!["t".repeat(64); 8], ..Digest::default() }),
            written: Moment::from_nanos(u64::MAX),
        };
        let value = encode(b"key", &Remembered { mark, seq: Seq(u64::MAX) }.fitting());
        assert!(value.len() <= VALUE_MAX, "{}", value.len());
    }

    proptest! {
        #[test]
        fn version_and_totals(ledger in ".*", format in any::<u32>(), made in any::<u64>(), end in any::<u64>()) {
            same(&Version { ledger, format, made });
            same(&Totals { end: Seq(end), cut: Seq(made), seen: made });
        }

        #[test]
        fn positions(cursor in time(), floor in time(), swept in proptest::option::of(time()), sequence in any::<u64>()) {
            same(&Read { position: Position { swept, ..Position { floor, ..Position::start(cursor) } }, end: Seq(sequence) });
            same(&sequence);
        }

        #[test]
        fn quotas_and_progress(minute in moment(), hour in moment(), seq in any::<u64>(), why in ".*") {
            same(&QuotaState { minute, hour });
            same(&Progress { acknowledged: Seq(seq), counted: 0 });
            same(&Progress { acknowledged: Seq(seq), counted: seq });
            same(&Refusal { seq: Seq(seq), why });
        }

        #[test]
        fn marks(time in time(), hashes in hashes(), odd_hashes in hashes(), written in moment(),
                 status in text(), assignee in text(), graph in any::<bool>(), is_part in any::<bool>()) {
            let fields = Fields { status, assignee, ..Fields::default() };
            let dialect = if graph { Dialect::Graph } else { Dialect::Defender };
            let extent = if is_part { Extent::Part } else { Extent::Whole };
            let digest = Some(Digest { tags: vec!["t".into()], tag_count: 1, ..Digest::default() });
            let ahead = odd_hashes.iter().map(|_| Telling { time, dialect, extent }).collect();
            let mark = Mark { time, hashes, odd_hashes, ahead, dialect, extent, fields, digest, written };
            same(&Remembered { mark, seq: Seq(9) });
        }

        #[test]
        fn entries(tenant in ".*", key in ".*", observed_at in time(), last_update in proptest::option::of(time()),
                   compressed in any::<u64>(), whole in any::<u64>(), only in text()) {
            let (tenant, key) = (TenantName::new(tenant), TenantKey::new(key));
            let only = only.map(SinkName::new);
            same(&Entry { tenant, key, observed_at, last_update, compressed, whole, only });
        }

        #[test]
        fn entries_of_a_version_before(compressed in any::<u64>(), whole in any::<u64>()) {
            let (tenant, key) = (TenantName::new("contoso"), TenantKey::new("global/1"));
            let time = Timestamp::from_ticks(7);
            let entry = Entry { tenant, key, observed_at: time, last_update: None, compressed, whole, only: None };
            let json = format!(
                r#"{{"tenant":"contoso","key":"global/1","observed_at":7,"last_update":null,"compressed":{compressed},"whole":{whole}}}"#
            );
            prop_assert_eq!(&decode::<Entry>(b"key", &seal(b"key", json.as_bytes())).expect("an old value"), &entry);
            let sealed = encode(b"key", &entry);
            prop_assert_eq!(unseal(b"key", &sealed).expect("our own"), json.as_bytes(), "and the other way");
        }

        #[test]
        fn chunks(body in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let mut value = seal(b"key", &body);
            prop_assert_eq!(unseal(b"key", &value).expect("our own value"), &body[..]);
            let at = at.index(value.len());
            value[at] ^= 1u8 << bit;
            prop_assert!(unseal(b"key", &value).is_err(), "a flipped bit");
        }

        #[test]
        fn bodies(texts in proptest::collection::vec(".{0,40}", 6), sequence in any::<u64>(), last_update in time(),
                  changes in proptest::collection::vec((".{0,9}", text(), text()), 0..4), flag in any::<bool>()) {
            let change = |(field, from, to): (String, Option<String>, Option<String>)| match flag {
                true => Change::value(field, from, to),
                false => Change::list(field, from.into_iter().collect(), to.into_iter().collect(), vec![]),
            };
            let event = Event {
                event_id: EventId::new(&*texts[0]),
                kind: Kind::Reopened,
                tenant: TenantName::new(&*texts[1]),
                sequence,
                observed_at: Timestamp::from_ticks(7),
                changes: changes.into_iter().map(change).collect(),
                incident_id: IncidentId::new(&*texts[2]),
                last_update: flag.then_some(last_update),
                severity: Some(texts[3].clone()),
                notes: Notes { first_seen: flag, repaired: !flag, truncated: flag, compared: !flag, odd: Some(texts[4].clone()) },
                incident: RawValue::from_string(format!(" {{\"a\" : {:?}}} ", "x".repeat(texts[5].len()))).expect("JSON"),
                for_sink: ForSink::default(),
            };
            let back = read_body(Seq(1), write_body(&event)).expect("our own body");
            prop_assert_eq!(format!("{back:?}"), format!("{event:?}"));
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_body(Seq(1), body);
        }
    }
}
