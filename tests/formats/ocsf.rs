//! OCSF: goldens, every release against the schema that was published for it (`ocsf_validator.py`), and the proof that no text
//! makes a record invalid or two of one.

mod strange;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use xdrelay::format::ocsf::{Config, render};
use xdrelay::format::split::{Split, split};
use xdrelay::format::{Format, Style};
use xdrelay::model::delivery::{Original, Passage, Reduction};
use xdrelay::model::event::{Event, Kind};

use crate::ocsf::strange::any_event;
use crate::python::python;
use crate::{INCIDENTS, event, event_of, golden, has_line_end, records};

const VERSIONS: [&str; 8] = ["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0"];

/// The published schemas, and what reads them; those that these need are pinned as well, because pip picks by itself else.
const PACKAGES: [&str; 12] = [
    "ocsf-json-schema==1.2.0",
    "jsonschema==4.25.1",
    "pydantic-ocsf==3.0.0",
    "pydantic==2.14.3",
    "pydantic-core==2.50.4",
    "annotated-types==0.8.0",
    "attrs==26.1.0",
    "jsonschema-specifications==2025.9.1",
    "referencing==0.37.0",
    "rpds-py==2026.9.1",
    "typing-inspection==0.4.5",
    "typing_extensions==4.16.0",
];

fn config(version: &str) -> Config {
    Config { version: version.to_owned(), ..Config::default() }
}

/// The second alert of the usual incident, as a part of its own.
fn part() -> Event {
    let mut parts = split(event("defender_padded"), Split::Alerts);
    parts.retain(|part| part.event_id.as_str().ends_with("#da638000000000000002_-1"));
    let [part] = parts.as_slice() else { panic!("one part: {parts:?}") };
    part.clone()
}

/// One that was reduced, filtered, first seen late and odd at once.
fn noted() -> Event {
    let mut event = event("defender_sparse");
    event.notes.first_seen = true;
    event.notes.truncated = true;
    event.notes.odd = Some("no usable time".into());
    event.for_sink.sequence = Some(7);
    event.for_sink.passage = Some(Passage::Entered);
    event.for_sink.original = Some(Original { size: 99_999, sha256: "ab".repeat(32), left_out: Reduction::Evidence });
    event
}

#[test]
fn every_incident_is_written_as_it_was() {
    for (name, record) in records(&Style::of(Format::Ocsf)) {
        golden(name, "ocsf.json", &record);
    }
    golden("part", "ocsf.json", &render(&part(), &Config::default()));
    golden("noted", "ocsf.json", &render(&noted(), &config("1.8.0")));
    for version in VERSIONS {
        golden(
            &format!("defender_padded.{version}"),
            "ocsf.json",
            &render(&event("defender_padded"), &config(version)),
        );
    }
    golden("redirected.raw", "ocsf.json", &render(&event("redirected"), &Config { raw_data: true, ..config("1.8.0") }));
}

#[test]
fn the_documentation_shows_a_record_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md");
    let text = std::fs::read_to_string(path).expect("documentation");
    let section = text.split("\n## ").find(|section| section.starts_with("`ocsf`")).expect("a section");
    let shown = section.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a record");
    let shown: Value = serde_json::from_str(shown).expect("JSON");
    assert_eq!(shown, value(&event("redirected"), &Config::default()));
    for version in VERSIONS {
        assert!(section.contains(version), "{version}");
    }
}

#[test]
fn only_releases_that_were_looked_at_can_be_set() {
    for version in VERSIONS {
        assert_eq!(config(version).validate(), [], "{version}");
    }
    for version in ["1.0.0", "1.9.0", "1.5", "1.5.0 ", "v1.5.0", "2.0.0", ""] {
        let problems = config(version).validate();
        let [(key, remedy)] = problems.as_slice() else { panic!("{version}: {problems:?}") };
        assert_eq!(key, "version");
        assert!(VERSIONS.iter().all(|known| remedy.contains(known)), "{remedy}");
    }
}

fn value(event: &Event, config: &Config) -> Value {
    serde_json::from_slice(&render(event, config)).expect("JSON")
}

