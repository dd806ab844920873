//! One incident as either API tells it gives one record. What only one of them tells is listed here, and in `docs/formats.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;
use xdrelay::core::filter::Filter;
use xdrelay::core::seen::{self, Mark, News, Verdict};
use xdrelay::format::split::{Split, split};
use xdrelay::format::syslog::{Header, Origin};
use xdrelay::format::{Format, Style, ecs, json, ocsf};
use xdrelay::model::event::{Event, Notes};
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;

use crate::{INCIDENTS, cef, event, leef};

/// The same incidents, as Defender tells them and as Graph does.
const PAIRS: [(&str, &str); 5] = [
    ("defender_padded", "graph"),
    ("defender_sparse", "graph_sparse"),
    ("redirected", "graph_redirected"),
    ("nulls", "graph_nulls"),
    ("attack", "graph_attack"),
];

/// Who tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Each in its own way.
    Differently,
    OnlyByDefender,
    OnlyByGraph,
}

/// Everything in which records of the two may differ: the format and the path there. Below `PREFIX` stands what ECS has no field for.
const DIFFERENCES: [(Told, &str, &str); 42] = [
    // The link to the portal, and what Graph has a link for besides.
    (Told::Differently, "cef", "request"),
    (Told::Differently, "leef", "url"),
    (Told::Differently, "ecs", "event.url"),
    (Told::Differently, "ecs", "PREFIX.web_url"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alerts.alert_web_url"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alert.alert_web_url"),
    (Told::Differently, "ocsf", "src_url"),
    (Told::Differently, "ocsf", "finding_info_list.src_url"),
    // The description of an incident. CEF has the title where there is none.
    (Told::Differently, "cef", "msg"),
    (Told::OnlyByGraph, "leef", "description"),
    (Told::OnlyByGraph, "ecs", "PREFIX.description"),
    (Told::OnlyByGraph, "ocsf", "desc"),
    // What to do about an alert, who found it, and its id there.
    (Told::OnlyByGraph, "ecs", "PREFIX.alerts.recommended_actions"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alert.recommended_actions"),
    (Told::OnlyByGraph, "ocsf", "unmapped.alerts.recommended_actions"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alerts.provider_alert_id"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alert.provider_alert_id"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alerts.detector_id"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alert.detector_id"),
    (Told::OnlyByGraph, "ocsf", "finding_info_list.analytic"),
    // What was made of evidence, which the older shape of Defender's does not say.
    (Told::OnlyByGraph, "ecs", "PREFIX.alerts.evidence.verdict"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alert.evidence.verdict"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alerts.evidence.remediation_status"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alert.evidence.remediation_status"),
    (Told::OnlyByGraph, "ocsf", "unmapped.alerts.entities.verdict"),
    (Told::OnlyByGraph, "ocsf", "unmapped.alerts.entities.remediation_status"),
    // The last address of a device.
    (Told::OnlyByGraph, "ecs", "PREFIX.alerts.evidence.ip_address"),
    (Told::OnlyByGraph, "ecs", "PREFIX.alert.evidence.ip_address"),
    (Told::OnlyByGraph, "ecs", "related.ip"),
    (Told::OnlyByGraph, "ecs", "host.ip"),
    (Told::OnlyByGraph, "ocsf", "observables"),
    // The account that got a mail, beside the address.
    (Told::OnlyByDefender, "ecs", "PREFIX.alerts.evidence.user_account"),
    (Told::OnlyByDefender, "ecs", "PREFIX.alert.evidence.user_account"),
    (Told::OnlyByDefender, "ocsf", "observables"),
    // The texts differ, and so do their hashes.
    (Told::Differently, "cef", "cs6"),
    (Told::Differently, "leef", "eventId"),
    (Told::Differently, "ecs", "PREFIX.event_id"),
    (Told::Differently, "ocsf", "metadata.uid"),
    (Told::Differently, "ecs", "event.original"),
    (Told::Differently, "ocsf", "raw_data"),
    (Told::Differently, "ocsf", "raw_data_size"),
    (Told::Differently, "ocsf", "raw_data_hash"),
];

/// What is a set of values, whose places say nothing.
const SETS: [&str; 6] = ["related.ip", "related.user", "related.hosts", "related.hash", "observables", "tags"];

/// A record as lines of a path and a value. Of a set each value has the same path; of any other list the place stands in it.
type Lines = BTreeMap<(String, String), usize>;

fn flatten(value: &Value, path: &str, lines: &mut Lines) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(value, &below(name), lines)),
        Value::Array(elements) if SETS.contains(&path) => {
            elements.iter().for_each(|element| *lines.entry((path.to_owned(), element.to_string())).or_default() += 1);
        }
        Value::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                flatten(element, &format!("{path}[{at}]"), lines);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *lines.entry((path.to_owned(), value.to_string())).or_default() += 1;
        }
    }
}

