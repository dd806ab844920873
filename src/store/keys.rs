//! The key table of the ledger: one enum, one first byte per kind, big-endian order. It must not know what the values are.
//!
//! The bytes are on people's disks: a kind keeps its number for ever, a number is never used twice, and what a kind looks
//! like changes only together with [`FORMAT`](crate::store::values::FORMAT).

use crate::model::names::{IncidentId, Seq, SinkName, TenantKey};
use crate::store::Endpoint;

/// Ids up to this many bytes stand in keys as they are; of a longer one, its SHA-256 does. Keys stay small whatever comes.
const ID_MAX: usize = 128;

/// Every key there is. A text is its length in four bytes, then itself; numbers are big-endian, so that the order of the
/// bytes is the order of the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// 0x01 → `Version`: what this database is and in which format.
    Version,
    /// 0x02 → `Totals`: the newest position of the outbox, the newest that was cut, and the number of seen marks.
    Totals,
    /// 0x10 tenant → `Read`: cursor, floor and last sweep.
    Position(TenantKey),
    /// 0x11 tenant → `u64`: the `sequence` of the tenant's newest event.
    Sequence(TenantKey),
    /// 0x12 tenant endpoint → `QuotaState`.
    Quota(TenantKey, Endpoint),
    /// 0x13 tenant → `Quarantine`: the windows that cannot be read.
    Quarantine(TenantKey),
    /// 0x20 tenant incident → `Remembered`: what is remembered of the incident.
    Seen(TenantKey, IncidentId),
    /// 0x30 seq → `Entry`: the index of the outbox. An event is there when its entry is.
    Event(Seq),
    /// 0x31 seq n → bytes: chunk n of the event's compressed body.
    Chunk(Seq, u32),
    /// 0x40 sink → `Progress`: how far the sink has confirmed.
    Progress(SinkName),
    /// 0x41 sink seq → `Refusal`: an event the sink refused for good. It keeps the event in the outbox.
    Refused(SinkName, Seq),
}

/// The first bytes. `Seen` and later kinds leave room for neighbours.
mod kind {
    pub(super) const VERSION: u8 = 0x01;
    pub(super) const TOTALS: u8 = 0x02;
    pub(super) const POSITION: u8 = 0x10;
    pub(super) const SEQUENCE: u8 = 0x11;
    pub(super) const QUOTA: u8 = 0x12;
    pub(super) const QUARANTINE: u8 = 0x13;
    pub(super) const SEEN: u8 = 0x20;
    pub(super) const EVENT: u8 = 0x30;
    pub(super) const CHUNK: u8 = 0x31;
    pub(super) const PROGRESS: u8 = 0x40;
    pub(super) const REFUSED: u8 = 0x41;
}

impl Key {
    /// The key of an incident's mark.
    pub(crate) fn seen(tenant: &TenantKey, incident: &IncidentId) -> Self {
        let incident = if incident.as_str().len() <= ID_MAX {
            incident.clone()
        } else {
            let digest = ring::digest::digest(&ring::digest::SHA256, incident.as_str().as_bytes());
            IncidentId::new(format!("sha256:{}", hex(digest.as_ref())))
        };
        Self::Seen(tenant.clone(), incident)
    }

    /// The bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Version => vec![kind::VERSION],
            Self::Totals => vec![kind::TOTALS],
            Self::Position(tenant) => with_text(kind::POSITION, tenant.as_str()),
            Self::Sequence(tenant) => with_text(kind::SEQUENCE, tenant.as_str()),
            Self::Quota(tenant, endpoint) => {
                let mut bytes = with_text(kind::QUOTA, tenant.as_str());
                bytes.push(endpoint.number());
                bytes
            }
            Self::Quarantine(tenant) => with_text(kind::QUARANTINE, tenant.as_str()),
            Self::Seen(tenant, incident) => {
                let mut bytes = with_text(kind::SEEN, tenant.as_str());
                bytes.extend_from_slice(incident.as_str().as_bytes());
                bytes
            }
            Self::Event(seq) => with_seq(vec![kind::EVENT], *seq),
            Self::Chunk(seq, n) => {
                let mut bytes = with_seq(vec![kind::CHUNK], *seq);
                bytes.extend_from_slice(&n.to_be_bytes());
                bytes
            }
            Self::Progress(sink) => with_text(kind::PROGRESS, sink.as_str()),
            Self::Refused(sink, seq) => with_seq(with_text(kind::REFUSED, sink.as_str()), *seq),
        }
    }

    /// Reads the bytes back; none where they are no key of ours, to the last byte.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        match *first {
            kind::VERSION => rest.is_empty().then_some(Self::Version),
            kind::TOTALS => rest.is_empty().then_some(Self::Totals),
            kind::POSITION => whole_text(rest).map(|text| Self::Position(TenantKey::new(text))),
            kind::SEQUENCE => whole_text(rest).map(|text| Self::Sequence(TenantKey::new(text))),
            kind::QUOTA => match text(rest)? {
                (tenant, [number]) => Some(Self::Quota(TenantKey::new(tenant), Endpoint::from_number(*number)?)),
                (_, []) | (_, [_, _, ..]) => None,
            },
            kind::QUARANTINE => whole_text(rest).map(|text| Self::Quarantine(TenantKey::new(text))),
            kind::SEEN => {
                let (tenant, id) = text(rest)?;
                Some(Self::Seen(TenantKey::new(tenant), IncidentId::new(std::str::from_utf8(id).ok()?)))
            }
            kind::EVENT => Some(Self::Event(seq(rest)?)),
            kind::CHUNK => {
                let (at, n) = rest.split_at_checked(8)?;
                Some(Self::Chunk(seq(at)?, u32::from_be_bytes(n.try_into().ok()?)))
            }
            kind::PROGRESS => whole_text(rest).map(|text| Self::Progress(SinkName::new(text))),
            kind::REFUSED => {
                let (sink, at) = text(rest)?;
                Some(Self::Refused(SinkName::new(sink), seq(at)?))
            }
            _ => None,
        }
    }
}

