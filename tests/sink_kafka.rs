//! The Kafka sink against brokers that nobody here wrote: the Tansu broker, and librdkafka's mock cluster with a broker lost.
//! What they have is read back by librdkafka's consumer. No broker that can be installed here asks for a password that it
//! could be given before: that is shown against a gate of our own (`receivers/kafka_gate.py`) with the SCRAM of a package.

mod outgoing;
#[path = "receivers/kafka.rs"]
mod peer;
#[path = "receivers/pki.rs"]
#[expect(dead_code, reason = "no broker here asks for a certificate of ours")]
mod pki;
#[path = "receivers/python.rs"]
mod python;
#[path = "receivers/skipped.rs"]
mod skipped;
#[path = "outgoing/why.rs"]
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use outgoing::{outgoing, several};
use peer::{Peer, Record};
use pki::Pki;
use serde_json::json;
use why::why;
use xdrelay::core::courier::DeliverError;
use xdrelay::model::delivery::Part;
use xdrelay::model::names::{EventId, IncidentId, Seq, SinkName};
use xdrelay::sink::{Config, OpenError, Outgoing, Sink};

fn config(brokers: &str, topic: &str, more: &str) -> Config {
    let brokers: Vec<_> = brokers.split(',').collect();
    let text = format!("brokers = {brokers:?}\ntopic = {topic:?}\n{more}");
    Config::Kafka(toml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn open(brokers: &str, topic: &str, more: &str) -> Result<Box<dyn Sink>, OpenError> {
    config(brokers, topic, more).open(&SinkName::new("lake"))
}

fn sink(brokers: &str, topic: &str, more: &str) -> Box<dyn Sink> {
    open(brokers, topic, more).expect("opened")
}

/// Revisions of incidents: event `n` is about incident `n % incidents`.
fn revisions(numbers: impl IntoIterator<Item = u64>, incidents: u64) -> Vec<Outgoing> {
    let mut events = several(numbers, 300);
    for outgoing in &mut events {
        let (n, incident) = (outgoing.seq.0, outgoing.seq.0 % incidents);
        outgoing.event.incident_id = IncidentId::new(incident.to_string());
        outgoing.event.event_id = EventId::new(format!("contoso/{incident}/{n}/9f3c01ab"));
    }
    events
}

/// The event ids that consumers find, by key, in the order of their partition; first ones only.
fn by_key(records: &[Record]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records {
        let ids = found.entry(record.key.clone()).or_default();
        let id = record.header("event_id").expect("a header").to_owned();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    found
}

/// What a consumer should find of these events.
fn expected(events: &[Outgoing]) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for outgoing in events {
        let key = format!("contoso/{}", outgoing.event.incident_id);
        expected.entry(key).or_default().push(outgoing.event.event_id.to_string());
    }
    expected
}

/// Hands everything over as the courier does, `batch` events at a time and again from what is confirmed, and lets something
/// happen before each call. Answers the failures on the way.
async fn carry(
    sink: &mut dyn Sink,
    events: &[Outgoing],
    batch: usize,
    mut happens: impl FnMut(usize),
) -> Vec<DeliverError> {
    let (mut confirmed, mut failures) = (0, Vec::new());
    for call in 0.. {
        let rest = &events[confirmed..];
        if rest.is_empty() {
            return failures;
        }
        assert!(failures.len() < 200, "it never gets on: {failures:?}");
        happens(call);
        match sink.deliver(&rest[..batch.min(rest.len())]).await {
            Ok(Some(seq)) => confirmed = events.iter().take_while(|event| event.seq <= seq).count(),
            Ok(None) => {}
            Err(error) => failures.push(error),
        }
    }
    failures
}

#[tokio::test]
async fn a_consumer_reads_what_was_delivered_however_it_is_compressed() {
    let Some(mut broker) = Peer::tansu(&[]) else { return };
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("incidents.{compression}");
        broker.create(&topic, 3);
        let events = revisions(1..=400, 40);
        let mut sink = sink(&broker.servers, &topic, &format!("compression = {compression:?}"));
        assert!(carry(sink.as_mut(), &events, 150, |_| {}).await.is_empty());
        let records = broker.consume(&topic);
        assert_eq!(records.len(), events.len(), "{compression}: each event is one record");
        assert_eq!(by_key(&records), expected(&events), "{compression}: in order of each incident");
        let places = broker.order(json!(["partitions", topic, by_key(&records).into_keys().collect::<Vec<_>>()]));
        for record in &records {
            assert_eq!(places[&record.key], record.partition, "{}: where Java's partitioner puts it", record.key);
            let id = record.header("event_id").expect("an id");
            let event = events.iter().find(|event| event.event.event_id.as_str() == id).expect("one of ours");
            assert_eq!(record.value.as_bytes(), event.body, "{compression}: the rendering, byte for byte");
            assert_eq!(record.time, (1, 1_599_403_617_290), "the incident's last update");
            let header = |name| record.header(name);
            assert_eq!((header("kind"), header("tenant"), header("part")), (Some("updated"), Some("contoso"), None));
        }
        assert!(1 < records.iter().map(|record| record.partition).collect::<BTreeSet<_>>().len());
    }
}

#[tokio::test]
async fn a_topic_for_each_tenant_takes_its_own() {
    let Some(mut broker) = Peer::tansu(&[]) else { return };
    let mut events = several(1..=6, 20);
    for outgoing in events.iter_mut().filter(|outgoing| outgoing.seq.0 % 2 == 0) {
        outgoing.event.tenant = xdrelay::model::names::TenantName::new("fabrikam");
    }
    let mut sink = sink(&broker.servers, "incidents-{tenant}", "");
    broker.create("incidents-contoso", 2);
    let (kind, text) = why(sink.deliver(&events).await.expect_err("one topic is missing"));
    assert_eq!(kind, "pause", "{text}");
    assert!(text.contains("incidents-fabrikam") && text.contains("create it"), "{text}");
    broker.create("incidents-fabrikam", 2);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(6))));
    assert_eq!((broker.consume("incidents-contoso").len(), broker.consume("incidents-fabrikam").len()), (3, 3));
    assert_eq!(sink.deliver(&[]).await, Ok(None));
}

