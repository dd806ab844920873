//! Events as records: one event is one line, whatever is in it, and a receiver that goes by the standards reads back what was
//! put in: the JSON object, the RFC 5424 header, both framings of RFC 6587.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;
use xdrelay::format::syslog::priority::Severity;
use xdrelay::format::syslog::{self, Header, Origin};
use xdrelay::format::{Format, Style};
use xdrelay::model::event::{Change, Event, Kind, Notes};
use xdrelay::model::names::{EventId, IncidentId, TenantName};
use xdrelay::model::timestamp::Timestamp;

use crate::input::Input;

/// A few decisions, then texts between zero bytes; what is left is the incident.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (bom, facility) = (input.below(2) == 1, input.below(24));
    let origin = Origin {
        facility: facility.to_string().parse().expect("a facility"),
        hostname: input.text(),
        app_name: input.text(),
        procid: input.text(),
        bom,
    };
    let event = event(input);
    let body = Style::of(Format::Json).render(&event);
    read_json(&body, &event);
    let header = Header::of(&event, &origin);
    let message = syslog::message(&header, &body);
    read_message(&message, &header, &body, facility);
    read_counted(&message);
    read_lines(&message);
    let strange = syslog::message(&header, bytes);
    read_message(&strange, &header, bytes, facility);
    read_counted(&strange);
    read_lines(&strange);
}

fn event(mut input: Input<'_>) -> Event {
    let (kind, flags) = (Kind::ALL[input.below(5)], input.byte());
    let ticks = input.number();
    let text = |input: &mut Input<'_>, bit: u8| {
        let text = input.text();
        (flags & bit != 0).then_some(text)
    };
    Event {
        kind,
        sequence: ticks.rotate_left(7),
        observed_at: Timestamp::from_ticks(ticks),
        last_update: (flags & 1 != 0).then_some(Timestamp::from_ticks(ticks / 2)),
        event_id: EventId::new(input.text()),
        tenant: TenantName::new(input.text()),
        incident_id: IncidentId::new(input.text()),
        severity: text(&mut input, 2),
        notes: Notes {
            first_seen: flags & 4 != 0,
            repaired: flags & 8 != 0,
            truncated: false,
            compared: false,
            odd: text(&mut input, 16),
        },
        changes: vec![Change::value(input.text(), text(&mut input, 32), text(&mut input, 64))],
        incident: incident(input.rest()),
        for_sink: xdrelay::model::delivery::ForSink::default(),
    }
}

/// The bytes, where they are JSON; else a text of them.
fn incident(bytes: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    RawValue::from_string(text.clone())
        .or_else(|_| RawValue::from_string(serde_json::to_string(&text).expect("a text")))
        .expect("a JSON string")
}

/// One line, one object, and the incident in it as it was but for line ends between its tokens.
fn read_json(line: &[u8], event: &Event) {
    #[derive(serde::Deserialize)]
    struct Read<'a> {
        event_id: String,
        kind: String,
        tenant: String,
        sequence: u64,
        changes: Vec<Change>,
        odd: Option<String>,
        #[serde(borrow)]
        incident: &'a RawValue,
    }
    let text = std::str::from_utf8(line).expect("JSON is UTF-8");
    assert!(!text.contains(['\n', '\r']), "a line end in {text:?}");
    let read: Read<'_> = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(
        (read.event_id.as_str(), read.kind.as_str(), read.tenant.as_str(), read.sequence),
        (event.event_id.as_str(), event.kind.as_str(), event.tenant.as_str(), event.sequence)
    );
    assert_eq!((&read.changes, &read.odd), (&event.changes, &event.notes.odd));
    assert_eq!(read.incident.get(), event.incident.get().replace(['\n', '\r'], " "));
    let value = |json: &str| serde_json::from_str::<Value>(json).ok();
    assert_eq!(value(read.incident.get()), value(event.incident.get()), "the incident says something else");
}

