//! What goes to which partition, in which batch, and how far everything is acknowledged. A batch whose fate is not known goes
//! again as it was, under the same number, before anything after it: so a broker that has it drops the repetition, and an
//! incident stays in order. It decides nothing about when to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::core::courier::{DeliverError, Refusal};
use crate::model::names::Seq;
use crate::sink::Outgoing;
use crate::sink::kafka::broker::{Broker, Manners};
use crate::sink::kafka::cluster::Cluster;
use crate::sink::kafka::fault::{Fault, Verdict, verdict};
use crate::sink::kafka::message::{self, Place, Request};
use crate::sink::kafka::partitioner::partition;
use crate::sink::kafka::record::{self, BATCH_OVERHEAD, Compression, Numbering};

/// A call begins no further round of requests after this time: what is acknowledged counts.
const ROUNDS_TIME: Duration = Duration::from_secs(30);
/// Characters of a topic's name at most (`org.apache.kafka.common.internals.Topic`).
pub(super) const TOPIC_LENGTH_MAX: usize = 249;

/// An event or a part of one: its position, and the number of the part, 0 in one piece.
type Id = (Seq, usize);

fn id(outgoing: &Outgoing) -> Id {
    (outgoing.seq, outgoing.event.for_sink.part.as_ref().map_or(0, |part| part.number))
}

/// What batches are like.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// With `{tenant}` where the tenant's name belongs.
    pub(super) topic: String,
    pub(super) compression: Compression,
    /// Bytes of one batch at most, before compression; a single larger record goes alone.
    pub(super) size_max: usize,
    /// Whether batches have numbers.
    pub(super) is_idempotent: bool,
}

/// Brings events to their partitions.
pub(super) struct Producer {
    cluster: Cluster,
    form: Form,
    /// By which batches are known; none until a broker gave it.
    numbering: Option<Numbering>,
    lanes: BTreeMap<Place, Lane>,
    /// Acknowledged, while something before it is not.
    done: BTreeSet<Id>,
}

/// One partition: at most one batch is on its way.
#[derive(Debug, Default)]
struct Lane {
    /// The number of the next record.
    sequence: i32,
    /// Sent or about to be, and not acknowledged.
    open: Option<Sealed>,
}

/// A batch as it is sent, however often.
#[derive(Debug)]
struct Sealed {
    ids: Vec<Id>,
    bytes: Vec<u8>,
}

/// What kept a batch from being acknowledged; no ids where it concerns everything.
struct Failure {
    fault: Fault,
    ids: Vec<Id>,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { fault, ids: Vec::new() }
    }
}

/// What a leader answered, by partition, and the connection where it is still good.
type Answer = (i32, Option<Broker>, Result<BTreeMap<Place, i16>, Fault>);

impl Producer {
    /// Connects nowhere yet.
    pub(super) fn new(cluster: Cluster, form: Form) -> Self {
        Self { cluster, form, numbering: None, lanes: BTreeMap::new(), done: BTreeSet::new() }
    }

    /// Sends these events, and answers up to where everything is acknowledged. `limit`: how long it may take in all.
    pub(super) async fn deliver(&mut self, events: &[Outgoing], limit: Duration) -> Result<Option<Seq>, DeliverError> {
        let Some(first) = events.first() else { return Ok(None) };
        let failures = match tokio::time::timeout(limit, self.send(events)).await {
            Ok(failures) => failures,
            Err(_) => {
                self.cluster.doubt();
                vec![Fault::Retry(format!("no acknowledgement within {} s", limit.as_secs())).into()]
            }
        };
        let missing = events.iter().position(|outgoing| !self.done.contains(&id(outgoing))).unwrap_or(events.len());
        let reached = events[..missing].last().map(Outgoing::reaches).filter(|reached| first.seq <= *reached);
        if let Some(reached) = reached {
            self.done.retain(|(seq, _)| reached < *seq);
            return Ok(Some(reached));
        }
        let handed: BTreeSet<Id> = events.iter().map(id).collect();
        Err(verdict_of(failures, &handed, events.get(missing).map(id)))
    }

    /// Rounds of requests until everything is acknowledged, something fails, or time is up.
    async fn send(&mut self, events: &[Outgoing]) -> Vec<Failure> {
        let began = Instant::now();
        loop {
            if let Err(fault) = self.prepare(events).await {
                return vec![fault.into()];
            }
            self.seal(events);
            if self.lanes.values().all(|lane| lane.open.is_none()) {
                return Vec::new();
            }
            let failures = self.round().await;
            if !failures.is_empty() || ROUNDS_TIME <= began.elapsed() {
                return failures;
            }
        }
    }

