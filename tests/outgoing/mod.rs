//! Events to hand to a sink. No test is in here.

use serde_json::value::RawValue;
use xdrelay::format::{Format, Style};
use xdrelay::model::event::{Event, Kind, Notes};
use xdrelay::model::names::{EventId, IncidentId, Seq, TenantName};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sink::Outgoing;

/// Event number `n`, with an incident of a bit more than `size` bytes.
pub(crate) fn outgoing(n: u64, size: usize) -> Outgoing {
    let incident = format!(r#"{{"incidentId":{n},"pad":"{}"}}"#, "é".repeat(size / 2));
    let event = Event {
        event_id: EventId::new(format!("contoso/{n}/15994036172900000/9f3c01ab")),
        kind: Kind::Updated,
        tenant: TenantName::new("contoso"),
        sequence: n,
        observed_at: Timestamp::from_seconds(1_795_000_000),
        changes: vec![],
        incident_id: IncidentId::new(n.to_string()),
        last_update: Some(Timestamp::from_ticks(15_994_036_172_900_000)),
        severity: Some("Low".into()),
        notes: Notes::default(),
        incident: RawValue::from_string(incident).expect("JSON"),
        for_sink: xdrelay::model::delivery::ForSink::default(),
    };
    let body = Style::of(Format::Json).render(&event);
    Outgoing { seq: Seq(n), event, body }
}

/// Events of these numbers, with incidents of a bit more than `size` bytes.
pub(crate) fn several(numbers: impl IntoIterator<Item = u64>, size: usize) -> Vec<Outgoing> {
    numbers.into_iter().map(|n| outgoing(n, size)).collect()
}
