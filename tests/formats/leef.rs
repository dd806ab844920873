//! LEEF 2.0: goldens, a scanner written from the document alone, and a reader that nobody here wrote.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use xdrelay::format::leef::{Config, RECORD_MAX};
use xdrelay::format::split::Split;
use xdrelay::format::{Format, Style};
use xdrelay::model::delivery::Part;
use xdrelay::model::event::{Event, Kind};
use xdrelay::model::names::TenantName;

use crate::{INCIDENTS, event, event_of, golden, has_line_end, read_by, records, wild};

/// A record as the document reads it: the fields of the header, and the attributes.
pub(crate) type Read = (Vec<String>, BTreeMap<String, String>);

/// Every key that is ever written.
const KEYS: &str = "devTime cat sev usrName url incidentId alertId eventId tenant sequence sinkSequence part parts title changes status \
    severity classification determination assignedTo redirectedTo entity description tags categories serviceSources \
    mitreTechniques hosts users ipAddresses fileHashes alertCount created firstActivity lastActivity observed";

/// Keys of IBM's table; another meaning of one of them would be a mistake.
const PREDEFINED: &str = "cat devTime devTimeFormat proto sev src dst srcPort dstPort srcPreNAT dstPreNAT srcPostNAT dstPostNAT \
    usrName srcMAC dstMAC srcPreNATPort dstPreNATPort srcPostNATPort dstPostNATPort identSrc identHostName identNetBios \
    identGrpName identMAC vSrc vSrcName accountName srcBytes dstBytes srcPackets dstPackets totalPackets role realm policy \
    resource url groupID domain isLoginEvent isLogoutEvent identSecondlp calLanguage AttributeLimits calCountryOrRegion";

fn style(delimiter: &str) -> Style {
    Style { leef: Config { delimiter: delimiter.into() }, ..Style::of(Format::Leef) }
}

pub(crate) fn read(record: &[u8]) -> Result<Read, String> {
    let line = std::str::from_utf8(record).map_err(|error| error.to_string())?;
    let mut fields: Vec<String> = line.splitn(7, '|').map(str::to_owned).collect();
    let attributes = fields.pop().filter(|_| fields.len() == 6).ok_or("the header ends early")?;
    let number = fields[5].strip_prefix('x').and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let delimiter = number.and_then(char::from_u32).or(fields[5].chars().next()).ok_or("no delimiter")?;
    let mut found = BTreeMap::new();
    for attribute in attributes.split(delimiter) {
        let (key, value) = attribute.split_once('=').ok_or_else(|| format!("{attribute:?} is no attribute"))?;
        if value.trim() != value || value.is_empty() {
            return Err(format!("{key} is {value:?}"));
        }
        if found.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok((fields, found))
}

/// Whether a record keeps every rule, whatever its event says.
fn check(record: &[u8], delimiter: char) -> Result<Read, String> {
    let (header, attributes) = read(record)?;
    let is_bad = |c: char| c != delimiter && (c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c));
    if has_line_end(record) || String::from_utf8_lossy(record).chars().any(is_bad) {
        return Err("a control character".into());
    }
    if ["LEEF:2.0", "Microsoft", "Defender XDR", "1.0"] != header[..4] || RECORD_MAX < record.len() {
        return Err(format!("the header is {header:?}, and all of it {} B", record.len()));
    }
    let sev: u8 = attributes.get("sev").and_then(|sev| sev.parse().ok()).ok_or("no sev")?;
    let (subject, _) = header[4].split_once('.').ok_or("no event id")?;
    if !(1..=10).contains(&sev) || attributes.get("cat").map(String::as_str) != Some(subject) {
        return Err(format!("sev is {sev}, and cat {:?}", attributes.get("cat")));
    }
    match attributes.keys().find(|key| !KEYS.split_whitespace().any(|known| known == *key)) {
        Some(unknown) => Err(format!("nobody writes {unknown}")),
        None => Ok((header, attributes)),
    }
}

/// What there are goldens of: each incident, parts about an alert, and one about an entity of it.
fn all() -> Vec<(&'static str, Vec<u8>)> {
    let style = style("^");
    let mut all = records(&style);
    all.push(("attack_part", style.render(&wild::first_part(event("attack"), Split::Alerts))));
    all.push(("defender_padded_part", style.render(&wild::first_part(event("defender_padded"), Split::Alerts))));
    all.push(("graph_entity", style.render(&wild::first_part(event("graph"), Split::Entities))));
    all
}

