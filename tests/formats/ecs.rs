//! Elastic Common Schema: goldens, Elastic's own schema as the judge, and what no incident may do to a record.

mod names;
mod schema;
mod strange;

use std::collections::BTreeSet;
use std::fmt;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use xdrelay::format::ecs::{Config, Fields, ROOTS, VERSION};
use xdrelay::format::split::{Split, split};
use xdrelay::format::{Format, Style};
use xdrelay::model::content::Content;
use xdrelay::model::delivery::{Original, Passage, Reduction};
use xdrelay::model::event::{Event, Kind, Notes};
use xdrelay::model::names::{EventId, IncidentId};
use xdrelay::model::timestamp::Timestamp;

use crate::{INCIDENTS, event, event_of, golden, has_line_end};
use names::below_prefix;
use schema::{judged, roots};
use strange::strange_incident;

fn style(ecs: Config) -> Style {
    Style { ecs, ..Style::of(Format::Ecs) }
}

fn ours() -> Style {
    style(Config::default())
}

fn elastics() -> Style {
    style(Config { fields: Fields::M365Defender, ..Config::default() })
}

fn document(style: &Style, event: &Event) -> Value {
    read(&style.render(event))
}

/// A document, read by somebody who takes no member twice.
fn read(record: &[u8]) -> Value {
    assert!(!has_line_end(record), "one line: {}", String::from_utf8_lossy(record));
    let text = std::str::from_utf8(record).expect("UTF-8");
    let Once(value) = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(value.is_object(), "one object: {text}");
    value
}

/// JSON without two members of one name.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
        Ok(is.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Once(value))) = entries.next_entry::<String, Once>()? {
            if members.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("{name:?} stands twice")));
            }
        }
        Ok(members.into())
    }
}

fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(document, |value, name| &value[name])
}

/// The parts of the event of one of the incidents.
fn parts(name: &str, by: Split) -> Vec<Event> {
    let event = Event { changes: vec![], notes: Notes::default(), ..event(name) };
    split(event, by)
}

#[test]
fn every_incident_is_the_document_that_was_looked_at() {
    for (name, _) in INCIDENTS {
        golden(name, "ecs.json", &ours().render(&event(name)));
    }
    for name in ["defender_padded", "graph"] {
        golden(name, "m365.ecs.json", &elastics().render(&event(name)));
    }
    for part in parts("defender_padded", Split::Alerts) {
        let number = part.for_sink.part.as_ref().expect("a part").number;
        golden(&format!("defender_padded.part{number}"), "ecs.json", &ours().render(&part));
        golden(&format!("defender_padded.part{number}"), "m365.ecs.json", &elastics().render(&part));
    }
}

/// Every kind of record: whole, in parts, with all settings, reduced, odd, and of incidents that nobody would think of.
fn all_kinds() -> Vec<Event> {
    let mut events: Vec<Event> = INCIDENTS.iter().map(|(name, _)| event(name)).collect();
    for (name, _) in INCIDENTS {
        events.extend(parts(name, Split::Alerts));
        events.extend(parts(name, Split::Entities));
    }
    events.push(unusual());
    let mail = concat!(
        r##"{"id":"1","alerts":[{"evidence":[{"@odata.type":"#microsoft.graph.security.analyzedMessageEvidence","##,
        r#""senderIp":"203.0.113.9","p2Sender":{"emailAddress":"billing@mail.example.com"}}]}]}"#,
    );
    for json in ["null", "[]", "7", "\"x\"", "{}", r#"{"alerts":{}}"#, mail] {
        events.push(event_of(json, Kind::Created));
    }
    let mut dice = TestRunner::deterministic();
    for _ in 0..60 {
        let incident = strange_incident().new_tree(&mut dice).expect("an incident").current();
        events.push(event_of(&incident, Kind::Updated));
        events.extend(split(event_of(&incident, Kind::Created), Split::Alerts).into_iter().take(1));
    }
    events
}

/// Everything is set that can be.
fn unusual() -> Event {
    let mut event = event("graph");
    event.notes =
        Notes { first_seen: true, repaired: true, truncated: true, compared: true, odd: Some("no time".into()) };
    event.for_sink.sequence = Some(7);
    event.for_sink.passage = Some(Passage::Entered);
    event.for_sink.original = Some(Original { size: 9, sha256: "00".repeat(32), left_out: Reduction::Evidence });
    event
}

#[test]
fn elastics_own_schema_has_every_field_and_takes_every_value() {
    let original = |fields| style(Config { fields, original: true, ..Config::default() });
    for (root, styles) in [
        ("microsoft", [ours(), original(Fields::Defender)]),
        ("m365_defender", [elastics(), original(Fields::M365Defender)]),
    ] {
        let events = all_kinds();
        let records: Vec<Vec<u8>> =
            styles.iter().flat_map(|style| events.iter().map(|event| style.render(event))).collect();
        let Some(verdicts) = judged(root, &records) else { return };
        for (record, verdict) in records.iter().zip(verdicts) {
            assert_eq!(verdict, "OK", "{}", String::from_utf8_lossy(record));
        }
    }
}