#[tokio::test]
async fn an_event_in_parts_counts_with_its_last_part() {
    let Some(mut broker) = Peer::tansu(&[]) else { return };
    broker.create("parts", 2);
    let part = |n: u64, number, of| {
        let mut outgoing = outgoing(n, 20);
        outgoing.event.for_sink.part = Some(Part { number, of, alert: None, entity: None });
        outgoing
    };
    let mut sink = sink(&broker.servers, "parts", "");
    let first = [outgoing(1, 20), part(2, 1, 3), part(2, 2, 3)];
    assert_eq!(sink.deliver(&first).await, Ok(Some(Seq(1))), "the second event is not complete");
    let rest = [part(2, 1, 3), part(2, 2, 3), part(2, 3, 3), outgoing(3, 20)];
    assert_eq!(sink.deliver(&rest).await, Ok(Some(Seq(3))));
    let parts: Vec<_> =
        broker.consume("parts").iter().filter_map(|record| record.header("part").map(str::to_owned)).collect();
    assert_eq!(parts, ["1/3", "2/3", "3/3"], "what was acknowledged is not sent again");
}

#[tokio::test]
async fn nothing_is_lost_with_a_broker_lost_in_mid_stream() {
    let Some(mut cluster) = Peer::mock(3) else { return };
    cluster.create("incidents", 6);
    (0..6).for_each(|partition| {
        cluster.order(json!(["leader", "incidents", partition, partition % 3 + 1]));
    });
    let events = revisions(1..=2000, 100);
    let mut sink = sink(&cluster.servers, "incidents", "timeout = '2s'");
    let failures = carry(sink.as_mut(), &events, 100, |call| match call {
        5 => drop(cluster.order(json!(["down", 1]))),
        // Until somebody else leads nothing goes to these partitions; the others are not held up by that in the end.
        8 => [0, 3].into_iter().for_each(|partition| drop(cluster.order(json!(["leader", "incidents", partition, 2])))),
        14 => drop(cluster.order(json!(["up", 1]))),
        16 => drop(cluster.order(json!(["leader", "incidents", 0, 1]))),
        _ => {}
    })
    .await;
    assert!(!failures.is_empty(), "the loss was noticed");
    assert!(failures.iter().all(|error| matches!(error, DeliverError::Retry { .. })), "{failures:?}");
    let records = cluster.consume("incidents");
    assert_eq!(by_key(&records), expected(&events), "everything is there, in order, and nothing else");
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for record in &records {
        let id = record.header("event_id").expect("an id");
        assert_eq!(*values.entry(id).or_insert(&record.value), record.value, "what comes twice is the same");
    }
}