    /// Learns what there is to know before anything can be sent.
    async fn prepare(&mut self, events: &[Outgoing]) -> Result<(), Fault> {
        let mut topics: BTreeSet<String> = events.iter().map(|outgoing| self.topic(outgoing)).collect();
        if let Some(topic) = topics.iter().find(|topic| TOPIC_LENGTH_MAX < topic.len()) {
            return Err(Fault::Pause(format!("{topic} is too long for the name of a topic: correct `topic`")));
        }
        topics.extend(self.lanes.iter().filter(|(_, lane)| lane.open.is_some()).map(|(place, _)| place.topic.clone()));
        self.cluster.learn(&topics).await?;
        let counts =
            self.lanes.keys().map(|place| (place.topic.clone(), self.cluster.partitions(&place.topic))).collect();
        self.check_lanes(&counts);
        if self.numbering.is_none() {
            self.numbering =
                Some(if self.form.is_idempotent { self.cluster.numbering().await? } else { Numbering::NONE });
        }
        Ok(())
    }

    /// A topic that was made anew with fewer partitions: what was on its way to the others goes to these. Where such a partition comes
    /// back, or was never gone, its broker knows the numbers that a new lane would begin with and would drop new events as
    /// repetitions, so all begins with a new numbering.
    fn check_lanes(&mut self, counts: &BTreeMap<String, Option<usize>>) {
        let is_there = |Place { topic, partition }: &Place| {
            let count = counts.get(topic).copied().flatten();
            count.is_none_or(|count| usize::try_from(*partition).is_ok_and(|at| at < count))
        };
        if !self.lanes.keys().all(is_there) {
            self.lanes.clear();
            self.numbering = None;
        }
    }

    /// Makes the next batch of each partition that has none on its way.
    fn seal(&mut self, events: &[Outgoing]) {
        let on_their_way: BTreeSet<Id> = self
            .lanes
            .values()
            .filter_map(|lane| lane.open.as_ref())
            .flat_map(|open| open.ids.iter().copied())
            .collect();
        let mut next: BTreeMap<Place, Vec<&Outgoing>> = BTreeMap::new();
        for outgoing in events {
            if !self.done.contains(&id(outgoing)) && !on_their_way.contains(&id(outgoing)) {
                next.entry(self.place(outgoing)).or_default().push(outgoing);
            }
        }
        let numbering = self.numbering.unwrap_or(Numbering::NONE);
        for (place, waiting) in next {
            let lane = self.lanes.entry(place).or_default();
            if lane.open.is_some() {
                continue;
            }
            let events = &waiting[..self.form.fitting(&waiting)];
            let sequence = if numbering == Numbering::NONE { -1 } else { lane.sequence };
            let bytes = record::batch(events, self.form.compression, numbering, sequence);
            lane.open = Some(Sealed { ids: events.iter().map(|outgoing| id(outgoing)).collect(), bytes });
        }
    }

    /// One request to each leader that has something to get, all at once.
    async fn round(&mut self) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut leaders: BTreeMap<i32, Vec<(&Place, &Sealed)>> = BTreeMap::new();
        for (place, lane) in &self.lanes {
            let Some(open) = &lane.open else { continue };
            match self.cluster.leader(place) {
                Ok(leader) => leaders.entry(leader).or_default().push((place, open)),
                Err(fault) => failures.push(Failure { fault, ids: open.ids.clone() }),
            }
        }
        let connections: BTreeMap<i32, _> = leaders.keys().map(|node| (*node, self.cluster.take(*node))).collect();
        let manners = self.cluster.manners();
        let asked =
            connections.into_iter().zip(leaders.values()).map(|((node, (connection, (host, port))), batches)| {
                let batches = batches.iter().map(|(place, open)| (*place, open.bytes.as_slice())).collect::<Vec<_>>();
                async move {
                    let connection = match connection {
                        Some(connection) => Ok(connection),
                        None => Broker::connect(&host, port, manners).await,
                    };
                    produce(node, connection, &batches, manners).await
                }
            });
        let answers = join_all(asked).await;
        let places: BTreeMap<i32, Vec<Place>> = leaders
            .into_iter()
            .map(|(node, batches)| (node, batches.into_iter().map(|(place, _)| place.clone()).collect()))
            .collect();
        for (node, connection, answer) in answers {
            let peer = connection.as_ref().map_or_else(String::new, |connection| connection.peer().to_owned());
            if let Some(connection) = connection {
                self.cluster.give_back(node, connection);
            }
            for place in &places[&node] {
                failures.extend(self.apply(place, &peer, &answer));
            }
        }
        if self.numbering.is_none() {
            // What is still on its way has the old numbers; a broker that took it may take it again under the new ones.
            self.lanes.clear();
        }
        if !failures.is_empty() {
            self.cluster.doubt();
        }
        failures
    }

    /// What an answer means for one partition.
    fn apply(&mut self, place: &Place, peer: &str, answer: &Result<BTreeMap<Place, i16>, Fault>) -> Option<Failure> {
        let lane = self.lanes.get_mut(place)?;
        let open = lane.open.take()?;
        let code = match answer {
            Ok(codes) => codes.get(place).copied(),
            Err(fault) => {
                let failure = Failure { fault: fault.clone(), ids: open.ids.clone() };
                lane.open = Some(open);
                return Some(failure);
            }
        };
        let at = format!("{peer} for partition {} of topic {}", place.partition, place.topic);
        let fault = match code.map(verdict) {
            Some(Verdict::Done) => {
                let count = i32::try_from(open.ids.len()).expect("a batch is far below 2 GiB");
                // As in Java: after the largest number comes 0.
                lane.sequence = lane.sequence.wrapping_add(count) & i32::MAX;
                self.done.extend(open.ids);
                return None;
            }
            Some(Verdict::Fault(Fault::Refused(why))) => {
                return Some(Failure { fault: Fault::Refused(why).at(&at), ids: open.ids });
            }
            Some(Verdict::Renumber(why)) => {
                self.numbering = None;
                return Some(Failure { fault: Fault::Retry(why).at(&at), ids: open.ids });
            }
            Some(Verdict::Fault(fault)) => fault.at(&at),
            None => Fault::Retry("gave no answer".into()).at(&at),
        };
        let failure = Failure { fault, ids: open.ids.clone() };
        lane.open = Some(open);
        Some(failure)
    }

    fn topic(&self, outgoing: &Outgoing) -> String {
        self.form.topic.replace("{tenant}", outgoing.event.tenant.as_str())
    }

    fn place(&self, outgoing: &Outgoing) -> Place {
        let topic = self.topic(outgoing);
        let count = self.cluster.partitions(&topic).unwrap_or(1).max(1);
        let at = partition(record::key(outgoing).as_bytes(), count);
        Place { topic, partition: i32::try_from(at).expect("brokers count partitions in 32 bits") }
    }
}

