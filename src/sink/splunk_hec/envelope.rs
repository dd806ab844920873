//! One event as HEC's event endpoint takes it: the record, and around it what Splunk wants to know beside it. Changes no byte
//! of a record that is JSON.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::event::Event;
use crate::model::timestamp::Timestamp;
use crate::sink::Outgoing;

/// What every event of a sink says of itself. What is left out is what the token says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) source: Option<&'a str>,
    pub(super) sourcetype: Option<&'a str>,
    pub(super) index: Option<&'a str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    time: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sourcetype: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: Record<'a>,
    fields: Fields<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Record<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// Indexed beside the record, so that a search finds and deduplicates whatever the format. HEC takes nothing nested here.
#[derive(Serialize)]
struct Fields<'a> {
    event_id: &'a str,
    tenant: &'a str,
    kind: &'static str,
    incident_id: &'a str,
}

/// Appends an event to the body of a request. Objects stand one after the other there, without an array.
///
/// # Errors
/// The record is neither JSON nor text in UTF-8, or is blank: HEC would refuse the whole request for it.
pub(super) fn append(body: &mut Vec<u8>, outgoing: &Outgoing, labels: Labels<'_>) -> Result<(), String> {
    let Labels { host, source, sourcetype, index } = labels;
    let event = &outgoing.event;
    let time = time(event);
    let fields = Fields {
        event_id: event.event_id.as_str(),
        tenant: event.tenant.as_str(),
        kind: event.kind.as_str(),
        incident_id: event.incident_id.as_str(),
    };
    let event = record(&outgoing.body)?;
    let envelope = Envelope { time: &time, host, source, sourcetype, index, event, fields };
    serde_json::to_writer(body, &envelope).expect("texts and raw JSON go into memory without fail");
    Ok(())
}

/// A record of a JSON format is an object and becomes one; a line of text (CEF, LEEF) becomes a string.
fn record(body: &[u8]) -> Result<Record<'_>, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("its record is no UTF-8: {error}"))?;
    if text.trim().is_empty() {
        return Err("its record is blank".into());
    }
    if !text.starts_with('{') {
        return Ok(Record::Text(text));
    }
    serde_json::from_str(text).map(Record::Json).map_err(|error| format!("its record is no JSON: {error}"))
}

/// Seconds since 1970 with three digits behind the point. Where the incident has no usable time: when it was taken in.
fn time(event: &Event) -> Box<RawValue> {
    let time: Timestamp = event.last_update.unwrap_or(event.observed_at);
    let millis = time.ticks() / 10_000;
    RawValue::from_string(format!("{}.{:03}", millis / 1000, millis % 1000)).expect("digits and a point are a number")
}
