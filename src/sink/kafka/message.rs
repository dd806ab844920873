//! The six requests that a producer needs, in versions that every broker since Kafka 1.0 answers, up to 4.x, and what the
//! answers say. Pure: bytes in, bytes out.

use std::collections::BTreeMap;

use crate::sink::kafka::broker::is_host;
use crate::sink::kafka::record::Numbering;
use crate::sink::kafka::wire::{Garbled, Reader, Writer};

/// What is asked for, with the version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    /// Version 7 is the first with zstd; from 9 on everything is written otherwise.
    Produce,
    /// Version 4 is the first that can leave a topic uncreated.
    Metadata,
    /// Version 1 goes on with `SaslAuthenticate`.
    SaslHandshake,
    ApiVersions,
    InitProducerId,
    SaslAuthenticate,
}

impl Request {
    /// All but the one that asks for versions.
    pub(super) const NEEDED: [Self; 2] = [Self::Produce, Self::Metadata];

    pub(super) const fn key(self) -> i16 {
        match self {
            Self::Produce => 0,
            Self::Metadata => 3,
            Self::SaslHandshake => 17,
            Self::ApiVersions => 18,
            Self::InitProducerId => 22,
            Self::SaslAuthenticate => 36,
        }
    }

    /// The versions that we speak, lowest and highest.
    const fn versions(self) -> (i16, i16) {
        match self {
            Self::Produce => (3, 7),
            Self::Metadata => (4, 4),
            Self::SaslHandshake => (1, 1),
            Self::ApiVersions => (0, 0),
            Self::InitProducerId => (0, 4),
            Self::SaslAuthenticate => (0, 1),
        }
    }

    /// Whether this version has compact texts and tagged fields (KIP-482).
    pub(super) const fn is_flexible(self, version: i16) -> bool {
        match self {
            Self::InitProducerId => 2 <= version,
            Self::Produce | Self::Metadata | Self::SaslHandshake | Self::ApiVersions | Self::SaslAuthenticate => false,
        }
    }
}

/// The versions that a broker speaks, by the keys of its requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    /// The highest version that both speak; none where there is none.
    pub(super) fn common(&self, api: Request) -> Option<i16> {
        let (ours, theirs) = (api.versions(), self.0.get(&api.key())?);
        let highest = ours.1.min(theirs.1);
        (ours.0.max(theirs.0) <= highest).then_some(highest)
    }
}

/// The head of a request: its length comes before it, and is not counted here.
pub(super) fn head(api: Request, version: i16, correlation: i32, client_id: &str) -> Writer {
    let mut head = Writer::default();
    head.i16(api.key()).i16(version).i32(correlation).string(client_id);
    if api.is_flexible(version) {
        head.no_tags();
    }
    head
}

/// The answer to `ApiVersions`: its error code too.
pub(super) fn versions(reader: &mut Reader<'_>) -> Result<(i16, Versions), Garbled> {
    let code = reader.i16()?;
    let list = reader.array(|reader| Ok((reader.i16()?, (reader.i16()?, reader.i16()?))))?;
    Ok((code, Versions(list.into_iter().collect())))
}

/// Asks where these topics are. It creates none.
pub(super) fn metadata_request(topics: &[&str]) -> Vec<u8> {
    let mut body = Writer::default();
    body.count(topics.len());
    for topic in topics {
        body.string(topic);
    }
    body.i8(0);
    body.0
}

/// Where things are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Host and port of each broker, by its number.
    pub(super) brokers: BTreeMap<i32, (String, u16)>,
    /// The topics, each with its error code.
    pub(super) topics: BTreeMap<String, (i16, Partitions)>,
}

/// The number of the leader of each partition, by its own number; -1 while there is none.
pub(super) type Partitions = BTreeMap<i32, i32>;

/// The answer to [`metadata_request`].
pub(super) fn metadata(reader: &mut Reader<'_>) -> Result<Metadata, Garbled> {
    let _throttle = reader.i32()?;
    let brokers = reader.array(|reader| {
        let number = reader.i32()?;
        let host = reader.string()?.filter(|host| is_host(host)).ok_or(Garbled)?.to_owned();
        let port = u16::try_from(reader.i32()?).map_err(|_| Garbled)?;
        let _rack = reader.string()?;
        Ok((number, (host, port)))
    })?;
    let (_cluster, _controller) = (reader.string()?, reader.i32()?);
    let topics = reader.array(|reader| {
        let code = reader.i16()?;
        let name = reader.string()?.ok_or(Garbled)?.to_owned();
        let _is_internal = reader.bool()?;
        let partitions = reader.array(partition)?;
        Ok((name, (code, partitions.into_iter().collect())))
    })?;
    Ok(Metadata { brokers: brokers.into_iter().collect(), topics: topics.into_iter().collect() })
}

fn partition(reader: &mut Reader<'_>) -> Result<(i32, i32), Garbled> {
    let _code = reader.i16()?;
    let (number, leader) = (reader.i32()?, reader.i32()?);
    let _replicas = reader.array(Reader::i32)?;
    let _in_sync = reader.array(Reader::i32)?;
    Ok((number, leader))
}

/// Asks for a producer id, outside of any transaction. From version 3 on a producer can ask for its old one, which we do not.
pub(super) fn init_producer_id_request(version: i16) -> Vec<u8> {
    let mut body = Writer::default();
    // The timeout is one of transactions, of which there are none.
    match Request::InitProducerId.is_flexible(version) {
        true => body.compact_null().i32(60_000),
        false => body.null_string().i32(60_000),
    };
    if 3 <= version {
        body.i64(-1).i16(-1);
    }
    if Request::InitProducerId.is_flexible(version) {
        body.no_tags();
    }
    body.0
}