/// The grammar of RFC 5424 section 6, read strictly from left to right.
fn read_message(message: &[u8], header: &Header<'_>, body: &[u8], facility: usize) {
    let rest = message.strip_prefix(b"<").expect("PRI");
    let (pri, rest) = split(rest, b'>');
    assert_eq!(pri, (facility * 8 + severity(header.severity)).to_string().as_bytes());
    let rest = rest.strip_prefix(b"1 ").expect("VERSION");
    let (time, rest) = split(rest, b' ');
    assert_eq!(time, header.timestamp.to_micros_text().as_bytes());
    let origin = header.origin;
    let names = [
        (origin.hostname.as_str(), syslog::HOSTNAME_LENGTH_MAX),
        (origin.app_name.as_str(), syslog::APP_NAME_LENGTH_MAX),
        (origin.procid.as_str(), syslog::PROCID_LENGTH_MAX),
        (header.msgid, syslog::MSGID_LENGTH_MAX),
    ];
    let mut rest = rest;
    for (name, length_max) in names {
        let (read, after) = split(rest, b' ');
        read_name(read, name, length_max);
        rest = after;
    }
    let rest = read_data(rest, &header.data).strip_prefix(b" ").expect("a space before MSG");
    let rest = if origin.bom { rest.strip_prefix("\u{feff}".as_bytes()).expect("the mark") } else { rest };
    assert_eq!(rest, body, "MSG");
}

fn severity(severity: Severity) -> usize {
    match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Notice => 5,
        Severity::Informational => 6,
    }
}

fn split(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == at).expect("the header goes on");
    (&bytes[..end], &bytes[end + 1..])
}

fn read_name(read: &[u8], name: &str, length_max: usize) {
    assert!((1..=length_max).contains(&read.len()) && read.iter().all(u8::is_ascii_graphic), "{read:?}");
    if syslog::is_name(name, length_max) {
        assert_eq!(read, name.as_bytes());
    }
}

/// One element; its values, unescaped, are what was put in, but for characters that are never sent.
fn read_data<'m>(bytes: &'m [u8], data: &[(&'static str, Cow<'_, str>)]) -> &'m [u8] {
    let mut rest = bytes.strip_prefix(format!("[{}", syslog::SD_ID).as_bytes()).expect("SD-ID");
    for (name, value) in data {
        rest = rest.strip_prefix(format!(" {name}=\"").as_bytes()).expect("PARAM-NAME");
        let mut read = Vec::new();
        loop {
            let (first, after) = rest.split_first().expect("the value comes to an end");
            rest = after;
            match first {
                b'"' => break,
                b'\\' => {
                    let (escaped, after) = rest.split_first().expect("what is escaped");
                    assert!(matches!(escaped, b'"' | b'\\' | b']'), "{escaped} needs no escape");
                    read.push(*escaped);
                    rest = after;
                }
                b']' => panic!("a bracket inside of a value"),
                other => read.push(*other),
            }
        }
        let read = String::from_utf8(read).expect("PARAM-VALUE is UTF-8");
        assert_eq!(read.chars().count(), value.chars().count(), "{name}");
        for (read, put) in read.chars().zip(value.chars()) {
            assert!(!read.is_control() && (read == put || read == char::REPLACEMENT_CHARACTER), "{name}: {read:?}");
            assert!(read == put || !put.is_alphanumeric(), "{name}: {put:?} was replaced");
        }
    }
    rest.strip_prefix(b"]").expect("the end of the element")
}

/// Two frames behind one another are two messages.
fn read_counted(message: &[u8]) {
    let frame = syslog::octet_counted(message);
    let stream = [&frame[..], &frame].concat();
    let mut rest = &stream[..];
    for _ in 0..2 {
        let (length, after) = split(rest, b' ');
        let length: usize = std::str::from_utf8(length).expect("digits").parse().expect("a length");
        let (read, after) = after.split_at_checked(length).expect("as long as it says");
        assert_eq!(read, message);
        rest = after;
    }
    assert!(rest.is_empty());
}

/// Two lines are two messages, or the message is refused.
fn read_lines(message: &[u8]) {
    let Ok(frame) = syslog::newline_framed(message) else {
        return assert!(message.contains(&b'\n'), "refused without a newline inside");
    };
    let stream = [&frame[..], &frame].concat();
    let lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines, [message, message, b""]);
}