fn lines(style: &Style, event: &Event) -> Lines {
    let record = style.render(event);
    let of_text = |(header, fields): (Vec<String>, BTreeMap<String, String>)| {
        let header = header.into_iter().enumerate().map(|(at, field)| (format!("header[{at}]"), field));
        header.chain(fields).map(|line| (line, 1)).collect()
    };
    match style.format {
        Format::Cef => of_text(cef::read(&record).expect("a record")),
        Format::Leef => of_text(leef::read(&record).expect("a record")),
        Format::Json | Format::Ecs | Format::Ocsf => {
            let mut value: Value = serde_json::from_slice(&record).expect("JSON");
            let members = value.as_object_mut().expect("an object");
            // Whatever the prefix is.
            for root in ["microsoft", "m365_defender"] {
                if let Some(below) = members.remove(root) {
                    let below = if root == "microsoft" { &below["defender"]["incident"] } else { &below["incident"] };
                    members.insert("PREFIX".to_owned(), below.clone());
                }
            }
            let mut lines = Lines::new();
            flatten(&value, "", &mut lines);
            lines
        }
    }
}

/// The path without places in lists.
fn plain(path: &str) -> String {
    let mut is_outside = true;
    path.chars()
        .filter(|character| {
            let was_outside = is_outside;
            is_outside = match character {
                '[' => false,
                ']' => true,
                _ => is_outside,
            };
            was_outside && is_outside
        })
        .collect()
}

/// The one entry of [`DIFFERENCES`] that excuses a line which only one of two records has.
fn excuse(style: &Style, path: &str, side: Told) -> Option<&'static (Told, &'static str, &'static str)> {
    let path = plain(path);
    DIFFERENCES.iter().find(|(told, format, known)| {
        let fits = path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        fits && *format == style.format.as_str() && (*told == side || *told == Told::Differently)
    })
}

fn styles() -> Vec<Style> {
    let mut styles = vec![Style::of(Format::Cef), Style::of(Format::Leef)];
    for fields in [ecs::Fields::Defender, ecs::Fields::M365Defender] {
        let config = ecs::Config { fields, original: true, ..ecs::Config::default() };
        styles.push(Style { ecs: config, ..Style::of(Format::Ecs) });
    }
    for version in ["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0"] {
        let config = ocsf::Config { version: version.to_owned(), raw_data: true };
        styles.push(Style { ocsf: config, ..Style::of(Format::Ocsf) });
    }
    styles
}

/// The events of a pair, whole and in parts, one beside the other.
fn events(defender: &str, graph: &str) -> Vec<(Event, Event)> {
    let (defender, graph) = (event(defender), event(graph));
    let mut events = vec![(defender.clone(), graph.clone())];
    let all_of_it = |event: &Event| Event { changes: Vec::new(), notes: Notes::default(), ..event.clone() };
    for by in [Split::Alerts, Split::Entities] {
        let (defender, graph) = (split(all_of_it(&defender), by), split(all_of_it(&graph), by));
        assert_eq!(defender.len(), graph.len(), "as many parts");
        events.extend(defender.into_iter().zip(graph));
    }
    events
}

