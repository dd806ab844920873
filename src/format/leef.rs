//! IBM's Log Event Extended Format 2.0: one line with a header of six fields and attributes between delimiters. It says what
//! happened; it does not carry the incident, which only the JSON formats do.
//!
//! LEEF has no escapes: what would end a field or an attribute becomes a space. Rules: IBM's "LEEF event components",
//! "Predefined LEEF event attributes", "Custom event keys" (a key once; none of our own has a predefined name). It sets no
//! lengths; ours keep the longest record within [`RECORD_MAX`].

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format::gist::{Gist, PRODUCT, VENDOR, VERSION, millis, reason, severity_number};
use crate::format::plain::{Rules, harmless, is_treacherous, put, put_list, put_number};
use crate::model::content::Content;
use crate::model::event::Event;
use crate::model::timestamp::Timestamp;

/// Bytes of a record at most, which the lengths below add up to: QRadar takes 4,096 over TCP unless told otherwise, and a syslog
/// header stands before it.
pub const RECORD_MAX: usize = 3_584;

/// Bytes of a word out of a list of the API's.
const WORD_MAX: usize = 32;
/// Bytes of an incident's id.
const INCIDENT_ID_MAX: usize = 40;
/// Bytes of any other id.
const ID_MAX: usize = 64;
/// Bytes of our `event_id`, which is as long as its tenant's name and its alert's id.
const EVENT_ID_MAX: usize = 192;
/// Bytes of a name, or of a short list.
const NAME_MAX: usize = 80;
/// Bytes of a list.
const LIST_MAX: usize = 200;
/// Bytes of a sentence, and of a URL.
const TEXT_MAX: usize = 224;

/// Where the configuration names none: it can be seen, and survives relays that write a tab as `#011`.
const DELIMITER_DEFAULT: char = '^';
/// What stands in ids, times, addresses and lists, and in the words that we write ourselves: no delimiter.
const OURS: &str = "|=,;.-_/:@#>";

/// The keys of `leef = { … }` of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Leef")]
pub struct Config {
    /// What stands between two attributes: one character, or its number in hex, as in `x09`.
    pub delimiter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { delimiter: DELIMITER_DEFAULT.into() }
    }
}

impl Config {
    /// What is wrong with the settings as far as they alone tell: the key below `leef`, and what would be right.
    pub fn validate(&self) -> Vec<(String, String)> {
        self.delimiter().err().map(|why| ("delimiter".to_owned(), why)).into_iter().collect()
    }

    fn delimiter(&self) -> Result<char, String> {
        let mut characters = self.delimiter.chars();
        let alone = characters.next().filter(|_| characters.next().is_none());
        let digits = self.delimiter.strip_prefix("0x").or(self.delimiter.strip_prefix('x'));
        let by_number = || {
            let digits = digits.filter(|digits| (1..=4).contains(&digits.len()))?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let Some(delimiter) = alone.or_else(|| by_number().and_then(char::from_u32)) else {
            return Err("must be one character, or its number as in \"x09\"".into());
        };
        match is_delimiter(delimiter) {
            true => Ok(delimiter),
            false => Err(format!("must not be {delimiter:?}, which records need themselves: \"^\" or \"x09\" do")),
        }
    }
}

/// Whether a character can stand between attributes: it ends no line, and nothing of ours has it.
fn is_delimiter(character: char) -> bool {
    match character {
        '\t' | '\u{1}'..='\u{8}' | '\u{e}'..='\u{1b}' | '\u{1f}' => true,
        _ => {
            let is_text = character.is_alphanumeric() || character.is_whitespace() || OURS.contains(character);
            !is_text && !is_treacherous(character)
        }
    }
}

/// One event as one LEEF record: never a newline in it, no key twice, no key without a value.
pub fn render(event: &Event, config: &Config) -> Vec<u8> {
    let content = Content::of(event.incident.get());
    let gist = Gist::of(event, &content);
    let delimiter = config.delimiter().unwrap_or(DELIMITER_DEFAULT);
    let mut record = Record { bytes: Vec::with_capacity(2048), delimiter };
    record.header(event, &gist);
    record.predefined(&gist);
    record.which(event, &gist);
    record.about(event, &gist);
    record.bytes.truncate(record.bytes.len() - delimiter.len_utf8());
    record.bytes
}

/// No value has the delimiter.
struct Value {
    delimiter: char,
}

impl Rules for Value {
    fn replaced(&self, character: char) -> char {
        if character == self.delimiter { ' ' } else { harmless(character) }
    }

    fn escaped(&self, _character: char) -> Option<&'static str> {
        None
    }
}

/// The line so far, with a delimiter at its end.
struct Record {
    bytes: Vec<u8>,
    delimiter: char,
}

