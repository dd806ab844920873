//! CEF: goldens, a scanner written from the document alone, and two readers that nobody here wrote.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;
use xdrelay::format::split::Split;
use xdrelay::format::{Format, Style};
use xdrelay::model::delivery::Passage;
use xdrelay::model::event::Event;

use crate::{event, golden, has_line_end, read_by, records, wild};

/// A record as the document reads it: the fields of the header, and the extension.
pub(crate) type Read = (Vec<String>, BTreeMap<String, String>);

/// Bytes of a value at most, of those keys that do not have 1023.
const LENGTHS: [(&str, usize); 12] = [
    ("externalId", 40),
    ("deviceExternalId", 255),
    ("act", 63),
    ("fileHash", 255),
    ("cs1", 4000),
    ("cs2", 4000),
    ("cs3", 4000),
    ("cs4", 4000),
    ("cs5", 4000),
    ("cs6", 4000),
    ("flexString1Label", 128),
    ("flexString2Label", 128),
];

/// Every key that is ever written.
const KEYS: &str = "rt externalId deviceExternalId act reason msg request cat sourceServiceName start end dhost duser fileHash \
    cs1 cs1Label cs2 cs2Label cs3 cs3Label cs4 cs4Label cs5 cs5Label cs6 cs6Label flexString1 flexString1Label flexString2 \
    flexString2Label cn1 cn1Label cn2 cn2Label cn3 cn3Label flexNumber1 flexNumber1Label flexNumber2 flexNumber2Label \
    deviceCustomDate1 deviceCustomDate1Label deviceCustomDate2 deviceCustomDate2Label";

fn style() -> Style {
    Style::of(Format::Cef)
}

/// Reads a record character by character: a bar ends a field of the header unless it is escaped; in the extension an `=` ends a
/// key unless it is escaped, and the key begins behind the last space before it.
pub(crate) fn read(record: &[u8]) -> Result<Read, String> {
    let line = std::str::from_utf8(record).map_err(|error| error.to_string())?;
    let (mut header, mut field, mut characters) = (Vec::new(), String::new(), line.chars());
    while header.len() < 7 {
        match characters.next().ok_or("the header ends early")? {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | '|')) => field.push(escaped),
                other => return Err(format!("{other:?} is escaped in the header")),
            },
            '|' => header.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    Ok((header, extension(characters.as_str())?))
}

fn extension(text: &str) -> Result<BTreeMap<String, String>, String> {
    let (mut pieces, mut piece, mut characters) = (Vec::new(), String::new(), text.chars());
    let mut ends = Vec::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => piece.push(match characters.next() {
                Some(escaped @ ('\\' | '=')) => escaped,
                Some('n') => '\n',
                Some('r') => '\r',
                other => return Err(format!("{other:?} is escaped in the extension")),
            }),
            '=' => {
                pieces.push((std::mem::take(&mut piece), ends.pop()));
                ends.clear();
            }
            ' ' => {
                ends.push(piece.len());
                piece.push(' ');
            }
            other => piece.push(other),
        }
    }
    pieces.push((piece, None));
    let mut found = BTreeMap::new();
    for at in 1..pieces.len() {
        let key_of = |(text, space): &(String, Option<usize>)| text[space.map_or(0, |at| at + 1)..].to_owned();
        let (text, space) = &pieces[at];
        let is_last = at + 1 == pieces.len();
        let value = if is_last { text } else { &text[..space.ok_or("a key without a space before it")?] };
        let key = key_of(&pieces[at - 1]);
        if value.trim() != value || value.is_empty() {
            return Err(format!("{key} is {value:?}"));
        }
        if found.insert(key.clone(), value.to_owned()).is_some() {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok(found)
}

/// Whether a record keeps every rule, whatever its event says.
fn check(record: &[u8]) -> Result<Read, String> {
    let (header, extension) = read(record)?;
    if has_line_end(record)
        || String::from_utf8_lossy(record).chars().any(|c| c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c))
    {
        return Err("a control character".into());
    }
    let class = header[4].split_once('.').ok_or("no class")?;
    let is_known =
        ["incident", "alert"].contains(&class.0) && ["CEF:0", "Microsoft", "Defender XDR", "1.0"] == header[..4];
    let severity: u8 = header[6].parse().map_err(|_| "no severity")?;
    if !is_known || header[5].is_empty() || 512 < header[5].len() || 10 < severity {
        return Err(format!("the header is {header:?}"));
    }
    for (key, value) in &extension {
        let length_max = LENGTHS.iter().find(|(known, _)| known == key).map_or(1023, |(_, length)| *length);
        if !KEYS.split_whitespace().any(|known| known == key) || length_max < value.len() {
            return Err(format!("{key} has {} B", value.len()));
        }
        let labelled = ["cs", "cn", "flex", "deviceCustom"].iter().any(|custom| key.starts_with(custom));
        if labelled && !key.ends_with("Label") && !extension.contains_key(&format!("{key}Label")) {
            return Err(format!("{key} has no label"));
        }
        if key.strip_suffix("Label").is_some_and(|labelled| !extension.contains_key(labelled)) {
            return Err(format!("{key} labels nothing"));
        }
    }
    Ok((header, extension))
}