/// What the keys of a kind, or of one owner in it, begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Prefix<'a> {
    Positions,
    Sequences,
    Quotas,
    Quarantines,
    Seen,
    Events,
    Progress,
    Refused(&'a SinkName),
    /// Of all sinks.
    AllRefused,
}

impl Prefix<'_> {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Positions => vec![kind::POSITION],
            Self::Sequences => vec![kind::SEQUENCE],
            Self::Quotas => vec![kind::QUOTA],
            Self::Quarantines => vec![kind::QUARANTINE],
            Self::Seen => vec![kind::SEEN],
            Self::Events => vec![kind::EVENT],
            Self::Progress => vec![kind::PROGRESS],
            Self::Refused(sink) => with_text(kind::REFUSED, sink.as_str()),
            Self::AllRefused => vec![kind::REFUSED],
        }
    }
}

fn with_text(kind: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a name is shorter than 4 GiB");
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn with_seq(mut bytes: Vec<u8>, seq: Seq) -> Vec<u8> {
    bytes.extend_from_slice(&seq.0.to_be_bytes());
    bytes
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_at_checked(4)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn whole_text(bytes: &[u8]) -> Option<&str> {
    text(bytes).and_then(|(text, rest)| rest.is_empty().then_some(text))
}

fn seq(bytes: &[u8]) -> Option<Seq> {
    Some(Seq(u64::from_be_bytes(bytes.try_into().ok()?)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = Key> {
        let tenant = || ".{0,40}".prop_map(TenantKey::new);
        let sink = || ".{0,20}".prop_map(SinkName::new);
        let seq = || any::<u64>().prop_map(Seq);
        let endpoint = prop_oneof![Just(Endpoint::List), Just(Endpoint::Get)];
        prop_oneof![
            Just(Key::Version),
            Just(Key::Totals),
            tenant().prop_map(Key::Position),
            tenant().prop_map(Key::Sequence),
            (tenant(), endpoint).prop_map(|(tenant, endpoint)| Key::Quota(tenant, endpoint)),
            tenant().prop_map(Key::Quarantine),
            (tenant(), ".{0,300}").prop_map(|(tenant, id)| Key::seen(&tenant, &IncidentId::new(id))),
            seq().prop_map(Key::Event),
            (seq(), any::<u32>()).prop_map(|(seq, n)| Key::Chunk(seq, n)),
            sink().prop_map(Key::Progress),
            (sink(), seq()).prop_map(|(sink, seq)| Key::Refused(sink, seq)),
        ]
    }

    proptest! {
        #[test]
        fn every_kind_is_read_back_to_the_last_byte(key in any_key(), extra in any::<u8>()) {
            let mut bytes = key.encode();
            prop_assert_eq!(Key::decode(&bytes), Some(key.clone()));
            bytes.push(extra);
            prop_assert_ne!(Key::decode(&bytes), Some(key));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Key::decode(&bytes);
        }

        #[test]
        fn the_outbox_is_in_order(a in any::<u64>(), b in any::<u64>(), n in any::<u32>()) {
            prop_assert_eq!(a.cmp(&b), Key::Event(Seq(a)).encode().cmp(&Key::Event(Seq(b)).encode()));
            prop_assert!(a >= b || Key::Chunk(Seq(a), u32::MAX).encode() < Key::Chunk(Seq(b), n).encode());
        }
    }

    #[test]
    fn the_bytes_are_the_same_in_every_release() {
        let check = |key: Key, expected: &str| assert_eq!(hex(&key.encode()), expected, "{key:?}");
        let tenant = || TenantKey::new("t");
        check(Key::Version, "01");
        check(Key::Totals, "02");
        check(Key::Position(tenant()), "100000000174");
        check(Key::Sequence(tenant()), "110000000174");
        check(Key::Quota(tenant(), Endpoint::List), "12000000017401");
        check(Key::Quota(tenant(), Endpoint::Get), "12000000017402");
        check(Key::Quarantine(tenant()), "130000000174");
        check(Key::seen(&tenant(), &IncidentId::new("7")), "20000000017437");
        check(Key::Event(Seq(258)), "300000000000000102");
        check(Key::Chunk(Seq(258), 3), "31000000000000010200000003");
        check(Key::Progress(SinkName::new("s")), "400000000173");
        check(Key::Refused(SinkName::new("s"), Seq(1)), "4100000001730000000000000001");
    }

    #[test]
    fn an_endless_id_makes_a_short_key_of_its_own() {
        let key = |id: String| Key::seen(&TenantKey::new("t"), &IncidentId::new(id)).encode();
        assert!(key("7".repeat(1 << 20)).len() < 100);
        assert_ne!(key("7".repeat(200)), key("7".repeat(201)));
    }
}