#[test]
fn a_part_has_the_finding_of_its_alert_alone() {
    let check = |event: &Event, expected: &[&str]| {
        let record = value(event, &Config::default());
        let findings = record["finding_info_list"].as_array().expect("a list");
        let uids: Vec<&str> = findings.iter().filter_map(|finding| finding["uid"].as_str()).collect();
        assert_eq!(uids, expected);
    };
    check(&event("defender_padded"), &["da638000000000000001_-961444813", "da638000000000000002_-1"]);
    check(&part(), &["da638000000000000002_-1"]);
    // Named, while the incident still has both.
    let mut both = event("defender_padded");
    both.for_sink.part = part().for_sink.part;
    check(&both, &["da638000000000000002_-1"]);
    check(&event("redirected"), &["924567"]);
}

#[test]
fn an_alert_without_an_id_has_a_uid_that_stays() {
    let uids = |incident: &Value| {
        let record = value(&event_of(&incident.to_string(), Kind::Updated), &Config::default());
        let findings = record["finding_info_list"].as_array().expect("a list").clone();
        findings.iter().map(|finding| finding["uid"].as_str().expect("a uid").to_owned()).collect::<Vec<_>>()
    };
    let first =
        uids(&json!({"incidentId": 7, "alerts": [{"title": "a"}, {"title": "b"}, {"title": "b"}, {"alertId": "x"}]}));
    assert_eq!(BTreeSet::from_iter(&first).len(), 4, "{first:?}");
    assert!(first[..3].iter().all(|uid| uid.starts_with("7/")) && first[3] == "x", "{first:?}");
    // A new one before them, and another status: the old ones are who they were.
    let later = uids(
        &json!({"incidentId": 7, "alerts": [{"title": "c"}, {"title": "a", "status": "Resolved"}, {"title": "b"}]}),
    );
    assert_eq!(later[1..], first[..2]);
    assert_eq!(uids(&json!({"incidentId": 7, "alerts": [{"providerAlertId": "p"}]})), ["p"]);
}

#[test]
fn the_time_is_the_creation_or_what_comes_closest() {
    let check = |incident: Value, expected: u64| {
        let record = value(&event_of(&incident.to_string(), Kind::Updated), &Config::default());
        assert_eq!(record["time"], expected, "{incident}");
    };
    let (created, alert, update) = ("2026-11-20T08:00:00.1239Z", "2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z");
    check(
        json!({"createdTime": created, "lastUpdateTime": update, "alerts": [{"creationTime": alert}]}),
        1_795_161_600_123,
    );
    check(
        json!({"createdTime": null, "lastUpdateTime": update, "alerts": [{"creationTime": alert}]}),
        1_795_165_200_000,
    );
    check(json!({"createdTime": "?", "lastUpdateTime": update, "alerts": []}), 1_795_168_800_000);
    // Then our own clock, at which the event was observed.
    check(json!({"alerts": 7}), 1_795_167_370_123);
}

#[test]
fn a_record_does_not_grow_without_end() {
    let alerts: Vec<Value> =
        (0..1_100).map(|at| json!({"alertId": at, "entities": [{"fileName": format!("f{at}")}]})).collect();
    let entities: Vec<Value> =
        (0..5_000).map(|at| json!({"entityType": "Ip", "ipAddress": format!("a{at}")})).collect();
    let many: Vec<String> = (0..300).map(|at| format!("t{at}")).collect();
    let check = |incident: Value, expected: Value| {
        let record = value(&event_of(&incident.to_string(), Kind::Updated), &Config::default());
        assert_eq!(record["unmapped"]["left_out"], expected);
    };
    check(json!({"incidentId": 7, "alerts": alerts}), json!({"alerts": 76}));
    check(json!({"incidentId": 7, "alerts": [{"entities": entities}]}), json!({"observables": 3_976, "entities": 904}));
    let comments: Vec<Value> = many.iter().map(|text| json!({"comment": text})).collect();
    check(json!({"incidentId": 7, "tags": many, "comments": comments}), json!({"tags": 44, "comments": 44}));
}

