//! ArcSight's Common Event Format, version 0 of it: one line with a header of seven fields and an extension of keys. It says what
//! happened in the words of its dictionary; it does not carry the incident, which only the JSON formats do.
//!
//! Rules: "Implementing ArcSight Common Event Format (CEF)", version 25. Lengths are those of its dictionary.

use std::borrow::Cow;

use crate::format::gist::{Gist, PRODUCT, VENDOR, VERSION, millis, reason, severity_number};
use crate::format::plain::{Rules, harmless, put, put_list, put_number};
use crate::model::content::Content;
use crate::model::event::Event;
use crate::model::timestamp::Timestamp;

/// Bytes of the header's `Name`.
const NAME_MAX: usize = 512;
/// Bytes of `externalId`.
const EXTERNAL_ID_MAX: usize = 40;
/// Bytes of `act`.
const ACT_MAX: usize = 63;
/// Bytes of `fileHash` and `deviceExternalId`.
const SHORT_MAX: usize = 255;
/// Bytes of `msg` and of most others.
const TEXT_MAX: usize = 1023;
/// Bytes of `cs1` to `cs6`.
const CUSTOM_MAX: usize = 4000;

/// One event as one CEF record: never a newline in it, no key twice, no key without a value.
pub fn render(event: &Event) -> Vec<u8> {
    let content = Content::of(event.incident.get());
    let gist = Gist::of(event, &content);
    let mut record = Record(Vec::with_capacity(2048));
    record.header(event, &gist);
    record.what(event, &gist);
    record.about(&gist);
    record.custom(event, &gist);
    record.0.pop_if(|last| *last == b' ');
    record.0
}

/// In the header `\` and `|` are escaped, and no field has a newline.
struct Header;

impl Rules for Header {
    fn replaced(&self, character: char) -> char {
        harmless(character)
    }

    fn escaped(&self, character: char) -> Option<&'static str> {
        match character {
            '\\' => Some("\\\\"),
            '|' => Some("\\|"),
            _ => None,
        }
    }

    /// Many readers take the end of `…\\|` for an escaped bar, and every field behind it for another.
    fn may_end(&self, character: char) -> bool {
        !character.is_whitespace() && character != '\\'
    }
}

/// In the extension `\` and `=` are escaped, and so are newlines; `|` is not.
struct Value;

impl Rules for Value {
    fn replaced(&self, character: char) -> char {
        match character {
            '\n' | '\r' => character,
            _ => harmless(character),
        }
    }

    fn escaped(&self, character: char) -> Option<&'static str> {
        match character {
            '\\' => Some("\\\\"),
            '=' => Some("\\="),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            _ => None,
        }
    }
}

/// The value of a custom field.
enum Custom<'a> {
    Text(Option<&'a str>),
    List(&'a [Cow<'a, str>]),
    Number(Option<u64>),
    Time(Option<Timestamp>),
}

/// The line so far; in the extension with a space at its end.
struct Record(Vec<u8>);

impl Record {
    /// `CEF:0|Microsoft|Defender XDR|1.0|incident.updated|Name|8|`
    fn header(&mut self, event: &Event, gist: &Gist<'_>) {
        for part in ["CEF:0|", VENDOR, "|", PRODUCT, "|", VERSION, "|", gist.subject, ".", event.kind.as_str(), "|"] {
            self.0.extend_from_slice(part.as_bytes());
        }
        let before = self.0.len();
        put(&mut self.0, &Header, gist.title.unwrap_or_default(), NAME_MAX);
        if self.0.len() == before {
            self.0.extend_from_slice(if gist.alert_id.is_some() { b"Alert" } else { b"Incident" });
        }
        self.0.push(b'|');
        put_number(&mut self.0, severity_number(gist.severity.as_deref()));
        self.0.push(b'|');
    }

    /// Which one, when, and what happened to it.
    fn what(&mut self, event: &Event, gist: &Gist<'_>) {
        self.time("rt", Some(gist.time));
        self.text("externalId", Some(gist.alert_id.unwrap_or(event.incident_id.as_str())), EXTERNAL_ID_MAX);
        self.text("deviceExternalId", Some(event.tenant.as_str()), SHORT_MAX);
        self.text("act", gist.status.as_deref(), ACT_MAX);
        self.text("reason", Some(&reason(event)), TEXT_MAX);
        self.text("msg", gist.entity.or(gist.description).or(gist.title), TEXT_MAX);
        self.text("request", gist.url, TEXT_MAX);
    }

