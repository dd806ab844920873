//! The RELP sink against rsyslog's imrelp: in the clear and with mutual TLS, large messages, refused certificates, a receiver
//! that dies. What rsyslog never does is in `tests/sink_relp_peers.rs`.

mod outgoing;
#[path = "receivers/rsyslog.rs"]
mod rsyslog;
#[path = "receivers/skipped.rs"]
mod skipped;

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use outgoing::{outgoing, several};
use rsyslog::pki::Pki;
use rsyslog::{BOUND, Rsyslog, comes_true};
use tempfile::TempDir;
use xdrelay::core::courier::DeliverError;
use xdrelay::model::names::Seq;
use xdrelay::sink::relp::{Config, Relp};
use xdrelay::sink::{Outgoing, Sink};

fn config(toml: &str) -> Config {
    toml::from_str(&format!("hostname = 'relay.example.net'\n{toml}")).expect("the keys of a RELP sink")
}

fn open(toml: &str) -> Relp {
    Relp::open(&config(toml)).expect("a sink")
}

fn ports(receiver: &Rsyslog) -> (u16, u16) {
    receiver.relp.expect("an rsyslog with RELP")
}

fn plain(receiver: &Rsyslog) -> String {
    format!("address = 'tcp://127.0.0.1:{}'", ports(receiver).0)
}

fn secured(receiver: &Rsyslog, ca: &Path, with_certificate: bool) -> String {
    let (certificate, key) = &receiver.pki.client;
    let own = format!("certificate = '{}'\nprivate_key = '{}'", certificate.display(), key.display());
    format!(
        "address = 'tls://localhost:{}'\n[tls]\nca_file = '{}'\n{}",
        ports(receiver).1,
        ca.display(),
        if with_certificate { own } else { String::new() }
    )
}