#[test]
fn the_judge_of_the_records_judges() {
    let good = document(&ours(), &event("defender_padded"));
    let spoilt = |path: &str, value: Value| {
        let mut document = good.clone();
        let (place, name) = path.rsplit_once('.').unwrap_or(("", path));
        let place =
            place.split('.').filter(|name| !name.is_empty()).fold(&mut document, |place, name| &mut place[name]);
        place[name] = value;
        document.to_string().into_bytes()
    };
    let cases: [(&str, Value); 14] = [
        ("@timestamp", json!("yesterday")),
        ("@timestamp", Value::Null),
        ("event.made_up", json!("x")),
        ("event.kind", json!("incident")),
        ("event.category", json!("malware")),
        ("event.category", json!(["authentication", "incident"])),
        ("event.type", json!(["indicator"])),
        ("event.id", json!(["924565"])),
        ("event.id", json!("x".repeat(1025))),
        ("event.severity", json!("3")),
        ("related.ip", json!(["203.0.113.7 src=198.51.100.9"])),
        ("related.user", json!(["jules", "jules"])),
        ("labels", json!({"tenant": {"name": "contoso"}})),
        ("ecs", json!({})),
    ];
    let documents: Vec<Vec<u8>> = cases.iter().map(|(path, value)| spoilt(path, value.clone())).collect();
    let Some(verdicts) = judged("microsoft", &documents) else { return };
    for ((path, value), verdict) in cases.iter().zip(verdicts) {
        assert!(verdict.contains("8: ") && verdict.contains("9: "), "{path} = {value} is taken: {verdict}");
    }
}

#[test]
fn no_prefix_can_take_the_place_of_a_field() {
    let Some(roots) = roots() else { return };
    let missing: Vec<&String> =
        roots.iter().filter(|root| *root != "@timestamp" && !ROOTS.contains(&root.as_str())).collect();
    assert!(40 < roots.len() && missing.is_empty(), "{missing:?} of {}", roots.len());
}