#[tokio::test]
async fn a_batch_whose_acknowledgement_was_lost_is_there_once() {
    let Some(mut broker) = Peer::tansu(&[]) else { return };
    let Some(mut gate) = Peer::gate(&[&broker.servers, "--open"]) else { return };
    for (topic, idempotent) in [("once", true), ("twice", false)] {
        broker.create(topic, 2);
        let events = revisions(1..=60, 10);
        let mut sink = sink(&gate.servers, topic, &format!("idempotent = {idempotent}"));
        // The broker has it each time, and we do not hear of it; what is handed over the next time is more, or less.
        let mut failures = Vec::new();
        for (confirmed, handed, lost) in [(0, 10, 1), (0, 30, 1), (0, 5, 0), (5, 60, 0)] {
            gate.order(json!(["lose", lost]));
            failures.extend(sink.deliver(&events[confirmed..handed]).await.err());
        }
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(failures.iter().all(|error| matches!(error, DeliverError::Retry { .. })), "{failures:?}");
        let records = broker.consume(topic);
        assert_eq!(by_key(&records), expected(&events), "{topic}: everything, in order");
        assert_eq!(records.len() == events.len(), idempotent, "{topic}: a broker drops what comes twice with a number");
    }
}

#[tokio::test]
async fn each_error_of_a_broker_asks_for_what_helps() {
    let Some(mut cluster) = Peer::mock(1) else { return };
    cluster.create("incidents", 1);
    let mut check = async |code: i32, count: u64, expected: &str, word: &str| {
        let mut sink = sink(&cluster.servers, "incidents", "");
        cluster.order(json!(["errors", 0, [code]]));
        let events = several(1..=count, 20);
        let (kind, text) = why(sink.deliver(&events).await.expect_err("an error"));
        assert_eq!(kind, expected, "{code}: {text}");
        assert!(text.contains(word), "{code}: {text}");
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(count))), "{code}: it goes on");
    };
    check(6, 3, "retry", "NOT_LEADER_OR_FOLLOWER").await;
    check(7, 3, "retry", "REQUEST_TIMED_OUT").await;
    check(19, 3, "retry", "NOT_ENOUGH_REPLICAS").await;
    check(45, 3, "retry", "producer id").await;
    check(10, 1, "refused", "max_message_size").await;
    check(10, 3, "refused batch", "max_message_size").await;
    check(87, 1, "refused", "INVALID_RECORD").await;
    check(29, 3, "pause", "grant WRITE").await;
    check(76, 3, "pause", "compression").await;
}

#[tokio::test]
async fn a_batch_is_no_larger_than_a_message_may_be() {
    let Some(mut broker) = Peer::tansu(&[]) else { return };
    let Some(mut gate) = Peer::gate(&[&broker.servers, "--open"]) else { return };
    broker.create("large", 1);
    let mut sink = sink(&gate.servers, "large", "max_message_size = '64 KiB'");
    let events = several(1..=8, 30_000);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(8))));
    assert_eq!(gate.order(json!(["seen"])), 4, "two fit into one");
    assert_eq!(broker.consume("large").len(), 8);
    let larger = several([9], 100_000);
    assert_eq!(sink.deliver(&larger).await, Ok(Some(Seq(9))), "it goes alone, and the broker has the last word");
}

#[tokio::test]
async fn who_does_not_answer_is_given_up_in_time() {
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = nobody.local_addr().expect("an address").to_string();
    let check = async |brokers: &str, word: &str| {
        let mut sink = sink(brokers, "incidents", "timeout = '300ms'");
        let (kind, text) = why(sink.deliver(&several(1..=2, 20)).await.expect_err("nobody"));
        assert_eq!(kind, "retry", "{text}");
        assert!(text.contains(word), "{text}");
    };
    check(&gone, "cannot be reached").await;
    check(&silent.local_addr().expect("an address").to_string(), "did not answer within").await;
    // One that talks otherwise is a mistake in the settings.
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = other.local_addr().expect("an address").to_string();
    let talks = tokio::spawn(async move {
        let (mut stream, _) = other.accept().await.expect("a connection");
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.expect("written");
        stream
    });
    let (kind, text) = why(sink(&address, "x", "").deliver(&several(1..=1, 20)).await.expect_err("no broker"));
    assert_eq!(kind, "pause", "{text}");
    assert!(text.contains("does not talk like a Kafka broker"), "{text}");
    drop(talks.await);
}