/// The keys for each transport.
fn transports(receiver: &Rsyslog) -> [String; 2] {
    [plain(receiver), secured(receiver, &receiver.pki.ca, true)]
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn setup() -> Option<(TempDir, Rsyslog)> {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Rsyslog::start_relp(dir.path())?;
    Some((dir, receiver))
}

/// The courier in its smallest form: what is not confirmed is sent again, for as long as the bound allows. Answers how often
/// the sink failed.
async fn carry(sink: &mut Relp, events: &[Outgoing], batch_events: usize) -> u32 {
    let (start, mut confirmed, mut failures) = (Instant::now(), 0, 0);
    while confirmed < events.len() {
        assert!(start.elapsed() < 2 * BOUND, "{confirmed} of {} confirmed", events.len());
        let rest = &events[confirmed..];
        match sink.deliver(&rest[..rest.len().min(batch_events)]).await {
            Ok(reached) => {
                let Seq(reached) = reached.expect("a batch is confirmed, or an error says why not");
                confirmed = events.iter().position(|event| event.seq == Seq(reached)).expect("one of them") + 1;
            }
            Err(DeliverError::Retry { .. }) => {
                failures += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    failures
}

#[tokio::test]
async fn every_event_arrives_once_as_it_was_over_tcp_and_over_mutual_tls() {
    let Some((_dir, receiver)) = setup() else { return };
    let mut events = several(1..=1000, 2000);
    // Up to the 128 KiB that are the default.
    events.extend([outgoing(1001, 100 << 10), outgoing(1002, 120 << 10)]);
    for (round, keys) in transports(&receiver).iter().enumerate() {
        let mut sink = open(keys);
        let failures = carry(&mut sink, &events, 300).await;
        assert_eq!(failures, 0);
        sink.close().await.expect("closed");
        let received = receiver.received();
        assert_eq!(received.len(), (round + 1) * events.len(), "confirmed is written, and nothing comes twice");
        for (event, message) in events.iter().zip(&received[round * events.len()..]) {
            assert_eq!(message.msg.as_bytes(), event.body);
            assert_eq!((message.pri.as_str(), message.host.as_str()), ("133", "relay.example.net"));
            assert!(message.sd.contains(&format!("event_id=\"{}\"", event.event.event_id)), "{}", message.sd);
        }
    }
}

#[tokio::test]
async fn a_window_of_one_and_one_larger_than_all_deliver_the_same() {
    let Some((_dir, receiver)) = setup() else { return };
    let events = several(1..=300, 500);
    for (round, window) in [1, 10_000].into_iter().enumerate() {
        let mut sink = open(&format!("window = {window}\n{}", plain(&receiver)));
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(300))));
        assert_eq!(receiver.received().len(), (round + 1) * events.len());
    }
}

#[test]
fn nothing_is_lost_when_rsyslog_is_killed_in_the_middle_and_started_again() {
    let Some((_dir, mut receiver)) = setup() else { return };
    let events = several(1..=5000, 2000);
    for keys in transports(&receiver) {
        let mut byte = receiver.received_bytes();
        let mut sink = open(&keys);
        let failures = std::thread::scope(|scope| {
            let carrier = scope.spawn(|| run(carry(&mut sink, &events, 1000)));
            for _ in 0..3 {
                let enough = receiver.received_bytes() + 2_000_000;
                assert!(comes_true(|| enough <= receiver.received_bytes()), "nothing comes; {}", receiver.log());
                receiver.kill();
                assert!(!carrier.is_finished(), "it was not in the middle of the stream");
                receiver.restart();
            }
            carrier.join().expect("carried")
        });
        assert!(0 < failures, "no kill struck");
        let mut ids: HashMap<String, u32> = HashMap::new();
        for message in receiver.received_from(&mut byte) {
            let event: serde_json::Value = serde_json::from_str(&message.msg).expect("an event");
            let id = event["event_id"].as_str().expect("an id").to_owned();
            assert!(message.sd.contains(&format!("event_id=\"{id}\"")), "{}", message.sd);
            *ids.entry(id).or_default() += 1;
        }
        let lost: Vec<_> = events.iter().filter(|event| !ids.contains_key(event.event.event_id.as_str())).collect();
        assert!(lost.is_empty(), "{} lost, the first is {}", lost.len(), lost[0].seq);
        let repeated = ids.values().filter(|count| 1 < **count).count();
        assert!(repeated <= 3 * 128, "{repeated} repeated: more than three windows");
    }
}

#[tokio::test]
async fn an_idle_session_that_rsyslog_ended_is_replaced_without_a_word() {
    let Some((_dir, mut receiver)) = setup() else { return };
    for (round, keys) in transports(&receiver).iter().enumerate() {
        let mut sink = open(keys);
        assert_eq!(sink.deliver(&several(1..=3, 100)).await, Ok(Some(Seq(3))));
        receiver.stop();
        receiver.restart();
        assert_eq!(sink.deliver(&several(4..=6, 100)).await, Ok(Some(Seq(6))));
        assert_eq!(receiver.received().len(), (round + 1) * 6);
    }
}

#[tokio::test]
async fn an_authority_that_is_not_ours_is_refused_in_a_sentence() {
    let Some((dir, receiver)) = setup() else { return };
    let other = Pki::new(&dir.path().join("other"));
    let mut sink = open(&secured(&receiver, &other.ca, true));
    let Err(DeliverError::Pause { why }) = sink.deliver(&several(1..=1, 10)).await else { panic!("trusted") };
    assert!(why.contains("UnknownIssuer") && why.contains("set `tls.ca_file`"), "{why}");
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn a_missing_client_certificate_is_noticed_and_nothing_is_confirmed() {
    let Some((_dir, receiver)) = setup() else { return };
    let mut sink = open(&secured(&receiver, &receiver.pki.ca, false));
    let error = sink.deliver(&several(1..=1, 10)).await.expect_err("it is not let in");
    assert!(error.to_string().contains("`tls.certificate`"), "{error}");
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn an_event_over_the_limit_is_refused_and_the_rest_flows_on() {
    let Some((_dir, receiver)) = setup() else { return };
    let mut sink = open(&format!("max_message_size = '4 KiB'\n{}", plain(&receiver)));
    let mut events = several(1..=5, 100);
    events[2].body = vec![b'x'; 5000];
    let Err(DeliverError::Refused(refusals)) = sink.deliver(&events).await else { panic!("not refused") };
    assert_eq!(refusals.iter().map(|refusal| refusal.seq).collect::<Vec<_>>(), [Seq(3)]);
    assert!(refusals[0].why.contains("`max_message_size` is 4096 B"), "{}", refusals[0].why);
    events.remove(2);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(5))));
    assert_eq!(receiver.received().len(), 4);
}
