//! RFC 5424 messages: the header of an event, the message around a body, the two framings of RFC 6587.
//! Never cuts a body and never lets a text from outside end a field, a message or a frame.

pub mod priority;

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::format::plain::is_treacherous;
use crate::format::syslog::priority::{Facility, Severity};
use crate::model::event::Event;
use crate::model::timestamp::Timestamp;

/// The SD-ID of our structured data. RFC 5424 section 6.3.2 wants `name@` and a private enterprise number for a name that
/// is not registered. The project has no number of its own; 32473 is the one that RFC 5612 sets aside for documentation,
/// so it is nobody else's, and a receiver tells us by the name before it.
pub const SD_ID: &str = "xdrelay@32473";

/// Characters of HOSTNAME at most (RFC 5424 section 6).
pub const HOSTNAME_LENGTH_MAX: usize = 255;
/// Characters of APP-NAME at most.
pub const APP_NAME_LENGTH_MAX: usize = 48;
/// Characters of PROCID at most.
pub const PROCID_LENGTH_MAX: usize = 128;
/// Characters of MSGID at most.
pub const MSGID_LENGTH_MAX: usize = 32;

/// What every message of one sink has in common. The names may be any text; [`message`] makes them fit.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The facility.
    pub facility: Facility,
    /// HOSTNAME.
    pub hostname: String,
    /// APP-NAME.
    pub app_name: String,
    /// PROCID.
    pub procid: String,
    /// Begin MSG with the byte order mark (RFC 5424 section 6.4).
    pub bom: bool,
}

/// The header of one message. The texts may come from anywhere: what does not fit the grammar is replaced, `_` in names
/// and U+FFFD in values, and the body holds the exact text.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    /// What the sink says of itself.
    pub origin: &'a Origin,
    /// The severity.
    pub severity: Severity,
    /// TIMESTAMP; digits beyond the sixth are cut (section 6.2.3).
    pub timestamp: Timestamp,
    /// MSGID.
    pub msgid: &'a str,
    /// The parameters of the one element of STRUCTURED-DATA, names and values.
    pub data: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Header<'a> {
    /// The header of an event: the time of its revision, or where that has none when we took it in; MSGID is its kind.
    pub fn of(event: &'a Event, origin: &'a Origin) -> Self {
        Self {
            origin,
            severity: Severity::of_incident(event.severity.as_deref()),
            timestamp: event.last_update.unwrap_or(event.observed_at),
            msgid: event.kind.as_str(),
            data: vec![
                ("event_id", event.event_id.as_str().into()),
                ("tenant", event.tenant.as_str().into()),
                ("sequence", event.sequence.to_string().into()),
                ("incident", event.incident_id.as_str().into()),
            ],
        }
    }
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG` (RFC 5424 section 6).
///
/// `body` is MSG as it is. Section 6.4 wants UTF-8 to begin with a byte order mark; without [`Origin::bom`] a body that is
/// not pure ASCII is MSG-ANY, which says nothing of its encoding. Escaping it to ASCII would not do: the incident inside
/// stays byte for byte.
pub fn message(header: &Header<'_>, body: &[u8]) -> Vec<u8> {
    // QRadar reads `yyyy-MM-ddTHH:mm:ss.SSSZ` before LEEF, and no other number of digits (IBM, "LEEF event components").
    let head = if body.starts_with(b"LEEF:") { format!("{header:.3}") } else { header.to_string() };
    let mut bytes = head.into_bytes();
    bytes.push(b' ');
    if header.origin.bom {
        bytes.extend_from_slice("\u{feff}".as_bytes());
    }
    bytes.extend_from_slice(body);
    bytes
}

/// `LENGTH SP MESSAGE`, the length in bytes (RFC 6587 section 3.4.1, RFC 5425 section 4.3).
pub fn octet_counted(message: &[u8]) -> Vec<u8> {
    let mut frame = format!("{} ", message.len()).into_bytes();
    frame.extend_from_slice(message);
    frame
}

/// A message that a newline would end in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message with a newline inside cannot be framed by newlines; set `framing = \"octet_counting\"`")]
pub struct NewlineInside;

/// The message and a newline (RFC 6587 section 3.4.2).
///
/// # Errors
/// A newline inside would make two messages of one.
pub fn newline_framed(message: &[u8]) -> Result<Vec<u8>, NewlineInside> {
    if message.contains(&b'\n') {
        return Err(NewlineInside);
    }
    let mut frame = Vec::with_capacity(message.len() + 1);
    frame.extend_from_slice(message);
    frame.push(b'\n');
    Ok(frame)
}

