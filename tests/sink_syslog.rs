//! The syslog sink against rsyslog: every transport, hostile texts, refused certificates, a receiver that dies.

#[path = "receivers/rsyslog.rs"]
mod rsyslog;
#[path = "receivers/skipped.rs"]
mod skipped;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use rsyslog::pki::Pki;
use rsyslog::{BOUND, Parsed, Rsyslog};
use serde_json::value::RawValue;
use tempfile::TempDir;
use xdrelay::core::courier::DeliverError;
use xdrelay::format::syslog::SD_ID;
use xdrelay::model::event::{Event, Kind, Notes};
use xdrelay::model::names::{EventId, IncidentId, Seq, TenantName};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sink::syslog::Config;
use xdrelay::sink::syslog::sender::Syslog;
use xdrelay::sink::{Outgoing, Sink};

/// Texts that end fields, messages and frames where nobody takes care.
const HOSTILE: [&str; 8] = [
    "plain",
    "a\nb\r\n<13>1 - - - - - - x",
    "nul\0inside",
    "]\" evil=\"1\"] [other@1 a=\"b",
    "back\\slash\\]",
    "\u{202e}gnp.exe",
    "日本語 é 😀 \u{85}\u{7f}",
    "12 <14>1 2026-01-01T00:00:00Z h a - - - 'quoted' %00 %n",
];

