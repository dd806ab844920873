//! Events by requests: as many in one as the settings allow, in their order. Leaves none out.

use crate::core::courier::{DeliverError, Refusal};
use crate::sink::Outgoing;
use crate::sink::splunk_hec::Config;
use crate::sink::splunk_hec::envelope;

/// One request to come.
pub(super) struct Batch<'a> {
    pub(super) events: &'a [Outgoing],
    /// The envelopes of these events, one after the other.
    pub(super) body: Vec<u8>,
}

/// The requests that these events make, each within `batch_events` and `batch_size`, or with one larger event.
///
/// # Errors
/// Those events that no request can carry, before anything is sent.
pub(super) fn batches<'a>(events: &'a [Outgoing], config: &Config) -> Result<Vec<Batch<'a>>, DeliverError> {
    let (events_max, size_max) = (config.batch_events as usize, config.batch_size.0);
    let mut batches = Vec::new();
    let mut refusals: Vec<Refusal> = Vec::new();
    let (mut first, mut body) = (0, Vec::new());
    for (at, outgoing) in events.iter().enumerate() {
        let before = body.len();
        // An event is refused once, however many of its parts are wrong.
        let is_new = refusals.last().is_none_or(|last| last.seq != outgoing.seq);
        if let (Err(why), true) = (envelope::append(&mut body, outgoing, config.labels()), is_new) {
            refusals.push(Refusal { seq: outgoing.seq, why });
        }
        let is_over = events_max < at + 1 - first || size_max < body.len() as u64;
        if is_over && first < at {
            let next = body.split_off(before);
            batches.push(Batch { events: &events[first..at], body: std::mem::replace(&mut body, next) });
            first = at;
        }
    }
    if first < events.len() {
        batches.push(Batch { events: &events[first..], body });
    }
    if refusals.is_empty() { Ok(batches) } else { Err(DeliverError::Refused(refusals)) }
}