/// Whether a text fits a header field as it is: 1 to `length_max` printable ASCII characters (PRINTUSASCII).
pub fn is_name(text: &str, length_max: usize) -> bool {
    !text.is_empty() && text.len() <= length_max && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The header without the space before MSG. The precision is that of TIMESTAMP: six fraction digits unless it says less.
impl fmt::Display for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pri = self.origin.facility.0 * 8 + self.severity as u8;
        let (time, digits) = (self.timestamp.to_micros_text(), f.precision().unwrap_or(6).clamp(1, 6));
        write!(f, "<{pri}>1 {}Z ", &time[..time.len() - "Z".len() - (6 - digits)])?;
        write_name(f, &self.origin.hostname, HOSTNAME_LENGTH_MAX)?;
        write_name(f, &self.origin.app_name, APP_NAME_LENGTH_MAX)?;
        write_name(f, &self.origin.procid, PROCID_LENGTH_MAX)?;
        write_name(f, self.msgid, MSGID_LENGTH_MAX)?;
        if self.data.is_empty() {
            return f.write_char('-');
        }
        write!(f, "[{SD_ID}")?;
        for (name, value) in &self.data {
            write!(f, " {name}=\"")?;
            write_value(f, value)?;
            f.write_char('"')?;
        }
        f.write_char(']')
    }
}

/// A header field and the space behind it.
fn write_name(f: &mut fmt::Formatter<'_>, text: &str, length_max: usize) -> fmt::Result {
    if text.is_empty() {
        return f.write_str("- ");
    }
    for character in text.chars().take(length_max) {
        f.write_char(if character.is_ascii_graphic() { character } else { '_' })?;
    }
    f.write_char(' ')
}

