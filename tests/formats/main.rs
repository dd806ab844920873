//! Every format on the same incidents: goldens, parsers that nobody here wrote, and the proof that no input makes a second record.

mod cef;
mod ecs;
mod leef;
#[path = "../receivers/npm.rs"]
mod npm;
mod ocsf;
mod pairs;
#[path = "../receivers/python.rs"]
mod python;
mod read_by;
#[path = "../receivers/skipped.rs"]
mod skipped;
mod wild;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use xdrelay::format::Style;
use xdrelay::model::content::Content;
use xdrelay::model::delivery::ForSink;
use xdrelay::model::event::{Change, Event, Kind, Notes};
use xdrelay::model::names::{EventId, IncidentId, TenantName};
use xdrelay::model::timestamp::Timestamp;

/// The incidents in `testdata/incidents/`: both shapes of entities, one that was merged, one that is all nulls, one that is an attack
/// on whoever reads it; and each as Graph tells it (`pairs`).
pub(crate) const INCIDENTS: [(&str, Kind); 10] = [
    ("defender_padded", Kind::Updated),
    ("defender_sparse", Kind::Created),
    ("graph", Kind::Updated),
    ("redirected", Kind::Redirected),
    ("nulls", Kind::Created),
    ("attack", Kind::Reopened),
    ("graph_sparse", Kind::Created),
    ("graph_redirected", Kind::Redirected),
    ("graph_nulls", Kind::Created),
    ("graph_attack", Kind::Reopened),
];

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The event of one of [`INCIDENTS`].
pub(crate) fn event(name: &str) -> Event {
    let path = testdata().join(format!("incidents/{name}.json"));
    let incident = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let kind = INCIDENTS.iter().find(|(known, _)| *known == name).map_or(Kind::Updated, |(_, kind)| *kind);
    event_of(incident.trim(), kind)
}

/// An event of any incident.
pub(crate) fn event_of(incident: &str, kind: Kind) -> Event {
    let content = Content::of(incident);
    let id = content.root().first(&["incidentId", "id"]).shown().unwrap_or_default().into_owned();
    let last_update = content.last_update();
    let changes = match kind {
        Kind::Updated => vec![
            Change::value("status", Some("Active".into()), Some("InProgress".into())),
            Change::list("alerts", vec!["da638000000000000002_-1".into()], vec![], vec![]),
        ],
        Kind::Created | Kind::Resolved | Kind::Reopened | Kind::Redirected => vec![],
    };
    Event {
        event_id: EventId::new(format!("contoso/{id}/{}/9f3c01ab", last_update.unwrap_or_default().ticks())),
        kind,
        tenant: TenantName::new("contoso"),
        sequence: 4711,
        observed_at: "2026-11-20T09:36:10.1234567Z".parse::<Timestamp>().expect("a time"),
        changes,
        severity: content.severity().map(Cow::into_owned),
        incident_id: IncidentId::new(id),
        last_update,
        notes: Notes { compared: kind == Kind::Updated, ..Notes::default() },
        incident: RawValue::from_string(incident.to_owned()).expect("JSON"),
        for_sink: ForSink::default(),
    }
}

/// Holds a record against `testdata/formats/NAME.EXTENSION`. With `BLESS` set it is written there instead.
pub(crate) fn golden(name: &str, extension: &str, record: &[u8]) {
    let path = testdata().join(format!("formats/{name}.{extension}"));
    let mut wanted = record.to_vec();
    wanted.push(b'\n');
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let known = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 writes it", path.display()));
    let (known, wanted) = (String::from_utf8_lossy(&known), String::from_utf8_lossy(&wanted));
    assert_eq!(known, wanted, "{} differs; look at it, and BLESS=1 writes it anew", path.display());
}

/// Every incident in this style, with the name of its incident.
pub(crate) fn records(style: &Style) -> Vec<(&'static str, Vec<u8>)> {
    INCIDENTS.iter().map(|(name, _)| (*name, style.render(&event(name)))).collect()
}

/// The control characters, and whatever else ends a line somewhere.
pub(crate) fn has_line_end(record: &[u8]) -> bool {
    record.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0))
}

#[test]
fn no_record_has_a_line_end_in_it() {
    for format in xdrelay::format::Format::ALL {
        for (name, record) in records(&Style::of(*format)) {
            assert!(!has_line_end(&record), "{name} as {format}");
        }
    }
}