#[tokio::test]
async fn a_broker_is_trusted_by_its_certificate_and_by_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = Pki::new(dir.path());
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let Some(broker) = Peer::tansu(&[]) else { return };
    let files = (text(&pki.server.0), text(&pki.server.1));
    let Some(gate) = Peer::gate(&[&broker.servers, &files.0, &files.1, "--open"]) else { return };
    let mut broker = broker;
    broker.create("tls", 1);
    let trusting = format!("tls = {{ ca_file = {:?} }}", text(&pki.ca));
    assert_eq!(sink(&gate.servers, "tls", &trusting).deliver(&several(1..=3, 20)).await, Ok(Some(Seq(3))));
    assert_eq!(broker.consume("tls").len(), 3);
    let (kind, why_not) =
        why(sink(&gate.servers, "tls", "tls = {}").deliver(&several(1..=3, 20)).await.expect_err("unknown"));
    assert_eq!(kind, "pause", "{why_not}");
    assert!(why_not.contains("tls.ca_file"), "{why_not}");
    let (kind, why_not) =
        why(sink(&gate.servers, "tls", "timeout = '2s'").deliver(&several(1..=3, 20)).await.expect_err("no TLS"));
    assert_eq!(kind, "retry", "{why_not}");
    assert!(why_not.contains("`tls = {}`"), "{why_not}");
    assert!(open(&gate.servers, "tls", "tls = { ca_file = '/nowhere/ca.pem' }").is_err());
}

#[tokio::test]
async fn a_broker_that_asks_gets_the_password_as_the_mechanism_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = Pki::new(dir.path());
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let Some(mut broker) = Peer::tansu(&[]) else { return };
    let Some(gate) = Peer::gate(&[&broker.servers, &text(&pki.server.0), &text(&pki.server.1)]) else { return };
    broker.create("sasl", 1);
    let secret = dir.path().join("secret");
    let settings = |mechanism: &str| {
        format!(
            "tls = {{ ca_file = {:?} }}\nsasl = {{ mechanism = {mechanism:?}, user = 'kim', password = {{ file = {:?} }} }}",
            text(&pki.ca),
            text(&secret)
        )
    };
    for mechanism in ["plain", "scram_sha_256", "scram_sha_512"] {
        let mut sink = sink(&gate.servers, "sasl", &settings(mechanism));
        std::fs::write(&secret, "kaleidoscope\n").expect("written");
        let (kind, why_not) = why(sink.deliver(&several(1..=3, 20)).await.expect_err("a wrong password"));
        assert_eq!(kind, "pause", "{mechanism}: {why_not}");
        assert!(why_not.contains("SASL_AUTHENTICATION_FAILED"), "{mechanism}: {why_not}");
        assert!(!why_not.contains("kaleidoscope"), "{mechanism}: {why_not}");
        std::fs::write(&secret, "pencil\n").expect("written");
        assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(Some(Seq(3))), "{mechanism}: read anew");
    }
    assert_eq!(broker.consume("sasl").len(), 9);
    std::fs::remove_file(&secret).expect("removed");
    let (kind, why_not) =
        why(sink(&gate.servers, "sasl", &settings("plain")).deliver(&several(1..=1, 20)).await.expect_err("no file"));
    assert_eq!(kind, "pause", "{why_not}");
    let nobody = sink(&gate.servers, "sasl", settings("plain").lines().next().expect("tls"));
    let (kind, _) = why({ nobody }.deliver(&several(1..=1, 20)).await.expect_err("a password is wanted"));
    assert_eq!(kind, "retry", "the broker only hangs up");
}