#[test]
fn every_incident_is_the_record_that_it_was() {
    for (name, record) in all() {
        golden(name, "leef", &record);
        check(&record, '^').unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn a_record_says_what_the_incident_does() {
    let said = |event: &Event| check(&style("^").render(event), '^').expect("a record");
    let (header, attributes) = said(&event("defender_padded"));
    assert_eq!(header[4..], ["incident.updated", "^"]);
    let expect = |key: &str, value: &str| assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key}");
    expect("devTime", "1795167345113");
    expect("sev", "8");
    expect("usrName", "jules@example.net");
    expect("changes", "status Active -> InProgress; alerts 1 added");
    expect("hosts", "pc-0071.corp.example.net,srv-02.corp.example.net");
    let (header, attributes) = said(&wild::first_part(event("defender_padded"), Split::Alerts));
    assert_eq!(header[4], "alert.updated");
    assert_eq!((&*attributes["incidentId"], &*attributes["alertId"]), ("924565", "da638000000000000002_-1"));
}

#[test]
fn no_key_of_ours_has_a_predefined_name() {
    let ours = ["devTime", "cat", "sev", "usrName", "url"];
    let taken = KEYS.split_whitespace().filter(|key| PREDEFINED.split_whitespace().any(|known| known == *key));
    assert_eq!(taken.collect::<Vec<_>>(), ours);
}

#[test]
fn another_delimiter_stands_in_the_header_as_a_number_where_it_cannot_be_seen() {
    for (set, delimiter, shown) in [("x09", '\t', "x09"), ("~", '~', "~"), ("0x1F", '\u{1f}', "x1f"), ("¦", '¦', "xa6")]
    {
        for (name, kind) in INCIDENTS {
            let (header, attributes) = check(&style(set).render(&event(name)), delimiter).expect(name);
            assert_eq!((header[4].as_str(), header[5].as_str()), (format!("incident.{kind}").as_str(), shown));
            assert!(attributes.contains_key("eventId"), "{name}");
        }
    }
}

/// An entity's part with every text of it longer than any field, and lists of what is valid.
fn overfull() -> Event {
    let long = "x".repeat(9_000);
    let many = |of: &dyn Fn(usize) -> Value| (0..40).map(of).collect::<Vec<_>>();
    let names = many(&|at| json!(format!("{at:032}")));
    let hosts = many(&|at| json!({"deviceDnsName": format!("{at:030}")}));
    let entities = many(&|at| {
        json!({"entityType": "User", "userPrincipalName": format!("{at:032}"), "sha256": format!("{at:064x}"),
               "ipAddress": format!("2001:db8:1234:5678:9abc:def0:1234:{:x}", 4096 + at)})
    });
    let alert = |category: &str| {
        json!({"alertId": long, "title": long, "description": long, "status": long, "severity": long, "classification": long,
               "determination": long, "assignedTo": long, "category": category, "serviceSource": category, "alertWebUrl": long,
               "firstActivity": "9998-01-01T00:00:00Z", "lastActivity": "9998-01-01T00:00:00Z",
               "creationTime": "9998-01-01T00:00:00Z", "mitreTechniques": names, "devices": hosts, "entities": entities})
    };
    let (first, second) = ("a".repeat(39), "b".repeat(39));
    let incident = json!({"incidentId": long, "redirectIncidentId": long, "tags": names, "alerts": [alert(&first), alert(&second)],
                          "lastUpdateTime": "9998-01-01T00:00:00Z"});
    let mut event = event_of(&incident.to_string(), Kind::Redirected);
    event.tenant = TenantName::new(long.clone());
    event.sequence = u64::MAX;
    event.notes.odd = Some(long.clone());
    event.for_sink.sequence = Some(u64::MAX);
    event.for_sink.part =
        Some(Part { number: usize::MAX, of: usize::MAX, alert: Some(long.clone()), entity: Some(long) });
    event
}

#[test]
fn the_longest_record_stays_below_what_qradar_takes() {
    for delimiter in ['^', '∎'] {
        let record = style(&delimiter.to_string()).render(&overfull());
        let (_, attributes) = check(&record, delimiter).expect("a record");
        assert!(RECORD_MAX - 300 < record.len(), "it is not the longest: {} B", record.len());
        assert_eq!(attributes.len(), KEYS.split_whitespace().count() - 1, "all but `alertCount`");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_second_record_or_an_attribute(
        event in wild::event(),
        delimiter in prop::sample::select(vec!['^', '\t', '~', '\u{1f}', '"', '¦']),
    ) {
        let record = style(&delimiter.to_string()).render(&event);
        if let Err(why) = check(&record, delimiter) {
            prop_assert!(false, "{why}: {}", String::from_utf8_lossy(&record));
        }
    }
}

#[test]
fn tenzir_reads_what_was_written() {
    // tenzir 6.20 reads `\n` and `\\` and quotations in values, where LEEF has neither escapes nor quotes.
    let told =
        |record: Vec<u8>| String::from_utf8(record).expect("UTF-8").replace('\\', "/").replace('"', "'").into_bytes();
    let mut lines: Vec<_> = all().into_iter().map(|(name, record)| (name, told(record))).collect();
    lines.extend(records(&style("x09")).into_iter().map(|(name, record)| (name, told(record))));
    let program = "from_stdin { read_lines } | this = line.parse_leef(raw=true) | write_ndjson";
    let Some(found) = read_by::tenzir(program, &lines) else { return };
    for ((name, line), found) in lines.iter().zip(found) {
        let (header, attributes) = read(line).expect("a record");
        let keys = ["vendor", "product_name", "product_version", "event_class_id"];
        assert_eq!(keys.map(|key| found[key].as_str().unwrap_or_default()), header[1..5], "{name}");
        assert_eq!(read_by::texts(&found["attributes"]), attributes, "{name}");
    }
}