#[test]
fn below_the_prefix_of_elastics_integration_its_names_have_its_types() {
    let mut used = BTreeSet::new();
    for event in all_kinds() {
        let document = document(&elastics(), &event);
        names::check(at(&document, "m365_defender.incident"), &mut used);
    }
    // What no event made say anything would be checked by nobody.
    let unused: Vec<&str> = below_prefix().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn a_part_about_an_alert_goes_by_the_alert_and_names_its_incident() {
    let part = &parts("defender_padded", Split::Alerts)[1];
    let check = |style: &Style, [id, message, category]: [&str; 3], severity: u8, prefix: &str| {
        let document = document(style, part);
        assert_eq!((at(&document, "event.id"), at(&document, "message")), (&json!(id), &json!(message)));
        assert_eq!(at(&document, "event.severity"), severity);
        assert_eq!(at(&document, "event.category"), &json!([category]));
        assert_eq!(at(&document, "host.name"), "srv-02.corp.example.net");
        assert_eq!(at(&document, "file.path"), "C:\\Windows\\Temp\\svc.exe");
        assert!(document.get("user").is_none() && document.get("process").is_none(), "the alert has none");
        assert_eq!(at(&document, &format!("{prefix}.id")), "924565");
        assert_eq!(at(&document, &format!("{prefix}.part.alert")), "da638000000000000002_-1");
    };
    let of_alert = ["da638000000000000002_-1", "Suspicious service registration", "malware"];
    check(&ours(), of_alert, 3, "microsoft.defender.incident");
    let title = "Multi-stage incident involving Execution & Lateral movement on multiple endpoints";
    check(&elastics(), ["924565", title, "intrusion_detection"], 4, "m365_defender.incident");
}

#[test]
fn every_event_has_a_time_and_a_version_also_where_the_incident_has_none() {
    for json in ["null", "{}", r#"{"incidentId":1,"lastUpdateTime":"soon","createdTime":"0001-01-01T00:00:00Z"}"#] {
        let document = document(&ours(), &event_of(json, Kind::Created));
        assert_eq!(at(&document, "@timestamp"), "2026-11-20T09:36:10.1234567Z", "{json}");
        assert_eq!(at(&document, "event.created"), "2026-11-20T09:36:10.1234567Z", "{json}");
        assert_eq!(at(&document, "ecs.version"), VERSION);
        assert_eq!(at(&document, "event").get("start"), None);
    }
    let without_id = Event {
        incident_id: IncidentId::new(""),
        event_id: EventId::new("contoso//0/9f3c01ab"),
        ..event_of("null", Kind::Created)
    };
    assert_eq!(at(&document(&ours(), &without_id), "event.id"), "contoso//0/9f3c01ab");
}

#[test]
fn the_raw_incident_goes_along_only_where_it_is_wanted() {
    let event = event("attack");
    assert_eq!(at(&document(&ours(), &event), "event").get("original"), None);
    let with = document(&style(Config { original: true, ..Config::default() }), &event);
    assert_eq!(at(&with, "event.original"), event.incident.get());
}

#[test]
fn the_own_prefix_is_as_deep_as_it_has_names() {
    for prefix in ["acme", "acme.xdr", "a.b.c.d"] {
        let config = Config { prefix: Some(prefix.into()), ..Config::default() };
        let document = document(&style(config), &event("graph"));
        assert_eq!(at(&document, &format!("{prefix}.id")), "924565");
        assert!(document.get("microsoft").is_none());
    }
    // One that validate() refuses, and nobody asked it.
    let config = Config { prefix: Some("event\":{}".into()), ..Config::default() };
    assert_eq!(at(&document(&style(config), &event("graph")), "microsoft.defender.incident.id"), "924565");
}

#[test]
fn what_there_is_too_much_of_is_bounded_and_counted() {
    let entity =
        |at: usize| json!({"entityType": "User", "accountName": format!("user{at}"), "ipAddress": "203.0.113.7"});
    let entities: Vec<Value> = (0..150).map(entity).collect();
    let mut alerts: Vec<Value> = (0..120)
        .map(|at| json!({"alertId": format!("a{at}"), "entities": entities, "mitreTechniques": ["T1059"]}))
        .collect();
    let mut comments = vec![json!({"comment": "first"}); 120];
    comments.push(json!({"comment": "last"}));
    let tags: Vec<String> = (0..300).map(|at| format!("tag{at}")).collect();
    let users: Vec<Value> =
        (0..900).map(|at| json!({"entityType": "User", "accountName": format!("other{at}")})).collect();
    alerts.insert(0, json!({"alertId": "many", "entities": users}));
    let title = "😀".repeat(5000);
    let incident = json!({"incidentId": 1, "incidentName": title, "assignedTo": title, "incidentUri": format!("https://x/{title}"),
        "alerts": alerts, "comments": comments, "tags": tags});
    let document = document(&ours(), &event_of(&incident.to_string(), Kind::Created));
    let below = at(&document, "microsoft.defender.incident");
    let lengths = |path: &str| at(below, path).as_array().map(Vec::len);
    assert_eq!((lengths("alerts"), below["alerts_count"].as_u64()), (Some(100), Some(121)));
    assert_eq!((lengths("comments"), below["comments_count"].as_u64()), (Some(100), Some(121)));
    assert_eq!(below["comments"][99]["message"], "last");
    let evidence = &below["alerts"][0];
    assert_eq!(
        (evidence["evidence"].as_array().map(Vec::len), evidence["evidence_count"].as_u64()),
        (Some(100), Some(900))
    );
    assert_eq!(at(&document, "tags").as_array().map(Vec::len), Some(100));
    assert_eq!(at(&document, "related.user").as_array().map(Vec::len), Some(500));
    assert_eq!(at(&document, "related.ip"), &json!(["203.0.113.7"]));
    let units = |value: &Value| value.as_str().map(|text| (text.encode_utf16().count(), text.ends_with('…')));
    assert_eq!(units(&document["message"]), Some((8191, true)));
    assert_eq!(units(&below["assigned_to"]), Some((1023, true)));
    assert_eq!((at(&document, "event").get("url"), below.get("web_url")), (None, None));
}

/// A text as a keyword is one.
fn is_as_came(shown: &Value, came: Option<&str>, units_max: usize) -> bool {
    match (shown.as_str(), came) {
        (Some(shown), Some(came)) if came.encode_utf16().count() <= units_max => shown == came,
        (Some(shown), Some(came)) => {
            shown.encode_utf16().count() <= units_max
                && came.starts_with(shown.strip_suffix('…').expect("the sign of a cut"))
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

proptest! {
    #![proptest_config(Cases { cases: 100, ..Cases::default() })]

    #[test]
    fn any_incident_is_one_document_that_says_what_it_says(incident in strange_incident(), is_elastics in any::<bool>()) {
        let style = if is_elastics { elastics() } else { ours() };
        let event = Event { incident: RawValue::from_string(incident.clone()).expect("JSON"), ..event_of(&incident, Kind::Updated) };
        let content = Content::of(&incident);
        let document = document(&style, &event);
        let below = at(&document, if is_elastics { "m365_defender.incident" } else { "microsoft.defender.incident" });
        if let Some(title) = content.title() {
            prop_assert!(is_as_came(&document["message"], Some(title), 8192));
        }
        prop_assert!(is_as_came(&below["assigned_to"], content.assignee(), 1024));
        if !is_elastics {
            prop_assert!(is_as_came(&below["status"], content.status().as_deref(), 1024));
            prop_assert!(is_as_came(&below["alerts"][0]["title"], content.alerts().next().and_then(|alert| alert.title()), 8192));
        }
        let time = at(&document, "@timestamp").as_str().expect("a time").parse::<Timestamp>().expect("a time");
        prop_assert_eq!(time, content.last_update().unwrap_or(event.observed_at));
        prop_assert_eq!(below["alerts_count"].as_u64(), Some(content.alerts().count() as u64));
    }
}
