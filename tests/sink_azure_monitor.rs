//! The sink for Azure Monitor's Logs Ingestion API against a small fake of our own, written from its documents, with the sandbox
//! as sign-in. Nobody else's receiver takes part: there is none that could be installed.

#[path = "receivers/logs_ingestion.rs"]
mod logs_ingestion;
mod outgoing;
#[path = "outgoing/why.rs"]
mod why;

use std::collections::BTreeSet;
use std::path::Path;

use logs_ingestion::{AUDIENCE, CALL_SIZE_MAX, DCR, LogsIngestion, columns};
use outgoing::{outgoing, several};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tempfile::NamedTempFile;
use tokio::net::TcpSocket;
use why::why;
use xdrelay::core::courier::{DeliverError, Refusal};
use xdrelay::format::fit::fit;
use xdrelay::format::split::{Split, split};
use xdrelay::format::{Format, Style};
use xdrelay::model::event::{Change, Event};
use xdrelay::model::names::{Seq, SinkName};
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;
use xdrelay::sandbox::world::World;
use xdrelay::sink::{Config, Outgoing, Sink};

/// The JSON of `docs/sentinel.md` under this heading.
fn recipe(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sentinel.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (_, rest) = text.split_once(&format!("\n## {name}\n\n```json\n")).expect(name);
    serde_json::from_str(rest.split("\n```").next().unwrap_or_default()).expect("JSON")
}

/// Azure, as far as the sink sees it: the API with the rule of the document, and a sign-in.
struct Azure {
    api: LogsIngestion,
    sign_in: Sandbox,
    secret: NamedTempFile,
}

impl Azure {
    async fn start() -> Self {
        let settings = Settings { audience: AUDIENCE.into(), ..Settings::default() };
        let world = World::new(xdrelay::sandbox::knobs::Knobs::still(1));
        let listen = "127.0.0.1:0".parse().expect("an address");
        let sign_in = Sandbox::start(listen, world, settings).await.expect("a free port");
        let secret = NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), sign_in.secret()).expect("written");
        Self { api: LogsIngestion::start(&recipe("rule.json")).await, sign_in, secret }
    }

    fn config(&self, more: &str) -> Config {
        let text = format!(
            "endpoint = {:?}\ndcr = {DCR:?}\nstream = 'Custom-XdrIncidents'\ntenant_id = {:?}\nclient_id = {:?}\n\
             credential = {{ kind = 'client_secret', file = {:?} }}\nlogin_url = {:?}",
            self.api.origin,
            self.sign_in.tenant_id(),
            self.sign_in.client_id(),
            self.secret.path(),
            self.sign_in.url().as_str(),
        );
        let mut table: toml::Table = text.parse().expect("TOML");
        table.extend(more.parse::<toml::Table>().expect("TOML"));
        Config::AzureMonitor(table.try_into().expect("a config"))
    }

    fn sink(&self, more: &str) -> Box<dyn Sink> {
        self.config(more).open(&SinkName::new("sentinel")).expect("opened")
    }

    fn sign_ins(&self) -> u64 {
        self.sign_in.calls().arrived(Endpoint::Token)
    }
}

/// The same event with another incident.
fn with_incident(n: u64, incident: &str) -> Outgoing {
    let mut event = outgoing(n, 20).event;
    event.incident = RawValue::from_string(incident.to_owned()).expect("JSON");
    let body = Style::of(Format::Json).render(&event);
    Outgoing { seq: Seq(n), event, body }
}

/// The incident of a row that has it in pieces, put together as the function in the document does.
fn in_pieces(row: &Map<String, Value>) -> Option<String> {
    let text: String = (1..=8).filter_map(|n| row.get(&format!("Incident{n}"))?.as_str()).collect();
    (!text.is_empty()).then_some(text)
}