impl Form {
    /// How many of these events make the next batch: at least one, however large.
    fn fitting(&self, events: &[&Outgoing]) -> usize {
        let mut size = BATCH_OVERHEAD;
        let fitting = events.iter().take_while(|outgoing| {
            size += record::size(outgoing);
            size <= self.size_max
        });
        fitting.count().max(1)
    }
}

/// One request to one leader. A connection that did not answer is not given back: the answer could still come.
async fn produce(
    node: i32,
    connection: Result<Broker, Fault>,
    batches: &[(&Place, &[u8])],
    manners: &Manners,
) -> Answer {
    let mut connection = match connection {
        Ok(connection) => connection,
        Err(fault) => return (node, None, Err(fault)),
    };
    // The broker gives up on its replicas well before we give up on the broker.
    let wait = i32::try_from((manners.timeout * 3 / 4).as_millis()).unwrap_or(i32::MAX);
    let request = |_| message::produce_request(batches, wait);
    let answer = connection.ask(Request::Produce, request, manners, message::produce).await;
    (node, answer.is_ok().then_some(connection), answer)
}

/// What failures ask of the courier, where nothing new is acknowledged: the one that the first missing event met, or any.
fn verdict_of(failures: Vec<Failure>, handed: &BTreeSet<Id>, missing: Option<Id>) -> DeliverError {
    let is_its = |failure: &Failure| missing.is_some_and(|missing| failure.ids.contains(&missing));
    let at = failures.iter().position(is_its).unwrap_or_default();
    let Some(Failure { fault, ids }) = failures.into_iter().nth(at) else {
        return DeliverError::Retry { why: "not everything was acknowledged in time".into(), after: None };
    };
    match fault {
        // A batch of an earlier call that held more than this one: it is made anew of what is handed over now.
        Fault::Refused(why) if !ids.iter().all(|id| handed.contains(id)) => DeliverError::Retry { why, after: None },
        Fault::Refused(why) => match ids.as_slice() {
            [(seq, _), rest @ ..] if rest.iter().all(|(other, _)| other == seq) => {
                DeliverError::Refused(vec![Refusal { seq: *seq, why }])
            }
            _ => DeliverError::RefusedBatch { why },
        },
        Fault::Retry(_) | Fault::Pause(_) => fault.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_is_gone_takes_the_numbering_with_it() {
        let manners = Manners { client_id: "x".into(), tls: None, sasl: None, timeout: Duration::from_secs(1) };
        let cluster = Cluster::new(manners, vec![("localhost".into(), 1)]);
        let form = Form { topic: "t".into(), compression: Compression::None, size_max: 1000, is_idempotent: true };
        let mut producer = Producer::new(cluster, form);
        let numbering = Some(Numbering { producer_id: 7, epoch: 0 });
        let mut check = |count: Option<usize>, stays: bool| {
            producer.numbering = numbering;
            let place = Place { topic: "t".into(), partition: 2 };
            producer.lanes.insert(place, Lane { sequence: 5, open: None });
            producer.check_lanes(&BTreeMap::from([("t".to_owned(), count)]));
            assert_eq!((producer.numbering.is_some(), producer.lanes.len() == 1), (stays, stays), "{count:?}");
        };
        check(Some(3), true);
        check(None, true);
        check(Some(2), false);
    }
}