/// What there are goldens of: each incident, a part about an alert, and one about an entity of it.
fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = records(&style());
    let mut left = wild::first_part(event("attack"), Split::Alerts);
    left.for_sink.passage = Some(Passage::Left);
    left.for_sink.sequence = Some(42);
    all.push(("attack_part", style().render(&left)));
    all.push(("defender_padded_part", style().render(&wild::first_part(event("defender_padded"), Split::Alerts))));
    all.push(("graph_entity", style().render(&wild::first_part(event("graph"), Split::Entities))));
    all
}

#[test]
fn every_incident_is_the_record_that_it_was() {
    for (name, record) in all() {
        golden(name, "cef", &record);
        check(&record).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn a_record_says_what_the_incident_does() {
    let said = |event: &Event| check(&style().render(event)).expect("a record");
    let (header, extension) = said(&event("defender_padded"));
    assert_eq!(
        header[4..],
        ["incident.updated", "Multi-stage incident involving Execution & Lateral movement on multiple endpoints", "8"]
    );
    let expect = |key: &str, value: &str| assert_eq!(extension.get(key).map(String::as_str), Some(value), "{key}");
    expect("rt", "1795167345113");
    expect("externalId", "924565");
    expect("reason", "status Active -> InProgress; alerts 1 added");
    expect("dhost", "pc-0071.corp.example.net,srv-02.corp.example.net");
    expect("cs1", "TruePositive");
    expect("cs4", "T1059.001,T1021,T1021.002");
    expect("cs6", "contoso/924565/17951673451133333/9f3c01ab");
    expect("cn1", "2");
    let (header, extension) = said(&wild::first_part(event("defender_padded"), Split::Alerts));
    assert_eq!(header[4..], ["alert.updated", "Suspicious service registration", "5"]);
    assert_eq!((&*extension["externalId"], &*extension["flexString2"]), ("da638000000000000002_-1", "924565"));
    let (header, _) = said(&event("nulls"));
    assert_eq!(header[4..], ["incident.created", "Incident", "5"]);
}

#[test]
fn both_dialects_are_one_record() {
    let (mut defender, mut graph) = (
        read(&style().render(&event("defender_padded"))).expect("a record"),
        read(&style().render(&event("graph"))).expect("a record"),
    );
    // The dialects spell their words, and address the same page, each in its own way; only one of them has a description.
    for key in ["act", "request", "msg", "sourceServiceName", "cs1", "cs2"] {
        assert!(defender.1.remove(key).is_some() && graph.1.remove(key).is_some(), "{key}");
    }
    assert_eq!(defender, graph);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_second_record_or_a_field(event in wild::event()) {
        let record = style().render(&event);
        if let Err(why) = check(&record) {
            prop_assert!(false, "{why}: {}", String::from_utf8_lossy(&record));
        }
    }
}

/// What is missing of the document in that reader, and is told to it in other words.
fn mended(record: &[u8], reader: &str) -> Vec<u8> {
    let (header, rest) = header_and_rest(std::str::from_utf8(record).expect("UTF-8"));
    let (header, rest) = match reader {
        // tenzir 6.20 counts bars behind the header too, which the document leaves unescaped there; and it leaves `\\` in the
        // header as it is. It takes a `"` in a value for the beginning of a quotation; CEF knows none.
        "tenzir" => (header.replace("\\\\", "/").replace('"', "'"), rest.replace('|', "!").replace('"', "'")),
        // pycef 1.11 takes no `=` in the header and no escapes (`[^=\\]+\|`), and leaves the escapes of values as they are.
        "pycef" => (header.replace(['\\', '='], " ").replace(" |", " "), rest.to_owned()),
        other => panic!("{other}"),
    };
    [header, rest].concat().into_bytes()
}

/// The header with its last bar, and what is behind.
fn header_and_rest(line: &str) -> (&str, &str) {
    let bytes = line.as_bytes();
    let (mut bars, mut at) = (0, 0);
    while bars < 7 {
        bars += usize::from(bytes[at] == b'|');
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    line.split_at(at)
}

#[test]
fn tenzir_reads_what_was_written() {
    let lines: Vec<_> = all().into_iter().map(|(name, record)| (name, mended(&record, "tenzir"))).collect();
    let program = "from_stdin { read_lines } | this = line.parse_cef(raw=true) | write_ndjson";
    let Some(found) = read_by::tenzir(program, &lines) else { return };
    for ((name, line), found) in lines.iter().zip(found) {
        let (header, extension) = read(line).expect("a record");
        let keys = ["device_vendor", "device_product", "device_version", "signature_id", "name", "severity"];
        assert_eq!(keys.map(|key| found[key].as_str().unwrap_or_default()), header[1..], "{name}");
        assert_eq!(read_by::texts(&found["extension"]), extension, "{name}");
    }
}

#[test]
fn pycef_reads_what_was_written() {
    let lines: Vec<_> = all().into_iter().map(|(name, record)| (name, mended(&record, "pycef"))).collect();
    let Some(found) = read_by::python("pycef", &["pycef==1.11"], "import pycef\nread = pycef.parse", &lines) else {
        return;
    };
    for ((name, line), found) in lines.iter().zip(found) {
        let (header, extension) = read(line).expect("a record");
        let keys = ["DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEventClassID", "Name", "Severity"];
        assert_eq!(keys.map(|key| found[key].as_str().unwrap_or_default()), header[1..], "{name}");
        let mut found = read_by::texts(&found);
        for key in keys.into_iter().chain(["DeviceName", "DeviceSeverity", "CEFVersion"]) {
            found.remove(key);
        }
        assert_eq!(found, by_label(&extension), "{name}");
    }
}

/// pycef calls a custom field by its label, and leaves escapes as they are.
fn by_label(extension: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for (key, value) in extension.iter().filter(|(key, _)| !key.ends_with("Label")) {
        let name = extension.get(&format!("{key}Label")).unwrap_or(key);
        let written = value.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r");
        named.insert(name.clone(), written);
    }
    named
}

#[test]
fn the_readers_would_see_a_forged_field() {
    let forged = [("forged", b"CEF:0|Microsoft|Defender XDR|1.0|incident.updated|n|8|act=a sev=10".to_vec())];
    let program = "from_stdin { read_lines } | this = line.parse_cef(raw=true) | write_ndjson";
    let Some(found) = read_by::tenzir(program, &forged) else { return };
    assert_eq!(found[0]["extension"]["sev"], Value::from("10"));
}