#[tokio::test]
async fn a_password_that_a_real_broker_does_not_know_pauses() {
    let Some(broker) = Peer::tansu(&["--authentication"]) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "pencil").expect("written");
    for mechanism in ["scram_sha_256", "scram_sha_512"] {
        let more = format!("sasl = {{ mechanism = {mechanism:?}, user = 'kim', password = {{ file = {secret:?} }} }}");
        let mut sink = sink(&broker.servers, "incidents", &more);
        let (kind, text) = why(sink.deliver(&several(1..=1, 20)).await.expect_err("nobody is known there"));
        assert_eq!(kind, "pause", "{mechanism}: {text}");
        assert!(text.contains("sasl"), "{mechanism}: {text}");
    }
}

#[test]
fn settings_that_cannot_be_are_told_with_their_key() {
    let check = |brokers: &str, topic: &str, more: &str, key: &str| {
        let problems = config(brokers, topic, more).settings().validate();
        let keys: Vec<_> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, if key.is_empty() { vec![] } else { vec![key] }, "{brokers} {topic} {more}: {problems:?}");
    };
    let far = "kafka.example.net:9093";
    check(far, "incidents", "", "");
    check("kafka.example.net:9092,[2001:db8::1]:9092,192.0.2.1:9092,localhost:1", "a.b_c-{tenant}", "", "");
    for broker in
        ["kafka.example.net", "kafka:x", "kafka:0", ":9092", "http://kafka:9092", "2001:db8::1:9092", "a b:1", "[x]:1"]
    {
        check(broker, "incidents", "", "brokers");
    }
    for topic in ["", "..", "a b", "a/b", "{name}", "ä", &"x".repeat(250)] {
        check(far, topic, "", "topic");
    }
    check(far, "x", "client_id = ''", "client_id");
    check(far, "x", "max_message_size = '1 KiB'", "max_message_size");
    check(far, "x", "max_message_size = '1 GiB'", "max_message_size");
    check(far, "x", "batch_events = 0", "batch_events");
    check(far, "x", "batch_size = '0 B'", "batch_size");
    check(far, "x", "timeout = '0s'", "timeout");
    check(far, "x", "tls = { certificate = 'a.pem' }", "tls");
    let sasl = |mechanism: &str, user: &str, password: &str| {
        format!("sasl = {{ mechanism = {mechanism:?}, user = {user:?}, password = {password} }}")
    };
    let file = "{ file = '/run/x' }";
    check(far, "x", &sasl("plain", "kim", file), "sasl");
    check(far, "x", &sasl("scram_sha_512", "kim", file), "sasl");
    check("localhost:9092,127.0.0.1:1,[::1]:2", "x", &sasl("plain", "kim", file), "");
    check(far, "x", &format!("tls = {{}}\n{}", sasl("plain", "kim", file)), "");
    check(far, "x", &format!("tls = {{}}\n{}", sasl("plain", "", file)), "sasl.user");
    check(far, "x", &format!("tls = {{}}\n{}", sasl("plain", "kim", "{}")), "sasl.password");
    let error = open("kafka", "x", "").err().expect("no port").why;
    assert!(error.starts_with("sinks.lake.brokers: "), "{error}");
}

#[test]
fn settings_tell_what_they_name_and_promise() {
    let far = config("kafka.example.net:9093,other.example.net:9093", "incidents", "");
    let settings = far.settings();
    assert_eq!(settings.authority().as_deref(), Some("kafka.example.net:9093"));
    assert_eq!(settings.warnings().len(), 1, "nothing is encrypted");
    assert_eq!(config("localhost:9092", "x", "").settings().warnings().len(), 0);
    assert_eq!(config("kafka.example.net:9093", "x", "tls = {}").settings().warnings().len(), 0);
    assert_eq!(settings.record_limit(), Some((1 << 20) - 4096));
    assert!(settings.guarantee().starts_with("at least once") && settings.guarantee().contains("same number"));
    let plain = config("localhost:9092", "x", "idempotent = false");
    assert!(!plain.settings().guarantee().contains("same number"));
    assert!(Duration::from_secs(120) <= settings.delivery_max());
    let more = "tls = {}\nsasl = { mechanism = 'plain', user = 'kim', password = { env = 'KAFKA_PASSWORD' } }";
    let signed = config("kafka.example.net:9093", "x", more);
    let names = signed.settings().names();
    assert!(names.tls.is_some() && names.secrets[0].0 == "sasl.password");
}
