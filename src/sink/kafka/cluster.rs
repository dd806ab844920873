//! The brokers together: where they are, who leads which partition, and a connection to each that is needed. It sends no events
//! and tries nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::sink::kafka::broker::{Broker, Manners};
use crate::sink::kafka::fault::{Fault, Verdict, verdict};
use crate::sink::kafka::message::{self, Partitions, Place, Request};
use crate::sink::kafka::record::Numbering;

/// What is known of leaders and partitions is asked anew after this time: that is how new partitions are noticed.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// What is known of the brokers.
pub(super) struct Cluster {
    manners: Manners,
    /// Host and port of those in the configuration.
    seeds: Vec<(String, u16)>,
    /// Which of them is asked next.
    seed: usize,
    nodes: BTreeMap<i32, (String, u16)>,
    topics: BTreeMap<String, Partitions>,
    /// When that was told; none: it is not true any more.
    told: Option<Instant>,
    /// For questions that any broker can answer.
    guide: Option<Broker>,
    connections: BTreeMap<i32, Broker>,
}

impl Cluster {
    /// Connects nowhere yet. There is one seed at least.
    pub(super) fn new(manners: Manners, seeds: Vec<(String, u16)>) -> Self {
        Self {
            manners,
            seeds,
            seed: 0,
            nodes: BTreeMap::new(),
            topics: BTreeMap::new(),
            told: None,
            guide: None,
            connections: BTreeMap::new(),
        }
    }

    pub(super) fn manners(&self) -> &Manners {
        &self.manners
    }

    /// What was known may not be true any more, and who told it may be the one that knows no better.
    pub(super) fn doubt(&mut self) {
        self.told = None;
        self.guide = None;
    }

    /// How many partitions a topic has; none where nobody told yet.
    pub(super) fn partitions(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(BTreeMap::len)
    }

    /// Makes sure that it is known where these topics are.
    pub(super) async fn learn(&mut self, topics: &BTreeSet<String>) -> Result<(), Fault> {
        let is_known = topics.iter().all(|topic| self.topics.contains_key(topic));
        if is_known && self.told.is_some_and(|told| told.elapsed() < KNOWN_FOR) {
            return Ok(());
        }
        let wanted: BTreeSet<&str> = topics.iter().chain(self.topics.keys()).map(String::as_str).collect();
        let request = message::metadata_request(&wanted.into_iter().collect::<Vec<_>>());
        let mut guide = self.guide().await?;
        let told =
            guide.ask(Request::Metadata, |_| request, &self.manners, |reader, _| message::metadata(reader)).await?;
        let peer = guide.peer().to_owned();
        self.guide = Some(guide);
        self.nodes = told.brokers;
        self.connections.retain(|node, _| self.nodes.contains_key(node));
        self.topics.clear();
        for (topic, (code, partitions)) in told.topics {
            if let Err(fault) = usable(code, &partitions) {
                if topics.contains(&topic) {
                    return Err(fault.at(&format!("topic {topic} at {peer}")));
                }
                continue;
            }
            self.topics.insert(topic, partitions);
        }
        if let Some(topic) = topics.iter().find(|topic| !self.topics.contains_key(*topic)) {
            return Err(Fault::Retry(format!("{peer} says nothing of topic {topic}")));
        }
        self.told = Some(Instant::now());
        Ok(())
    }

    /// A new numbering of batches.
    pub(super) async fn numbering(&mut self) -> Result<Numbering, Fault> {
        let mut guide = self.guide().await?;
        let (code, numbering) = guide
            .ask(Request::InitProducerId, message::init_producer_id_request, &self.manners, |reader, _| {
                message::init_producer_id(reader)
            })
            .await?;
        guide.judge(code)?;
        self.guide = Some(guide);
        Ok(numbering)
    }

    /// Who leads a partition.
    pub(super) fn leader(&self, place: &Place) -> Result<i32, Fault> {
        let leader = self.topics.get(&place.topic).and_then(|partitions| partitions.get(&place.partition));
        leader.copied().filter(|leader| self.nodes.contains_key(leader)).ok_or_else(|| {
            Fault::Retry(format!("partition {} of topic {} has no leader now", place.partition, place.topic))
        })
    }

    /// The connection to a broker, for the caller to give back when it is still good; and where to connect to without one.
    pub(super) fn take(&mut self, node: i32) -> (Option<Broker>, (String, u16)) {
        let connection = self.connections.remove(&node).filter(Broker::is_fresh);
        (connection, self.nodes.get(&node).cloned().unwrap_or_default())
    }

    /// A connection that has answered.
    pub(super) fn give_back(&mut self, node: i32, broker: Broker) {
        self.connections.insert(node, broker);
    }

    /// Any broker. While it is being asked it is gone from here, so that nobody meets an answer that is still to come.
    async fn guide(&mut self) -> Result<Broker, Fault> {
        if let Some(guide) = self.guide.take().filter(Broker::is_fresh) {
            return Ok(guide);
        }
        // Those of the configuration in turn, then those that the cluster told about, which may have replaced all of them.
        let known = self.nodes.values();
        let turn = (0..self.seeds.len()).map(|at| &self.seeds[(self.seed + at) % self.seeds.len()]);
        let candidates: Vec<(String, u16)> = turn.chain(known).cloned().collect();
        self.seed = (self.seed + 1) % self.seeds.len();
        let mut faults = Vec::new();
        for (host, port) in &candidates {
            match Broker::connect(host, *port, &self.manners).await {
                Ok(broker) => return Ok(broker),
                Err(fault) => faults.push(fault),
            }
        }
        // What a person can put right says more than that somebody is away.
        let pause = faults.iter().position(|fault| matches!(fault, Fault::Pause(_)));
        Err(faults.swap_remove(pause.unwrap_or_default()))
    }
}

/// Whether a topic can be written to.
fn usable(code: i16, partitions: &Partitions) -> Result<(), Fault> {
    match (code, verdict(code)) {
        // Metadata knows of no other reason than that the topic is not there, or that we may not see it.
        (3, _) => {
            Err(Fault::Pause("is not there, or we may not see it: create it, or grant DESCRIBE and WRITE on it".into()))
        }
        (_, Verdict::Fault(fault)) => Err(fault),
        (_, Verdict::Renumber(why)) => Err(Fault::Retry(why)),
        (_, Verdict::Done) if partitions.is_empty() => Err(Fault::Retry("has no partitions yet".into())),
        (_, Verdict::Done) => Ok(()),
    }
}