fn event(number: u64) -> Outgoing {
    let hostile = HOSTILE[(number % 8) as usize];
    let incident_id = format!("{number} {hostile}");
    let incident = serde_json::json!({ "incidentId": number, "incidentName": hostile, "more": "x".repeat(1000) });
    let raw = RawValue::from_string(incident.to_string()).expect("JSON");
    let event_id = format!("{hostile}/{number}/15994036172900000/9f3c01ab");
    let body = format!(r#"{{"event_id":{},"incident":{}}}"#, serde_json::json!(event_id), raw.get()).into_bytes();
    Outgoing {
        seq: Seq(number),
        event: Event {
            event_id: EventId::new(event_id),
            kind: Kind::ALL[(number % 5) as usize],
            tenant: TenantName::new(hostile),
            sequence: number,
            observed_at: Timestamp::from_seconds(1_800_000_000),
            changes: Vec::new(),
            incident_id: IncidentId::new(incident_id),
            last_update: Some("2026-11-21T10:00:00.1234567Z".parse().expect("a time")),
            severity: Some("High".into()),
            notes: Notes::default(),
            incident: raw,
            for_sink: xdrelay::model::delivery::ForSink::default(),
        },
        body,
    }
}

fn events(count: u64) -> Vec<Outgoing> {
    (1..=count).map(event).collect()
}

/// What RFC 5424 makes of an event, spelled out once more and apart from the sink's own code.
fn expected(outgoing: &Outgoing) -> Parsed {
    let value = |text: &str| {
        let safe = text.replace(['\n', '\r', '\0', '\u{202e}', '\u{85}', '\u{7f}'], "\u{fffd}");
        safe.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
    };
    let event = &outgoing.event;
    Parsed {
        pri: "131".into(),
        protocol: "1".into(),
        ts: "2026-11-21T10:00:00.123456Z".into(),
        host: "relay.example.net".into(),
        app: "xdrelay".into(),
        procid: std::process::id().to_string(),
        msgid: event.kind.to_string(),
        sd: format!(
            r#"[{SD_ID} event_id="{}" tenant="{}" sequence="{}" incident="{}"]"#,
            value(event.event_id.as_str()),
            value(event.tenant.as_str()),
            event.sequence,
            value(event.incident_id.as_str()),
        ),
        msg: String::from_utf8(outgoing.body.clone()).expect("UTF-8"),
    }
}

fn config(toml: &str) -> Config {
    toml::from_str(&format!("hostname = 'relay.example.net'\nsettle = '1s'\n{toml}"))
        .expect("the keys of a syslog sink")
}

fn open(toml: &str) -> Syslog {
    Syslog::open(&config(toml)).expect("a sink")
}

fn tls_keys(receiver: &Rsyslog, ca: &Path, with_certificate: bool) -> String {
    let (certificate, key) = &receiver.pki.client;
    let own = format!("certificate = '{}'\nprivate_key = '{}'", certificate.display(), key.display());
    format!(
        "address = 'tls://localhost:{}'\n[tls]\nca_file = '{}'\n{}",
        receiver.tls,
        ca.display(),
        if with_certificate { own } else { String::new() }
    )
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn setup() -> Option<(TempDir, Rsyslog)> {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Rsyslog::start(dir.path())?;
    Some((dir, receiver))
}

/// The courier in its smallest form: what is not acknowledged is sent again after an error, for as long as the bound allows.
/// `between` runs after each batch that was sent.
async fn carry(sink: &mut Syslog, events: &[Outgoing], batch_events: usize, mut between: impl FnMut(u64)) {
    let (start, last) = (Instant::now(), events.last().expect("events").seq);
    let (mut sent, mut acknowledged) = (Seq(0), Seq(0));
    while acknowledged < last {
        assert!(start.elapsed() < 2 * BOUND, "{acknowledged} of {last} acknowledged, {sent} sent");
        let rest = &events[sent.0 as usize..];
        let batch = &rest[..rest.len().min(batch_events)];
        match sink.deliver(batch).await {
            Ok(confirmed) => {
                sent = batch.last().map_or(sent, |event| event.seq);
                acknowledged = confirmed.unwrap_or(acknowledged);
                if !batch.is_empty() {
                    between(sent.0);
                }
            }
            Err(DeliverError::Retry { .. }) => sent = acknowledged,
            Err(error) => panic!("{error}"),
        }
        if batch.is_empty() || sent == acknowledged {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Delivers 200 events and compares what the receiver understood, each and in order.
fn check_delivery(receiver: &Rsyslog, toml: &str) {
    let events = events(200);
    let mut sink = open(toml);
    run(carry(&mut sink, &events, 20, |sent| {
        // A datagram that finds the receiver's buffer full is gone, so none may be ahead of it.
        receiver.wait_for_received(sent as usize);
    }));
    let received = receiver.wait_for_received(events.len());
    assert_eq!(received.len(), events.len());
    for (received, event) in received.iter().zip(&events) {
        assert_eq!(received, &expected(event));
    }
}

#[test]
fn udp_delivers_what_was_sent() {
    let Some((_dir, receiver)) = setup() else { return };
    check_delivery(&receiver, &format!("address = 'udp://127.0.0.1:{}'", receiver.udp));
}

#[test]
fn tcp_with_newlines_delivers_what_was_sent() {
    let Some((_dir, receiver)) = setup() else { return };
    check_delivery(&receiver, &format!("address = 'tcp://127.0.0.1:{}'\nframing = 'newline'", receiver.tcp));
}

#[test]
fn tcp_with_octet_counting_delivers_what_was_sent() {
    let Some((_dir, receiver)) = setup() else { return };
    check_delivery(&receiver, &format!("address = 'tcp://127.0.0.1:{}'", receiver.tcp));
}

#[test]
fn mutual_tls_delivers_what_was_sent() {
    let Some((_dir, receiver)) = setup() else { return };
    check_delivery(&receiver, &tls_keys(&receiver, &receiver.pki.ca, true));
}

#[test]
fn an_authority_that_is_not_ours_is_refused_in_a_sentence() {
    let Some((dir, receiver)) = setup() else { return };
    let other = Pki::new(&dir.path().join("other"));
    let mut sink = open(&tls_keys(&receiver, &other.ca, true));
    let error = run(sink.deliver(&events(1))).expect_err("no trust");
    let DeliverError::Pause { why } = error else { panic!("{error:?}") };
    assert!(why.contains("UnknownIssuer") && why.contains("set `tls.ca_file`"), "{why}");
    assert!(receiver.received().is_empty());
}

#[test]
fn a_missing_client_certificate_is_noticed_and_nothing_is_confirmed() {
    let Some((_dir, receiver)) = setup() else { return };
    let mut sink = open(&tls_keys(&receiver, &receiver.pki.ca, false));
    let error = run(async {
        let mut outcome = sink.deliver(&events(1)).await;
        let start = Instant::now();
        // TLS 1.3: the handshake is over for us before the receiver has looked for our certificate.
        while let Ok(confirmed) = outcome {
            assert_eq!(confirmed, None);
            assert!(start.elapsed() < BOUND, "nobody said a word");
            tokio::time::sleep(Duration::from_millis(20)).await;
            outcome = sink.deliver(&[]).await;
        }
        outcome.expect_err("the loop ends with an error")
    });
    // It closes without an alert, and the reset that our unread message causes may come first.
    assert!(error.to_string().contains("another client certificate than `tls.certificate`"), "{error}");
    assert!(receiver.received().is_empty());
}

#[test]
fn a_receiver_that_is_killed_gets_everything_in_the_end() {
    for tls in [false, true] {
        let Some((_dir, mut receiver)) = setup() else { return };
        let toml = match tls {
            false => format!("address = 'tcp://127.0.0.1:{}'", receiver.tcp),
            true => tls_keys(&receiver, &receiver.pki.ca, true),
        };
        let events = events(2000);
        let mut sink = open(&toml);
        let mut kills_left = 3;
        run(carry(&mut sink, &events, 100, |sent| {
            if 0 < kills_left && 700 <= sent {
                kills_left -= 1;
                receiver.kill();
                receiver.restart();
            }
        }));
        assert_eq!(kills_left, 0);
        let received: BTreeSet<String> = receiver.received().into_iter().map(|message| message.msg).collect();
        let lost: Vec<_> =
            events.iter().filter(|event| !received.contains(&expected(event).msg)).map(|e| e.seq).collect();
        assert!(lost.is_empty(), "{} lost, the first is {:?}", lost.len(), lost.first());
    }
}

#[test]
fn a_clean_close_confirms_everything_at_once() {
    for tls in [false, true] {
        let Some((_dir, receiver)) = setup() else { return };
        let keys = match tls {
            false => format!("address = 'tcp://127.0.0.1:{}'", receiver.tcp),
            true => tls_keys(&receiver, &receiver.pki.ca, true),
        };
        let events = events(200);
        let mut sink =
            Syslog::open(&Config { settle: "10m".parse().expect("a span"), ..config(&keys) }).expect("a sink");
        run(async {
            assert_eq!(sink.deliver(&events).await, Ok(None));
            assert_eq!(sink.close().await, Ok(Some(Seq(200))));
        });
        assert_eq!(receiver.wait_for_received(200).len(), 200);
    }
}

#[test]
fn an_event_over_the_limit_is_refused_and_the_rest_flows_on() {
    let Some((_dir, receiver)) = setup() else { return };
    let mut sink = open(&format!("address = 'tcp://127.0.0.1:{}'\nmax_message_size = '4 KiB'", receiver.tcp));
    let mut events = events(5);
    events[2].body = vec![b'x'; 5000];
    run(async {
        let Err(DeliverError::Refused(refusals)) = sink.deliver(&events).await else { panic!("not refused") };
        assert_eq!(refusals.iter().map(|refusal| refusal.seq).collect::<Vec<_>>(), [Seq(3)]);
        assert!(refusals[0].why.contains("`max_message_size` is 4096 B"), "{}", refusals[0].why);
        events.remove(2);
        assert_eq!(sink.deliver(&events).await, Ok(None));
        assert_eq!(sink.close().await, Ok(Some(Seq(5))));
    });
    let received: Vec<_> = receiver.wait_for_received(4).into_iter().map(|message| message.msg).collect();
    assert_eq!(received, events.iter().map(|event| expected(event).msg).collect::<Vec<_>>());
}