fn sequences(rows: &[Map<String, Value>]) -> Vec<u64> {
    rows.iter().map(|row| row["Sequence"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn incidents_come_whole_into_the_columns_that_the_rule_declares() {
    let azure = Azure::start().await;
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/incidents");
    let mut files: Vec<_> =
        std::fs::read_dir(testdata).expect("incidents").map(|entry| entry.expect("one").path()).collect();
    files.sort();
    let mut incidents: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).expect("UTF-8")).collect();
    assert!(5 <= incidents.len(), "{files:?}");
    for size in [59_000, 61_000, 64 << 10, 200_000, 470_000] {
        incidents.push(format!("{{\"pad\":\"{}\"}}", "\u{20ac}\\\"\\u0007x".repeat(size / 12)));
    }
    for gzip in [true, false] {
        let events: Vec<_> = incidents.iter().zip(1..).map(|(incident, n)| with_incident(n, incident)).collect();
        let mut rest = &events[..];
        let mut sink = azure.sink(&format!("gzip = {gzip}"));
        while !rest.is_empty() {
            let reached = sink.deliver(rest).await.expect("taken").expect("some");
            rest = &events[usize::try_from(reached.0).expect("small")..];
        }
        let rows = azure.api.rows();
        assert_eq!(rows.len(), events.len());
        for (row, event) in rows.iter().zip(&events) {
            let text = event.event.incident.get();
            let is_same = match in_pieces(row) {
                Some(pieces) => pieces == text,
                None => row["Incident"] == serde_json::from_str::<Value>(text).expect("JSON"),
            };
            assert!(is_same, "an incident of {} B is another in the table", text.len());
            assert_eq!(row["EventId"], event.event.event_id.as_str());
            assert!(row.values().all(|value| !value.is_null()), "a value is of another type: {:?}", row.keys());
        }
    }
    assert_eq!(azure.api.dropped(), BTreeSet::new());
}

#[tokio::test]
async fn the_largest_record_that_is_prepared_fits_whatever_is_in_it() {
    let azure = Azure::start().await;
    let config = azure.config("");
    let limit = config.settings().record_limit();
    let mut sink = azure.sink("");
    // Each character of the second is two in the row; the third is far too large.
    for incident in ["x".repeat(470_000), "\"a\",".repeat(110_000), "\"a\",".repeat(300_000)] {
        let incident = match incident.starts_with('"') {
            true => format!("{{\"incidentId\":7,\"alerts\":[{}1]}}", incident),
            false => format!("{{\"incidentId\":7,\"pad\":\"{incident}\"}}"),
        };
        let Outgoing { seq, event, .. } = with_incident(7, &incident);
        let (event, body) = fit(event, &Style::of(Format::Json), limit).expect("reduced at most");
        let is_truncated = event.notes.truncated;
        assert_eq!(sink.deliver(&[Outgoing { seq, event, body }]).await, Ok(Some(Seq(7))), "{}", incident.len());
        let row = azure.api.rows().pop().expect("a row");
        assert_eq!(row["Notes"].get("truncated").is_some(), is_truncated);
        assert_eq!(is_truncated, limit.is_some_and(|limit| limit < incident.len()));
    }
}

#[tokio::test]
async fn changes_notes_and_parts_have_their_columns() {
    let azure = Azure::start().await;
    let mut event: Event = with_incident(3, r#"{"alerts":[{"alertId":"a"},{"alertId":"b"}]}"#).event;
    event.changes = vec![Change::list("alerts", vec!["a".into(), "b".into()], vec![], vec![])];
    event.for_sink.sequence = Some(41);
    let parts: Vec<_> = split(event, Split::Alerts)
        .into_iter()
        .map(|event| Outgoing { seq: Seq(3), body: Style::of(Format::Json).render(&event), event })
        .collect();
    assert_eq!(azure.sink("").deliver(&parts).await, Ok(Some(Seq(3))));
    let rows = azure.api.rows();
    let check = |at: usize, alert: &str| {
        let row = &rows[at];
        assert!(row["EventId"].as_str().is_some_and(|id| id.ends_with(&format!("#{alert}"))), "{row:?}");
        assert_eq!(row["Notes"]["part"]["alert"], alert);
        assert_eq!(row["SinkSequence"], 41);
        assert_eq!(row["Changes"][0]["field"], "alerts");
        assert_eq!(row["Incident"]["alerts"][0]["alertId"], alert);
    };
    check(0, "a");
    check(1, "b");
}

#[tokio::test]
async fn what_is_too_much_for_one_call_is_split_in_order() {
    let azure = Azure::start().await;
    let size = {
        assert_eq!(azure.sink("gzip = false").deliver(&several([10], 20)).await, Ok(Some(Seq(10))));
        azure.api.calls();
        serde_json::to_string(&azure.api.rows()[0]).expect("JSON").len()
    };
    let check = async |setting: String, expected: &[usize]| {
        let events = several([10, 11, 12, 13, 14], 20);
        assert_eq!(azure.sink(&setting).deliver(&events).await, Ok(Some(Seq(14))), "{setting}");
        assert_eq!(azure.api.calls(), expected, "{setting}");
        assert_eq!(sequences(&azure.api.rows()), [10, 11, 12, 13, 14], "{setting}");
    };
    check(String::new(), &[5]).await;
    check("batch_events = 2".into(), &[2, 2, 1]).await;
    // Brackets around, a comma between.
    check(format!("batch_size = '{} B'", 2 * size + 3), &[2, 2, 1]).await;
    check(format!("batch_size = '{} B'", 2 * size + 2), &[1, 1, 1, 1, 1]).await;
    check("batch_size = '1 B'".into(), &[1, 1, 1, 1, 1]).await;
    assert_eq!(azure.sink("").deliver(&[]).await, Ok(None));
    assert!(azure.api.calls().is_empty(), "nothing to send, no call");
}

#[tokio::test]
async fn what_was_answered_counts_though_a_later_call_fails() {
    let azure = Azure::start().await;
    let mut sink = azure.sink("batch_events = 2");
    let events = several(1..=6, 20);
    azure.api.answer(204, &[], "");
    azure.api.answer(503, &[], "busy");
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(2))));
    azure.api.answer(503, &[], "busy");
    let expected = format!("{} answered 503 Service Unavailable: busy", azure.api.origin);
    assert_eq!(why(sink.deliver(&events[2..]).await.expect_err("busy")), ("retry", expected));
    assert_eq!(sink.deliver(&events[2..]).await, Ok(Some(Seq(6))));
    assert_eq!(sequences(&azure.api.rows()), [3, 4, 5, 6]);
}

