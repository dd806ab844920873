//! What comes from outside gets into the log, and must not write lines of its own there, nor move a terminal's cursor.

use crate::IMPATIENT;
use crate::gate::{Act, Gate, page};
use crate::harness::{Daemon, Place, lively, wait_for};

/// Ends a line, begins another, erases the screen, rings, and turns the direction of writing around.
const FORGED: &str = "canary\r\nforged ERROR a line\u{2028}of somebody else's\u{1b}[2J\u{7}\u{9b}2J\u{85}forged\u{7f}";

/// A row of an incident whose id is such a text.
fn row() -> String {
    serde_json::json!({
        "incidentId": FORGED, "incidentName": FORGED, "lastUpdateTime": "2026-11-21T09:30:00Z", "createdTime": FORGED
    })
    .to_string()
}

/// Every way that words of the source take into the log.
fn answers() -> Vec<Act> {
    let error = serde_json::json!({ "error": { "code": FORGED, "message": FORGED, "target": FORGED } }).to_string();
    let with = |status: &str, kind: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        Act::Send([head.as_bytes(), body].concat())
    };
    vec![
        with("503 Busy", "application/json", error.as_bytes()),
        with("500 canary\u{85}forged", "text/html\u{85}forged", FORGED.as_bytes()),
        with("200 OK", "text/plain", FORGED.as_bytes()),
        Act::Send(page(error.as_bytes(), "")),
        Act::Send(page(FORGED.as_bytes(), "content-encoding: canary\u{85}forged\r\n")),
        Act::Send(page(br#"{"value":[{"incidentId":1,"canary\r\nforged":}]}"#, "")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_outside_writes_a_line_of_the_log() {
    for format in ["text", "json"] {
        let (place, sandbox) = (Place::new(), lively().await);
        // A good one in between, so that no pause grows.
        let (mut left, mut is_good) = (answers(), false);
        let gate = Gate::start(&sandbox, move |asked| {
            is_good = asked.is_list() && !is_good;
            match (asked.is_list() && !is_good).then(|| left.pop()).flatten() {
                Some(answer) => answer,
                None if asked.is_list() && left.is_empty() => Act::Edit(Box::new(|body| {
                    let (rows, _) = body.rsplit_once("]}").expect("a page");
                    let comma = if rows.ends_with('[') { "" } else { "," };
                    format!("{rows}{comma}{}]}}", row())
                })),
                None => Act::Pass,
            }
        })
        .await;
        let most = format!("\"trace\"\nformat = \"{format}\"");
        place.configure(&[
            &IMPATIENT.replace("\"info,xdrelay::run=debug\"", &most),
            &place.tenant_behind("contoso", &sandbox, &gate.url, &gate.url),
            &place.file_sink("file"),
        ]);
        let daemon = Daemon::start(&place);
        let arrived = || place.arrivals("file").iter().any(|arrival| arrival.incident.get() == row());
        wait_for("the incident of that name", arrived);
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        let log = place.text("daemon.log");
        assert!(answers().len() < log.matches("forged").count(), "{format}: every answer was told");
        let strange = log.lines().find(|line| line.contains(|c: char| c.is_control() && c != '\t'));
        assert_eq!(strange, None, "{format}: something that is no text");
        let begins = |line: &&str| match format {
            "json" => serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line["timestamp"].is_string()),
            _ => line.split_once(' ').is_some_and(|(time, _)| time.parse::<jiff::Timestamp>().is_ok()),
        };
        assert_eq!(log.lines().find(|line| !begins(line)), None, "{format}: a line that is not ours");
    }
}