#[test]
fn raw_data_is_the_incident_or_is_said_to_be_left_out() {
    let incident = json!({"incidentId": 7, "incidentName": "é".repeat(70_000)}).to_string();
    let event = event_of(&incident, Kind::Updated);
    for version in VERSIONS {
        let record = value(&event, &Config { raw_data: true, ..config(version) });
        let has_limit = version < "1.4.0";
        assert_eq!(record["raw_data"].as_str(), (!has_limit).then_some(incident.as_str()), "{version}");
        assert_eq!(record["unmapped"]["left_out"]["raw_data"] == true, has_limit, "{version}");
        let title = record["message"].as_str().expect("a title");
        assert_eq!(title.chars().count(), if has_limit { 65_535 } else { 70_000 }, "{version}");
        assert_eq!(value(&event, &config(version)).get("raw_data"), None);
    }
}

/// What is wrong with each of these records, by whoever published the schemas; nothing where they cannot be had.
fn complaints(records: &[Vec<u8>]) -> Option<Vec<Vec<String>>> {
    let python: PathBuf = python("ocsf", &PACKAGES)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/ocsf_validator.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python");
    let mut input = child.stdin.take().expect("piped");
    let lines = [records.join(&b'\n'), b"\n".to_vec()].concat();
    // It reads everything before it writes anything.
    input.write_all(&lines).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the validator failed");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let complaints: Vec<Vec<String>> = text.lines().map(|line| serde_json::from_str(line).expect("a list")).collect();
    assert_eq!(complaints.len(), records.len(), "one record is one line for anybody");
    Some(complaints)
}

fn check_all(records: &[Vec<u8>]) {
    let Some(found) = complaints(records) else { return };
    for (record, complaints) in records.iter().zip(found) {
        assert!(complaints.is_empty(), "{complaints:#?}\n{}", String::from_utf8_lossy(record));
    }
}

