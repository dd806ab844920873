//! Everything that the ledger knows, one JSON object a line: for reports, for looking, for moving elsewhere. There is no
//! secret in it. It must not hold more than one event in memory.

use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::format::json;
use crate::model::names::Seq;
use crate::store::error::StoreError;
use crate::store::keys::{Key, Prefix};
use crate::store::ledger::Ledger;
use crate::store::values::Entry;
use crate::store::{Endpoint, Store, body};

/// One line: what it is, whose it is, and its value as it is stored. Times in values are 100 ns ticks since 1970.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    record: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Where it is written to takes no more.
    #[error("{0}")]
    Output(#[from] io::Error),
}

impl Store {
    /// Writes all of it: version and totals, per tenant position, sequence, quota and quarantine, the marks, the outbox with
    /// its incidents byte for byte, per sink progress and refusals. Returns how many lines.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn export(&self, out: &mut dyn Write) -> Result<u64, ExportError> {
        let mut outcome = Ok(0);
        self.shared.read(|ledger| {
            outcome = export(ledger, out);
            // What is wrong with the ledger ends the store, as with any reader; what is wrong with the output does not.
            match &outcome {
                Err(ExportError::Store(error)) => Err(error.clone()),
                Err(ExportError::Output(_)) | Ok(_) => Ok(()),
            }
        })?;
        outcome
    }
}

fn export(ledger: &Ledger, out: &mut dyn Write) -> Result<u64, ExportError> {
    let mut lines = 0;
    for key in [Key::Version, Key::Totals] {
        if let Some(value) = ledger.get::<Box<RawValue>>(&key)? {
            write(out, &key, Some(&value), None)?;
            lines += 1;
        }
    }
    let small = [Prefix::Positions, Prefix::Sequences, Prefix::Quotas, Prefix::Quarantines, Prefix::Seen];
    for prefix in small {
        lines += each::<Box<RawValue>>(ledger, prefix, |key, value| write(out, key, Some(value), None))?;
    }
    lines += each::<Entry>(ledger, Prefix::Events, |key, entry| event(ledger, out, key, entry))?;
    for prefix in [Prefix::Progress, Prefix::AllRefused] {
        lines += each::<Box<RawValue>>(ledger, prefix, |key, value| write(out, key, Some(value), None))?;
    }
    out.flush()?;
    Ok(lines)
}

fn each<T: DeserializeOwned>(
    ledger: &Ledger,
    prefix: Prefix<'_>,
    mut write: impl FnMut(&Key, &T) -> Result<(), ExportError>,
) -> Result<u64, ExportError> {
    let mut lines = 0;
    for pair in ledger.scan::<T>(prefix) {
        let (key, value) = pair?;
        write(&key, &value)?;
        lines += 1;
    }
    Ok(lines)
}

fn event(ledger: &Ledger, out: &mut dyn Write, key: &Key, entry: &Entry) -> Result<(), ExportError> {
    let Key::Event(seq) = key else { return Ok(()) };
    let Some(event) = body::read(ledger, *seq, entry)? else { return Ok(()) };
    let raw =
        |json: Vec<u8>| RawValue::from_string(String::from_utf8_lossy(&json).into_owned()).map_err(io::Error::from);
    let (entry, event) = (serde_json::value::to_raw_value(entry).map_err(io::Error::from)?, raw(json::render(&event))?);
    write(out, key, Some(&entry), Some(&event))
}

fn write(
    out: &mut dyn Write,
    key: &Key,
    value: Option<&RawValue>,
    event: Option<&RawValue>,
) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *out, &Line { value, event, ..line(key) }).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

fn line(key: &Key) -> Line<'_> {
    let of = |record| Line { record, ..Line::default() };
    match key {
        Key::Version => of("version"),
        Key::Totals => of("totals"),
        Key::Position(tenant) => Line { tenant: Some(tenant.as_str()), ..of("position") },
        Key::Sequence(tenant) => Line { tenant: Some(tenant.as_str()), ..of("sequence") },
        Key::Quota(tenant, endpoint) => {
            let endpoint = match endpoint {
                Endpoint::List => "list",
                Endpoint::Get => "get",
            };
            Line { tenant: Some(tenant.as_str()), endpoint: Some(endpoint), ..of("quota") }
        }
        Key::Quarantine(tenant) => Line { tenant: Some(tenant.as_str()), ..of("quarantine") },
        Key::Seen(tenant, incident) => {
            Line { tenant: Some(tenant.as_str()), incident: Some(incident.as_str()), ..of("mark") }
        }
        Key::Event(seq) => Line { seq: Some(*seq), ..of("event") },
        Key::Chunk(seq, _) => Line { seq: Some(*seq), ..of("chunk") },
        Key::Progress(sink) => Line { sink: Some(sink.as_str()), ..of("progress") },
        Key::Refused(sink, seq) => Line { sink: Some(sink.as_str()), seq: Some(*seq), ..of("refused") },
    }
}
