//! What a reader that nobody here wrote understands of it.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use xdrelay::format::{Format, Style};
use xdrelay::model::names::Seq;
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sink::Outgoing;

use crate::outgoing::several;
use crate::sink;
use crate::tenzir::Tenzir;
use crate::why::why;

/// Tenzir answers one item for each request, however many documents there were: proof for a single one, and none for several.
/// What it read is whole in either case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenzir_understands_every_document() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(tenzir) = Tenzir::start(dir.path(), "accept_opensearch \"127.0.0.1:@PORT@\", keep_actions=true") else {
        return;
    };
    let url = format!("http://127.0.0.1:{}", tenzir.port);
    let special = "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{85}\u{2028}\u{202e}é€𝄞{}[]:, ' <&> %s $(x)";
    let mut events = several(1..=6, 50_000);
    for (event, n) in events.iter_mut().zip(1..) {
        let incident = json!({ "incidentId": n, "title": special, "pad": "x".repeat(20_000), "tags": ["a", special] });
        event.event.incident = RawValue::from_string(incident.to_string()).expect("JSON");
        event.body = Style::of(Format::Json).render(&event.event);
    }
    let mut expected = Vec::new();
    let mut expect = |events: &[Outgoing], mode: &str| {
        for Outgoing { event, body, .. } in events {
            expected.push(match mode {
                "history" => json!({ "create": { "_index": "defender", "_id": event.event_id.as_str() } }),
                _ => json!({ "index": { "_index": "defender", "_id": format!("contoso:{}", event.incident_id),
                    "version": 15_994_036_172_900_000_u64, "version_type": "external_gte" } }),
            });
            expected.push(serde_json::from_slice(body).expect("our own event"));
        }
    };
    for (mode, gzip) in [("history", true), ("history", false), ("current", true)] {
        let mut single = sink(&url, &format!("mode = '{mode}'\ngzip = {gzip}\nbatch_events = 1"));
        assert_eq!(single.deliver(&events).await, Ok(Some(Seq(6))), "{mode} {gzip}");
        expect(&events, mode);
    }
    let mut batch = sink(&url, "");
    let (found, why) = why(batch.deliver(&events).await.expect_err("one item for six documents"));
    assert!(found == "retry" && why.contains("1 items for 6 documents"), "{found} {why}");
    expect(&events, "history");
    let mut received = tenzir.wait_for(expected.len());
    assert_eq!(received.len(), expected.len());
    for (received, expected) in received.iter_mut().zip(expected.iter_mut()) {
        if let Some(document) = received.as_object_mut().filter(|object| object.contains_key("event_id")) {
            let time = document.remove("@timestamp").expect("a time");
            assert_eq!(time.as_str().expect("a text").parse(), Ok(Timestamp::from_ticks(15_994_036_172_900_000)));
        }
        same_time(received);
        same_time(expected);
        assert_eq!(received, expected);
    }
}

/// Tenzir reads every text that is a time as one, and writes it in its own way.
fn same_time(event: &mut Value) {
    if let Some(time) = event["observed_at"].as_str() {
        event["observed_at"] = time.parse::<Timestamp>().expect("a time").to_string().into();
    }
}