#[test]
fn both_apis_give_one_record_but_for_what_only_one_tells() {
    let mut used = BTreeSet::new();
    for (defender, graph) in PAIRS {
        for style in styles() {
            for (of_defender, of_graph) in events(defender, graph) {
                let (left, right) = (lines(&style, &of_defender), lines(&style, &of_graph));
                let mut complaints = Vec::new();
                for (mine, other, side) in [(&left, &right, Told::OnlyByDefender), (&right, &left, Told::OnlyByGraph)] {
                    for (line, count) in mine.iter().filter(|(line, count)| other.get(line).unwrap_or(&0) < count) {
                        match excuse(&style, &line.0, side) {
                            Some((told, format, path)) => drop(used.insert((*format, *path, *told == side))),
                            None => complaints.push(format!("{side:?}: {} = {} ({count})", line.0, line.1)),
                        }
                    }
                }
                assert!(complaints.is_empty(), "{defender} as {:?}:\n{}", style, complaints.join("\n"));
            }
        }
    }
    // What no pair needs would excuse a mistake.
    let unused: Vec<_> = DIFFERENCES
        .iter()
        .filter(|(told, format, path)| !used.contains(&(*format, *path, *told != Told::Differently)))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn the_documentation_names_every_difference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md");
    let text = std::fs::read_to_string(path).expect("documentation");
    let section = text.split("\n## ").find(|section| section.starts_with("Both APIs")).expect("a section");
    for (_, format, path) in DIFFERENCES {
        let row = section.lines().find(|line| line.contains(&format!("`{path}`")));
        assert!(row.is_some(), "`{path}` of {format} is not in its section");
    }
}

#[test]
fn around_the_incident_json_and_syslog_say_the_same() {
    let origin = Origin {
        facility: "local0".parse().expect("a facility"),
        hostname: "relay.example.net".into(),
        app_name: "xdrelay".into(),
        procid: "4711".into(),
        bom: false,
    };
    for (defender, graph) in PAIRS {
        let said = |name: &str| {
            let event = event(name);
            let json = String::from_utf8(json::render(&event)).expect("UTF-8");
            let around = json.replace(event.incident.get(), "");
            (around, Header::of(&event, &origin).to_string())
        };
        assert_eq!(said(defender), said(graph), "{defender}");
    }
}

/// The incident as a row, at another time.
fn row(name: &str, time: &str) -> Row {
    let event = event(name);
    let mut incident: Value = serde_json::from_str(&event.incident.get().replace("\\ud", "\\\\ud")).expect("JSON");
    for member in ["lastUpdateTime", "lastUpdateDateTime"] {
        if incident.get(member).is_some() {
            incident[member] = time.into();
        }
    }
    Row::new(RawValue::from_string(incident.to_string()).expect("JSON"))
}

const NOW: Moment = Moment::from_nanos(1_800_000_000_000_000_000);

fn judged(mark: Option<&Mark>, row: &Row) -> News {
    match seen::judge(mark, row, None, NOW) {
        Verdict::New(news) => *news,
        verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Noted(_)) => {
            panic!("{verdict:?}")
        }
    }
}

#[test]
fn a_switch_of_the_api_tells_of_no_change() {
    for (defender, graph) in PAIRS {
        for (from, to) in [(defender, graph), (graph, defender)] {
            let first = judged(None, &row(from, "2026-11-21T00:00:00Z"));
            let second = judged(Some(&first.mark), &row(to, "2026-11-21T00:00:01Z"));
            assert_eq!(second.changes, [], "{from} to {to}");
            let translated = seen::judge(Some(&first.mark), &row(to, "2026-11-21T00:00:00Z"), None, NOW);
            assert!(matches!(translated, Verdict::Noted(_)), "{from} to {to}: {translated:?}");
        }
    }
}

#[test]
fn a_filter_lets_the_same_pass() {
    let filters = [
        r#"{"min_severity":"medium"}"#,
        r#"{"status":["inProgress","Redirected"]}"#,
        r#"{"classification":["Unknown"]}"#,
        r#"{"classification":["truePositive"],"tags":["ransomware"]}"#,
        r#"{"tags":["redirected","t=1"]}"#,
    ];
    for filter in filters {
        let filter: Filter = serde_json::from_str(filter).expect("a filter");
        for (defender, graph) in PAIRS {
            let passed = |name| filter.pass(event(name)).map(|event| (event.kind, event.for_sink.passage));
            assert_eq!(passed(defender), passed(graph), "{filter:?} {defender}");
        }
    }
}

#[test]
fn every_incident_has_a_pair() {
    let paired: BTreeSet<&str> = PAIRS.iter().flat_map(|(defender, graph)| [*defender, *graph]).collect();
    assert_eq!(paired, INCIDENTS.iter().map(|(name, _)| *name).collect());
}
