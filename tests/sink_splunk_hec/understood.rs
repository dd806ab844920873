//! Tenzir's `accept_splunk`, a HEC that nobody here wrote, understands what we send and refuses what it should.

use serde_json::{Value, json};
use tempfile::TempDir;
use xdrelay::format::{Format, Style};
use xdrelay::model::names::{EventId, Seq};
use xdrelay::sink::Outgoing;

use crate::outgoing::{outgoing, several};
use crate::tenzir::Tenzir;
use crate::{Token, asked, why};

const SECRET: &str = "b0221cd8-c4b4-465a-9a3c-273e3a75aa29";

fn start(dir: &TempDir, ack: bool) -> Option<(Tenzir, String)> {
    let pipeline = format!("accept_splunk \"127.0.0.1:@PORT@\", hec_token=\"{SECRET}\", ack={ack}");
    let tenzir = Tenzir::start(dir.path(), &pipeline)?;
    let url = format!("http://127.0.0.1:{}", tenzir.port);
    Some((tenzir, url))
}

/// What would break an envelope if anything could.
const ODD: &str = "\"}}{\"event\":\"forged\"}\r\n\u{0}\u{1b}[2J\u{2028}\u{202e}é😀\\u0000\\";

/// An event whose texts are all odd, in a format.
fn odd(n: u64, format: Format) -> Outgoing {
    let mut outgoing = outgoing(n, 20);
    let incident = json!({ "incidentId": n, "incidentName": ODD, "severity": "High", "tags": [ODD] }).to_string();
    outgoing.event.incident = serde_json::value::RawValue::from_string(incident).expect("JSON");
    outgoing.event.event_id = EventId::new(format!("contoso/{n}/0/{ODD}"));
    outgoing.body = Style::of(format).render(&outgoing.event);
    outgoing
}

#[tokio::test]
async fn every_event_arrives_as_it_was_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some((tenzir, url)) = start(&dir, false) else { return };
    let token = Token::new(SECRET);
    let labels = "index = 'defender'\nhost = 'h.example.net'\nsource = 'xdrelay'\nsourcetype = 'ms:xdr'";
    let mut sent: Vec<Value> = Vec::new();
    for (number, gzip) in [(1, false), (100, true)] {
        let mut events = several(number..number + 30, 2000);
        events.push(odd(number + 30, Format::Json));
        let mut sink = token.sink(&url, &format!("gzip = {gzip}\nbatch_events = 12\n{labels}"));
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(number + 30))));
        sent.extend(events.iter().map(|event| serde_json::from_slice::<Value>(&event.body).expect("our own event")));
    }
    let received = tenzir.wait_for(sent.len());
    assert_eq!(received.len(), sent.len());
    for (received, sent) in received.iter().zip(&sent) {
        assert_eq!(received["event"]["sequence"], sent["sequence"]);
        assert_eq!(received["event"]["incident"], sent["incident"]);
        let fields = json!({
            "event_id": sent["event_id"], "tenant": "contoso", "kind": "updated",
            "incident_id": sent["sequence"].to_string(),
        });
        assert_eq!(received["fields"], fields);
        let label = |name: &str| received[name].as_str().expect("text");
        // It reads the time as a binary fraction.
        assert!(label("time").starts_with("2020-09-06T14:46:57.2"), "{received:#?}");
        let labels = (label("host"), label("source"), label("sourcetype"), label("index"));
        assert_eq!(labels, ("h.example.net", "xdrelay", "ms:xdr", "defender"));
    }
}

#[tokio::test]
async fn a_line_of_text_arrives_as_one_event() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some((tenzir, url)) = start(&dir, false) else { return };
    let token = Token::new(SECRET);
    let text = format!("CEF:0|Microsoft|Defender XDR|1|updated|{}|5|", ODD.replace(['\r', '\n'], " "));
    let mut event = odd(1, Format::Json);
    event.body = text.clone().into_bytes();
    assert_eq!(token.sink(&url, "").deliver(&[event, outgoing(2, 20)]).await, Ok(Some(Seq(2))));
    let received = tenzir.wait_for(2);
    assert_eq!(received.len(), 2, "{received:#?}");
    let first = received.iter().find(|event| event["event"].is_string()).expect("the line");
    assert_eq!(first["event"], text.as_str());
}

/// As it runs here, Tenzir takes events with a number and answers every question with no: it acknowledges at checkpoints, which a
/// pipeline of its own does not have.
#[tokio::test]
async fn what_it_does_not_acknowledge_is_not_confirmed_and_is_sent_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some((tenzir, url)) = start(&dir, true) else { return };
    let token = Token::new(SECRET);
    let mut sink = token.sink(&url, "ack = true\nack_timeout = '5s'\nbatch_events = 5\ngzip = true");
    assert_eq!(sink.deliver(&several(1..=20, 200)).await, Ok(None));
    let (kind, said) = why(asked(&mut *sink).await.expect_err("no acknowledgement"));
    assert!(kind == "retry" && said.ends_with("has not acknowledged events within 5s; they are sent again"), "{said}");
    assert_eq!(sink.deliver(&several(1..=20, 200)).await, Ok(None));
    let received = tenzir.wait_for(40);
    let ids = |events: &[Value]| events.iter().map(|event| event["fields"]["event_id"].to_string()).collect::<Vec<_>>();
    assert_eq!((received.len(), ids(&received[..20])), (40, ids(&received[20..])));
    assert_ne!(received[0]["receiver"]["channel"], received[20]["receiver"]["channel"]);
    drop(tenzir);
    let (kind, said) = why(sink.deliver(&several([21], 20)).await.expect_err("it is gone"));
    assert!(kind == "retry" && said.contains("cannot be reached"), "{said}");
}

#[tokio::test]
async fn what_it_refuses_is_told_with_its_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some((tenzir, url)) = start(&dir, false) else { return };
    let check = async |token: &str, url: &str, more: &str, words: [&str; 2]| {
        let result = Token::new(token).sink(url, more).deliver(&several(1..=2, 20)).await;
        let (kind, why) = why(result.expect_err(words[0]));
        assert!(kind == "pause" && words.iter().all(|word| why.contains(word)), "{why}");
        assert!(!why.contains("s3cret"), "{why}");
    };
    check(SECRET, &url, "ack = true", ["ACK is disabled", "`ack = false`"]).await;
    check("s3cret", &url, "", ["Invalid token", "`token`"]).await;
    assert!(tenzir.received().is_empty());
}