/// A PARAM-VALUE: `"`, `\` and `]` escaped and nothing else (RFC 5424 section 6.3.3).
fn write_value(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        match character {
            '"' | '\\' | ']' => write!(f, "\\{character}")?,
            _ if is_treacherous(character) => f.write_char(char::REPLACEMENT_CHARACTER)?,
            _ => f.write_char(character)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use syslog_loose::{Variant, parse_message_with_year_exact};

    use super::*;
    use crate::model::event::{Kind, Notes};
    use crate::model::names::{EventId, IncidentId, TenantName};

    fn origin() -> Origin {
        Origin {
            facility: "local0".parse().expect("a facility"),
            hostname: "relay.example.net".into(),
            app_name: "xdrelay".into(),
            procid: "4711".into(),
            bom: false,
        }
    }

    fn event(tenant: &str, incident: &str, severity: Option<&str>) -> Event {
        Event {
            event_id: EventId::new(format!("{tenant}/{incident}/15994036172900000/9f3c01ab")),
            kind: Kind::Updated,
            tenant: TenantName::new(tenant),
            sequence: 4711,
            observed_at: Timestamp::from_seconds(1_800_000_000),
            changes: Vec::new(),
            incident_id: IncidentId::new(incident),
            last_update: Some("2026-11-21T10:00:00.1234567Z".parse().expect("a time")),
            severity: severity.map(str::to_owned),
            notes: Notes::default(),
            incident: RawValue::from_string("{}".into()).expect("JSON"),
            for_sink: crate::model::delivery::ForSink::default(),
        }
    }

    fn check(event: &Event, origin: &Origin, expected: &str) {
        let bytes = message(&Header::of(event, origin), br#"{"a":1}"#);
        assert_eq!(String::from_utf8(bytes).expect("UTF-8"), expected);
    }

    #[test]
    fn a_message_looks_like_this() {
        let usual = event("contoso", "924565", Some("High"));
        check(
            &usual,
            &origin(),
            concat!(
                "<131>1 2026-11-21T10:00:00.123456Z relay.example.net xdrelay 4711 updated ",
                r#"[xdrelay@32473 event_id="contoso/924565/15994036172900000/9f3c01ab" tenant="contoso" "#,
                r#"sequence="4711" incident="924565"] {"a":1}"#
            ),
        );
        let timeless = Event { last_update: None, kind: Kind::Created, ..event("c", "1", None) };
        let with_mark = Origin { bom: true, hostname: String::new(), procid: String::new(), ..origin() };
        check(
            &timeless,
            &with_mark,
            concat!(
                "<133>1 2027-01-15T08:00:00.000000Z - xdrelay - created ",
                r#"[xdrelay@32473 event_id="c/1/15994036172900000/9f3c01ab" tenant="c" sequence="4711" incident="1"] "#,
                "\u{feff}{\"a\":1}"
            ),
        );
    }

    #[test]
    fn leef_has_the_milliseconds_that_its_reader_knows() {
        let check = |body: &[u8], expected: &str| {
            let bytes = message(&Header::of(&event("contoso", "924565", None), &origin()), body);
            assert!(bytes.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        };
        check(b"LEEF:2.0|Microsoft|Defender XDR|", "<133>1 2026-11-21T10:00:00.123Z relay.example.net xdrelay ");
        check(b"CEF:0|Microsoft|Defender XDR|", "<133>1 2026-11-21T10:00:00.123456Z relay.example.net xdrelay ");
    }

    #[test]
    fn an_attack_stays_inside_its_field() {
        let attack = Event {
            event_id: EventId::new("a\"] <0>1 - - - - - -\r\n\0x\\\u{202e}\u{2028}é"),
            ..event("t\n]", "", Some("high\n"))
        };
        let hostile = Origin { hostname: "a b\nc\0é".into(), app_name: "x".repeat(99), ..origin() };
        check(
            &attack,
            &hostile,
            &format!(
                concat!(
                    "<133>1 2026-11-21T10:00:00.123456Z a_b_c__ {} 4711 updated ",
                    r#"[xdrelay@32473 event_id="a\"\] <0>1 - - - - - -���x\\��é" tenant="t�\]" "#,
                    r#"sequence="4711" incident=""] {{"a":1}}"#
                ),
                "x".repeat(48)
            ),
        );
    }

    #[test]
    fn frames_tell_messages_apart() {
        assert_eq!(octet_counted("é".as_bytes()), "2 é".as_bytes());
        assert_eq!(newline_framed(b"a"), Ok(b"a\n".to_vec()));
        assert_eq!(newline_framed(b"a\nb"), Err(NewlineInside));
    }

    /// What a value becomes on the way.
    fn shown(text: &str) -> String {
        text.chars().map(|c| if is_treacherous(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
    }

    proptest! {
        #[test]
        fn a_parser_that_is_not_ours_reads_what_was_written(
            tenant: String,
            incident: String,
            // The other parser takes a colon at its end for the end of the header, as RFC 3164 had it.
            hostname in "h[\\PC&&[^:]]{0,300}",
            text: String,
            ticks in 0u64..2_534_022_071_999_999_999,
        ) {
            let mut event = event(&tenant, &incident, Some("Medium"));
            event.last_update = Some(Timestamp::from_ticks(ticks));
            let origin = Origin { hostname, ..origin() };
            let body = serde_json::to_string(&text).expect("JSON");
            let bytes = message(&Header::of(&event, &origin), body.as_bytes());
            prop_assert!(newline_framed(&bytes).is_ok());

            let written = String::from_utf8(bytes).expect("UTF-8");
            let read = parse_message_with_year_exact(&written, |_| 1970, Variant::RFC5424).expect("a message");
            prop_assert_eq!(read.facility.map(|facility| facility as u8), Some(16));
            prop_assert_eq!(read.severity.map(|severity| severity as u8), Some(4));
            prop_assert_eq!(read.timestamp.map(|time| time.timestamp_micros()), i64::try_from(ticks / 10).ok());
            prop_assert!(read.hostname.is_some_and(|name| is_name(name, HOSTNAME_LENGTH_MAX)));
            prop_assert_eq!(read.appname, Some("xdrelay"));
            prop_assert_eq!(read.msgid, Some("updated"));
            prop_assert_eq!(read.msg, &body);
            let [element] = read.structured_data.as_slice() else { panic!("one element") };
            let values: Vec<(String, String)> =
                element.params().map(|(name, value)| (name.to_string(), value)).collect();
            prop_assert_eq!(element.id, SD_ID);
            prop_assert_eq!(values, vec![
                ("event_id".to_owned(), shown(event.event_id.as_str())),
                ("tenant".to_owned(), shown(&tenant)),
                ("sequence".to_owned(), "4711".to_owned()),
                ("incident".to_owned(), shown(&incident)),
            ]);
        }
    }
}