/// The answer, in any version: its error code too.
pub(super) fn init_producer_id(reader: &mut Reader<'_>) -> Result<(i16, Numbering), Garbled> {
    let _throttle = reader.i32()?;
    let code = reader.i16()?;
    Ok((code, Numbering { producer_id: reader.i64()?, epoch: reader.i16()? }))
}

/// Where one batch goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
}

/// Batches, to be acknowledged by all in-sync replicas within so many milliseconds.
pub(super) fn produce_request(batches: &[(&Place, &[u8])], timeout_milliseconds: i32) -> Vec<u8> {
    let mut topics: BTreeMap<&str, Vec<(i32, &[u8])>> = BTreeMap::new();
    for (place, batch) in batches {
        topics.entry(&place.topic).or_default().push((place.partition, batch));
    }
    let size: usize = batches.iter().map(|(place, batch)| batch.len() + place.topic.len() + 16).sum();
    let mut body = Writer(Vec::with_capacity(size + 64));
    body.null_string().i16(-1).i32(timeout_milliseconds).count(topics.len());
    for (topic, partitions) in topics {
        body.string(topic).count(partitions.len());
        for (partition, batch) in partitions {
            body.i32(partition).bytes(batch);
        }
    }
    body.0
}

/// The answer: an error code for each batch.
pub(super) fn produce(reader: &mut Reader<'_>, version: i16) -> Result<BTreeMap<Place, i16>, Garbled> {
    let topics = reader.array(|reader| {
        let topic = reader.string()?.ok_or(Garbled)?.to_owned();
        let partitions = reader.array(|reader| {
            let (partition, code) = (reader.i32()?, reader.i16()?);
            let (_offset, _appended) = (reader.i64()?, reader.i64()?);
            if 5 <= version {
                let _start = reader.i64()?;
            }
            Ok((partition, code))
        })?;
        Ok((topic, partitions))
    })?;
    let codes = topics.into_iter().flat_map(|(topic, partitions)| {
        partitions.into_iter().map(move |(partition, code)| (Place { topic: topic.clone(), partition }, code))
    });
    Ok(codes.collect())
}

/// Chooses a mechanism.
pub(super) fn sasl_handshake_request(mechanism: &str) -> Vec<u8> {
    let mut body = Writer::default();
    body.string(mechanism);
    body.0
}

/// The answer: an error code, and what the broker knows.
pub(super) fn sasl_handshake(reader: &mut Reader<'_>) -> Result<(i16, Vec<String>), Garbled> {
    Ok((reader.i16()?, reader.array(|reader| Ok(reader.string()?.unwrap_or_default().to_owned()))?))
}

/// One step of the mechanism.
pub(super) fn sasl_authenticate_request(bytes: &[u8]) -> Vec<u8> {
    let mut body = Writer::default();
    body.bytes(bytes);
    body.0
}

/// What the broker says to one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) code: i16,
    pub(super) words: String,
    pub(super) bytes: Vec<u8>,
    /// How long the broker takes the credential for good; 0: for ever.
    pub(super) lifetime_milliseconds: u64,
}

/// The answer to [`sasl_authenticate_request`].
pub(super) fn sasl_authenticate(reader: &mut Reader<'_>, version: i16) -> Result<Step, Garbled> {
    let code = reader.i16()?;
    let words = reader.string()?.unwrap_or_default().to_owned();
    let bytes = reader.bytes()?.to_vec();
    let lifetime = if version == 0 { 0 } else { reader.i64()? };
    Ok(Step { code, words, bytes, lifetime_milliseconds: u64::try_from(lifetime).unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_highest_version_that_both_speak_is_spoken() {
        let check = |theirs: (i16, i16), expected: Option<i16>| {
            let versions = Versions([(0, theirs)].into());
            assert_eq!(versions.common(Request::Produce), expected, "{theirs:?}");
        };
        check((0, 2), None);
        check((0, 3), Some(3));
        check((3, 12), Some(7));
        check((8, 12), None);
        assert_eq!(Versions::default().common(Request::Produce), None);
    }

    #[test]
    fn a_cluster_names_hosts_and_nothing_else() {
        let told = |host: &str| {
            let (mut body, count) = (vec![0; 4], 1_i32.to_be_bytes());
            body.extend([&count[..], &7_i32.to_be_bytes()].concat());
            body.extend([&u16::try_from(host.len()).expect("short").to_be_bytes()[..], host.as_bytes()].concat());
            // The port, no rack, no name of the cluster, no controller, no topic.
            body.extend([&9092_i32.to_be_bytes()[..], &[0xff; 2], &[0xff; 2], &[0xff; 4], &[0; 4]].concat());
            metadata(&mut Reader(&body)).map(|told| told.brokers)
        };
        assert_eq!(told("kafka.example.net"), Ok([(7, ("kafka.example.net".to_owned(), 9092))].into()));
        assert_eq!(told("kafka\nERROR forged"), Err(Garbled));
        assert_eq!(told(""), Err(Garbled));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let reader = || Reader(&bytes);
            let _ = versions(&mut reader());
            let _ = metadata(&mut reader());
            let _ = init_producer_id(&mut reader());
            let _ = (produce(&mut reader(), 3), produce(&mut reader(), 7));
            let _ = sasl_handshake(&mut reader());
            let _ = (sasl_authenticate(&mut reader(), 0), sasl_authenticate(&mut reader(), 1));
        }
    }
}