impl Record {
    /// `LEEF:2.0|Microsoft|Defender XDR|1.0|incident.updated|^|`: none of its fields comes from outside.
    fn header(&mut self, event: &Event, gist: &Gist<'_>) {
        for part in ["LEEF:2.0|", VENDOR, "|", PRODUCT, "|", VERSION, "|", gist.subject, ".", event.kind.as_str(), "|"]
        {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        match self.delimiter {
            visible if visible.is_ascii_graphic() => self.delimit(),
            other => self.bytes.extend_from_slice(format!("x{:02x}", u32::from(other)).as_bytes()),
        }
        self.bytes.push(b'|');
    }

    /// Attributes that QRadar knows by itself.
    fn predefined(&mut self, gist: &Gist<'_>) {
        self.time("devTime", Some(gist.time));
        self.text("cat", Some(gist.subject), WORD_MAX);
        self.number("sev", Some(severity_number(gist.severity.as_deref())));
        self.text("usrName", gist.users.first().map(AsRef::as_ref), NAME_MAX);
        self.text("url", gist.url, TEXT_MAX);
    }

    /// Which one, and what happened to it.
    fn which(&mut self, event: &Event, gist: &Gist<'_>) {
        self.text("incidentId", Some(event.incident_id.as_str()), INCIDENT_ID_MAX);
        self.text("alertId", gist.alert_id, ID_MAX);
        self.text("eventId", Some(event.event_id.as_str()), EVENT_ID_MAX);
        self.text("tenant", Some(event.tenant.as_str()), ID_MAX);
        self.number("sequence", Some(event.sequence));
        self.number("sinkSequence", event.for_sink.sequence);
        let part = event.for_sink.part.as_ref();
        self.number("part", part.map(|part| part.number as u64));
        self.number("parts", part.map(|part| part.of as u64));
        self.text("title", gist.title, TEXT_MAX);
        self.text("changes", Some(&reason(event)), TEXT_MAX);
        self.text("status", gist.status.as_deref(), WORD_MAX);
        self.text("severity", gist.severity.as_deref(), WORD_MAX);
        self.text("classification", gist.classification.as_deref(), WORD_MAX);
        self.text("determination", gist.determination.as_deref(), WORD_MAX);
        self.text("assignedTo", gist.assignee, NAME_MAX);
        self.text("redirectedTo", gist.redirected_to.as_deref(), INCIDENT_ID_MAX);
    }

    /// What it is about.
    fn about(&mut self, event: &Event, gist: &Gist<'_>) {
        self.text("entity", gist.entity, NAME_MAX);
        self.text("description", gist.description, TEXT_MAX);
        self.list("tags", &gist.tags, LIST_MAX);
        self.list("categories", &gist.categories, NAME_MAX);
        self.list("serviceSources", &gist.services, NAME_MAX);
        self.list("mitreTechniques", &gist.techniques, NAME_MAX);
        self.list("hosts", &gist.hosts, LIST_MAX);
        self.list("users", &gist.users, LIST_MAX);
        self.list("ipAddresses", &gist.addresses, LIST_MAX);
        self.list("fileHashes", &gist.hashes, LIST_MAX);
        self.number("alertCount", gist.alert_count);
        self.time("created", gist.created);
        self.time("firstActivity", gist.first_activity);
        self.time("lastActivity", gist.last_activity);
        self.time("observed", Some(event.observed_at));
    }

    fn text(&mut self, key: &str, value: Option<&str>, bytes_max: usize) {
        self.attribute(key, |out, rules| {
            put(out, rules, value.unwrap_or_default(), bytes_max);
        });
    }

    fn list(&mut self, key: &str, values: &[Cow<'_, str>], bytes_max: usize) {
        self.attribute(key, |out, rules| put_list(out, rules, values, bytes_max));
    }

    fn number(&mut self, key: &str, number: Option<u64>) {
        self.attribute(key, |out, _| {
            if let Some(number) = number {
                put_number(out, number);
            }
        });
    }

    /// Milliseconds since 1970, which need no `devTimeFormat`.
    fn time(&mut self, key: &str, time: Option<Timestamp>) {
        self.number(key, time.map(millis));
    }

    /// `key=value` and the delimiter, or nothing where there is no value.
    fn attribute(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>, &Value)) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(b'=');
        let empty = self.bytes.len();
        write(&mut self.bytes, &Value { delimiter: self.delimiter });
        if self.bytes.len() == empty {
            self.bytes.truncate(before);
        } else {
            self.delimit();
        }
    }

    fn delimit(&mut self) {
        self.bytes.extend_from_slice(self.delimiter.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_what_no_record_needs() {
        let check = |delimiter: &str, expected: Option<char>| {
            let config = Config { delimiter: delimiter.into() };
            assert_eq!(config.delimiter().ok(), expected, "{delimiter:?}");
            assert_eq!(config.validate().is_empty(), expected.is_some(), "{delimiter:?}");
        };
        for (text, character) in [
            ("^", '^'),
            ("\t", '\t'),
            ("x09", '\t'),
            ("0x5E", '^'),
            ("xa6", '¦'),
            ("¦", '¦'),
            ("0x1f", '\u{1f}'),
            ("~", '~'),
        ] {
            check(text, Some(character));
        }
        let wrong = [
            "", "^^", "x", "0x", "xd800", "x12345", "a", "7", " ", "\n", "x0d", "x0", "=", "|", ",", ":", "x202e",
            "x+9",
        ];
        wrong.into_iter().for_each(|text| check(text, None));
    }
}