    /// What it is about.
    fn about(&mut self, gist: &Gist<'_>) {
        self.list("cat", &gist.categories, TEXT_MAX);
        self.list("sourceServiceName", &gist.services, TEXT_MAX);
        self.time("start", gist.first_activity.or(gist.created));
        self.time("end", gist.last_activity);
        self.list("dhost", &gist.hosts, TEXT_MAX);
        self.list("duser", &gist.users, TEXT_MAX);
        self.list("fileHash", &gist.hashes, SHORT_MAX);
    }

    /// What the dictionary has no word for.
    fn custom(&mut self, event: &Event, gist: &Gist<'_>) {
        use Custom::{List, Number, Text, Time};
        let part = event.for_sink.part.as_ref();
        let (label, id) = match gist.alert_id {
            Some(_) => ("incidentId", Some(event.incident_id.as_str())),
            None => ("redirectedTo", gist.redirected_to.as_deref()),
        };
        self.labelled(["cs1", "cs1Label", "classification"], Text(gist.classification.as_deref()), CUSTOM_MAX);
        self.labelled(["cs2", "cs2Label", "determination"], Text(gist.determination.as_deref()), CUSTOM_MAX);
        self.labelled(["cs3", "cs3Label", "assignedTo"], Text(gist.assignee), CUSTOM_MAX);
        self.labelled(["cs4", "cs4Label", "mitreTechniques"], List(&gist.techniques), CUSTOM_MAX);
        self.labelled(["cs5", "cs5Label", "tags"], List(&gist.tags), CUSTOM_MAX);
        self.labelled(["cs6", "cs6Label", "eventId"], Text(Some(event.event_id.as_str())), CUSTOM_MAX);
        self.labelled(["flexString1", "flexString1Label", "ipAddresses"], List(&gist.addresses), TEXT_MAX);
        self.labelled(["flexString2", "flexString2Label", label], Text(id), TEXT_MAX);
        self.labelled(["cn1", "cn1Label", "alertCount"], Number(gist.alert_count), 0);
        self.labelled(["cn2", "cn2Label", "sequence"], Number(Some(event.sequence)), 0);
        self.labelled(["cn3", "cn3Label", "sinkSequence"], Number(event.for_sink.sequence), 0);
        let (number, of) = (part.map(|part| part.number as u64), part.map(|part| part.of as u64));
        self.labelled(["flexNumber1", "flexNumber1Label", "part"], Number(number), 0);
        self.labelled(["flexNumber2", "flexNumber2Label", "parts"], Number(of), 0);
        self.labelled(["deviceCustomDate1", "deviceCustomDate1Label", "created"], Time(gist.created), 0);
        self.labelled(["deviceCustomDate2", "deviceCustomDate2Label", "observed"], Time(Some(event.observed_at)), 0);
    }

    /// A custom field, and only with it its label. A text or a list has `bytes_max`.
    fn labelled(&mut self, [key, label_key, label]: [&str; 3], custom: Custom<'_>, bytes_max: usize) {
        let before = self.0.len();
        match custom {
            Custom::Text(text) => self.text(key, text, bytes_max),
            Custom::List(texts) => self.list(key, texts, bytes_max),
            Custom::Number(number) => self.number(key, number),
            Custom::Time(time) => self.time(key, time),
        }
        if before < self.0.len() {
            self.text(label_key, Some(label), SHORT_MAX);
        }
    }

    fn text(&mut self, key: &str, value: Option<&str>, bytes_max: usize) {
        self.field(key, |out| {
            put(out, &Value, value.unwrap_or_default(), bytes_max);
        });
    }

    fn list(&mut self, key: &str, values: &[Cow<'_, str>], bytes_max: usize) {
        self.field(key, |out| put_list(out, &Value, values, bytes_max));
    }

    fn number(&mut self, key: &str, number: Option<u64>) {
        self.field(key, |out| {
            if let Some(number) = number {
                put_number(out, number);
            }
        });
    }

    /// Milliseconds since 1970, one of the two forms that the dictionary has for times.
    fn time(&mut self, key: &str, time: Option<Timestamp>) {
        self.number(key, time.map(millis));
    }

    /// `key=value `, or nothing where there is no value.
    fn field(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.0.len();
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        let empty = self.0.len();
        write(&mut self.0);
        if self.0.len() == empty {
            self.0.truncate(before);
        } else {
            self.0.push(b' ');
        }
    }
}