#[test]
fn the_published_schema_of_every_release_takes_every_incident() {
    let mut events: Vec<Event> = INCIDENTS.iter().map(|(name, _)| event(name)).collect();
    events.extend(split(event("graph"), Split::Entities));
    events.extend([part(), noted()]);
    events.extend(Kind::ALL.map(|kind| Event { kind, ..event("defender_sparse") }));
    for odd in
        ["null", "7", "[]", "{}", r#"{"alerts":[null,7,{}]}"#, r#"{"status":"","alerts":[{"mitreTechniques":["x"]}]}"#]
    {
        events.push(event_of(odd, Kind::Updated));
    }
    events.push(event_of(
        &json!({"incidentName": "x".repeat(70_000), "alerts": [{"title": "é".repeat(70_000)}]}).to_string(),
        Kind::Updated,
    ));
    let mut records = Vec::new();
    for version in VERSIONS {
        for raw_data in [false, true] {
            let config = Config { raw_data, ..config(version) };
            records.extend(events.iter().map(|event| render(event, &config)));
        }
    }
    check_all(&records);
}

/// What is done to a good record, and what has to be said about it then.
type Breakage = (&'static str, fn(&mut Value), &'static str);

const BREAKAGES: [Breakage; 16] = [
    ("no time", |record| drop(remove(record, "time")), "'time' is a required property"),
    ("nobody assigned", |record| drop(remove(record, "assignee")), "is not valid under any of the given schemas"),
    ("no findings", |record| drop(remove(record, "finding_info_list")), "'finding_info_list' is a required property"),
    (
        "a finding without uid",
        |record| drop(remove(&mut record["finding_info_list"][0], "uid")),
        "'uid' is a required property",
    ),
    ("an unknown attribute", |record| record["incident"] = json!(7), "Additional properties are not allowed"),
    (
        "an unknown attribute below",
        |record| record["metadata"]["x"] = json!(7),
        "Additional properties are not allowed",
    ),
    (
        "a later attribute",
        |record| record["metadata"]["is_truncated"] = json!(true),
        "Additional properties are not allowed",
    ),
    ("an unknown status", |record| record["status_id"] = json!(6), "6 is not one of"),
    ("a text for a number", |record| record["severity_id"] = json!("4"), "'4' is not of type 'integer'"),
    ("a number for a text", |record| record["message"] = json!(4), "4 is not of type 'string'"),
    ("seconds with a fraction", |record| record["time"] = json!("2026"), "is not of type 'integer'"),
    ("another class", |record| record["class_uid"] = json!(2004), "2005 was expected"),
    (
        "another caption",
        |record| record["status"] = json!("Closed"),
        "status: 'Closed' beside 2, which is 'In Progress'",
    ),
    ("another type", |record| record["type_uid"] = json!(200_501), "type_uid: does not follow"),
    (
        "a deprecated attribute",
        |record| record["finding_info_list"][0]["product_uid"] = json!("x"),
        "deprecated in 1.5.0",
    ),
    (
        "a type of observable of a later release",
        |record| record["observables"][0]["type_id"] = json!(47),
        "47 is not one of",
    ),
];

fn remove(record: &mut Value, name: &str) -> Option<Value> {
    record.as_object_mut().and_then(|members| members.remove(name))
}

#[test]
fn the_validator_refuses_what_is_broken() {
    let good = value(&event("defender_padded"), &config("1.5.0"));
    let broken = |(_, breakage, _): &Breakage| {
        let mut record = good.clone();
        breakage(&mut record);
        serde_json::to_vec(&record).expect("JSON")
    };
    let mut records: Vec<Vec<u8>> = BREAKAGES.iter().map(broken).collect();
    records.push(br#"{"time":1,"time":2}"#.to_vec());
    records.push(serde_json::to_vec(&good).expect("JSON"));
    let Some(found) = complaints(&records) else { return };
    for ((what, _, expected), complaints) in BREAKAGES.iter().zip(&found) {
        assert!(complaints.iter().any(|complaint| complaint.contains(expected)), "{what}: {complaints:#?}");
    }
    assert!(found[BREAKAGES.len()][0].contains("a member twice"), "{:?}", found[BREAKAGES.len()]);
    assert_eq!(found.last(), Some(&Vec::new()));
}

fn any_config() -> impl Strategy<Value = Config> {
    (prop::sample::select(VERSIONS.to_vec()), any::<bool>())
        .prop_map(|(version, raw_data)| Config { raw_data, ..config(version) })
}

/// JSON in which no object has a member twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Unique;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without a null, with unique members")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique)
            }
            // In `unmapped.changes` null is a value; nowhere else is one written.
            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
                while list.next_element::<Unique>()?.is_some() {}
                Ok(Unique)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
                let mut names = BTreeSet::new();
                while let Some((name, Unique)) = members.next_entry::<String, Unique>()? {
                    if let Some(name) = names.replace(name) {
                        return Err(A::Error::custom(format!("{name} twice")));
                    }
                }
                Ok(Unique)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// As Unicode and Python see it.
const ENDS_A_LINE_SOMEWHERE: [char; 8] =
    ['\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

proptest! {
    #[test]
    fn any_event_is_one_object_on_one_line(event in any_event(), config in any_config()) {
        let record = render(&event, &config);
        prop_assert!(!has_line_end(&record));
        let text = std::str::from_utf8(&record).expect("UTF-8");
        prop_assert_eq!(text.find(ENDS_A_LINE_SOMEWHERE), None);
        prop_assert_eq!((text.bytes().next(), text.bytes().last()), (Some(b'{'), Some(b'}')));
        serde_json::from_str::<Unique>(text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        let record: Value = serde_json::from_str(text).expect("JSON");
        prop_assert_eq!(&record["class_uid"], 2005);
        prop_assert_eq!(&record["metadata"]["version"], config.version.as_str());
        prop_assert_eq!(record["metadata"]["uid"].as_str(), Some(event.event_id.as_str()));
        prop_assert_ne!(record.get("assignee").is_some(), record.get("assignee_group").is_some());
    }
}

/// As many as a run of the validator takes in seconds, the same ones every time.
const SAMPLES: usize = 32;

#[test]
fn no_text_makes_a_record_invalid() {
    let mut runner = TestRunner::deterministic();
    let mut records = Vec::new();
    for _ in 0..SAMPLES {
        let event = any_event().new_tree(&mut runner).expect("an event").current();
        records.extend(VERSIONS.map(|version| render(&event, &config(version))));
        let raw = Config { raw_data: true, ..config("1.8.0") };
        records.push(render(&event, &raw));
    }
    check_all(&records);
}