#[tokio::test]
async fn each_answer_asks_for_what_helps() {
    let azure = Azure::start().await;
    let mut sink = azure.sink("");
    let mut check = async |status: u16, one: &str, several_of: &str, word: &str| {
        for (events, expected) in [(several(1..=1, 20), one), (several(1..=2, 20), several_of)] {
            azure.api.answer(status, &[], r#"{"error":{"code":"Some","message":"words"}}"#);
            let (found, why) = why(sink.deliver(&events).await.expect_err("a failure"));
            assert_eq!(found, expected, "{status}: {why}");
            assert!(why.contains(word) && why.contains("words"), "{status}: {why}");
            assert!(!why.contains(DCR), "{why}");
        }
    };
    for status in [408, 429, 500, 502, 503, 504] {
        check(status, "retry", "retry", "").await;
    }
    check(403, "pause", "pause", "role Monitoring Metrics Publisher").await;
    check(403, "pause", "pause", "30 minutes").await;
    check(404, "pause", "pause", "check endpoint, dcr and stream").await;
    for status in [302, 405, 407, 415] {
        check(status, "pause", "pause", "correct").await;
    }
    for status in [400, 413, 422] {
        check(status, "refused", "refused batch", "").await;
    }
    for status in [200, 202, 204] {
        azure.api.answer(status, &[], "");
        assert_eq!(sink.deliver(&several([9], 20)).await, Ok(Some(Seq(9))), "{status}");
    }
}

#[tokio::test]
async fn a_wrong_rule_or_stream_pauses_and_says_so() {
    let azure = Azure::start().await;
    for setting in ["dcr = 'dcr-ffffffffffffffffffffffffffffffff'", "stream = 'Custom-Other'"] {
        let (kind, why) = why(azure.sink(setting).deliver(&several([1], 20)).await.expect_err(setting));
        assert!(kind == "pause" && why.contains("no such rule or stream"), "{setting}: {why}");
    }
}

#[tokio::test]
async fn throttling_waits_as_long_as_azure_says() {
    let azure = Azure::start().await;
    azure.api.answer(429, &[("retry-after", "17")], "");
    match azure.sink("").deliver(&several([1], 20)).await {
        Err(DeliverError::Retry { after, .. }) => assert_eq!(after.map(|after| after.as_secs()), Some(17)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_token_serves_all_calls_until_it_is_not_taken_any_more() {
    let azure = Azure::start().await;
    let mut sink = azure.sink("batch_events = 1");
    assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(Some(Seq(3))));
    let tokens = azure.api.tokens();
    assert_eq!((tokens.len(), azure.sign_ins()), (3, 1));
    azure.api.revoke(&tokens[0]);
    assert_eq!(sink.deliver(&several(4..=5, 20)).await, Ok(Some(Seq(5))), "a new token at once");
    let later = azure.api.tokens();
    assert_eq!((later.len(), azure.sign_ins()), (3, 2));
    assert!(later[0] == tokens[0] && later[1] != tokens[0] && later[2] == later[1]);
    assert_eq!(sequences(&azure.api.rows()), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn tokens_that_are_never_taken_make_no_storm_of_sign_ins() {
    let azure = Azure::start().await;
    let mut sink = azure.sink("audience = 'https://api.security.microsoft.com'");
    azure.sign_in.settings().audience = "https://api.security.microsoft.com".into();
    let (kind, why_first) = why(sink.deliver(&several([1], 20)).await.expect_err("not for us"));
    assert!(kind == "pause" && why_first.contains("check tenant_id, client_id, audience"), "{why_first}");
    assert_eq!(azure.sign_ins(), 2);
    let (kind, why_then) = why(sink.deliver(&several([1], 20)).await.expect_err("not for us"));
    assert!(kind == "pause" && why_then.contains("rejects each new token"), "{why_then}");
    assert_eq!(azure.sign_ins(), 2, "answered from memory");
}

#[tokio::test]
async fn a_refused_sign_in_pauses_and_a_new_secret_counts_at_once() {
    let azure = Azure::start().await;
    let mut sink = azure.sink("");
    std::fs::write(azure.secret.path(), "canary-of-a-secret").expect("written");
    let (kind, why_wrong) = why(sink.deliver(&several([1], 20)).await.expect_err("a wrong secret"));
    assert!(kind == "pause" && why_wrong.contains("AADSTS7000215"), "{why_wrong}");
    assert!(!why_wrong.contains("canary"), "{why_wrong}");
    std::fs::write(azure.secret.path(), "").expect("written");
    let (kind, why_none) = why(sink.deliver(&several([1], 20)).await.expect_err("no secret"));
    assert!(kind == "pause" && why_none.contains("is empty"), "{why_none}");
    std::fs::write(azure.secret.path(), azure.sign_in.secret()).expect("written");
    assert_eq!(sink.deliver(&several([1], 20)).await, Ok(Some(Seq(1))));
}

#[tokio::test]
async fn a_token_is_never_repeated_in_a_message() {
    let azure = Azure::start().await;
    let mut sink = azure.sink("");
    assert_eq!(sink.deliver(&several([1], 20)).await, Ok(Some(Seq(1))));
    let token = azure.api.tokens().pop().expect("a token");
    azure.api.answer(400, &[], &format!("you sent {token}"));
    let (_, why) = why(sink.deliver(&several([1], 20)).await.expect_err("refused"));
    assert!(why.contains("you sent ***") && !why.contains(&token), "{why}");
}

#[tokio::test]
async fn a_far_side_that_is_away_is_asked_again() {
    let azure = Azure::start().await;
    let nobody = TcpSocket::new_v4().expect("a socket");
    nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let port = nobody.local_addr().expect("an address").port();
    let check = async |setting: &str, word: &str| {
        let (kind, why) = why(azure.sink(setting).deliver(&several([1], 20)).await.expect_err(setting));
        assert!(kind == "retry" && why.contains(word), "{why}");
    };
    check(&format!("endpoint = 'http://127.0.0.1:{port}'"), "cannot be reached").await;
    check(&format!("login_url = 'http://127.0.0.1:{port}'"), "the sign-in does not work at the moment").await;
}

#[tokio::test]
async fn an_event_that_no_call_can_carry_is_refused_alone() {
    let azure = Azure::start().await;
    let mut sink = azure.sink("");
    let too_large = outgoing(2, CALL_SIZE_MAX);
    let events = [outgoing(1, 20), too_large, outgoing(3, 20)];
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(1))));
    match sink.deliver(&events[1..]).await {
        Err(DeliverError::Refused(refusals)) => match refusals.as_slice() {
            [Refusal { seq: Seq(2), why }] => assert!(why.contains("8 columns"), "{why}"),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    assert_eq!(sequences(&azure.api.rows()), [1]);
}

#[test]
fn the_table_and_the_rule_of_the_document_have_the_same_columns() {
    let (table, rule) = (recipe("table.json"), recipe("rule.json"));
    let properties = &rule["properties"];
    let declared = columns(&properties["streamDeclarations"]["Custom-XdrIncidents"]);
    assert_eq!(columns(&table["properties"]["schema"]), declared);
    let flow = &properties["dataFlows"][0];
    assert_eq!(flow["streams"][0], "Custom-XdrIncidents");
    let name = table["properties"]["schema"]["name"].as_str().expect("a name");
    assert_eq!(flow["outputStream"], format!("Custom-{name}"));
    assert_eq!(flow["destinations"][0], properties["destinations"]["logAnalytics"][0]["name"]);
    // Log Analytics keeps these names for itself (create-custom-table), and 45 characters are the most.
    let reserved =
        ["_ResourceId", "id", "_SubscriptionId", "TenantId", "Type", "UniqueId", "Title", "resource", "RawData"];
    for (column, _) in &declared {
        assert!(!reserved.iter().any(|name| name.eq_ignore_ascii_case(column)) && column.len() <= 45, "{column}");
    }
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sentinel.md")).expect("text");
    for (column, _) in declared.iter().filter(|(column, _)| !column.starts_with("Incident")) {
        assert!(document.contains(&format!("\n| `{column}` | ")), "docs/sentinel.md does not explain {column}");
    }
}
