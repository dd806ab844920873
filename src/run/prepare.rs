//! Events of the outbox as one sink gets them: filtered, numbered, split, written, and within its size.

use crate::config::sink::Sink;
use crate::core::courier::Refusal;
use crate::core::numbering::Numbering;
use crate::format::fit::fit;
use crate::format::split::split;
use crate::model::event::Event;
use crate::model::names::Seq;
use crate::sink::Outgoing;

/// What is to be handed over, and what has no form that this sink takes.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) unfit: Vec<Refusal>,
}

impl Prepared {
    /// Adds an event in as many records as the sink wants of it. One that it `has_refused` is left out and keeps its number, so that those
    /// behind it have the same ones after a restart.
    pub(crate) fn add(&mut self, seq: Seq, event: Event, has_refused: bool, config: &Sink, numbering: &mut Numbering) {
        let mut event = match &config.filter {
            None => event,
            Some(filter) => match filter.pass(event) {
                Some(event) => event,
                None => return,
            },
        };
        event.for_sink.sequence = config.filter.as_ref().map(|_| numbering.number(seq));
        if has_refused {
            return;
        }
        let parts = match config.split {
            None => vec![event],
            Some(by) => split(event, by),
        };
        let before = self.outgoing.len();
        for part in parts {
            match fit(part, &config.style, config.record_limit()) {
                Ok((event, body)) => self.outgoing.push(Outgoing { seq, event, body }),
                Err(error) => {
                    // An event is refused as a whole, so that a retry sends all of it.
                    self.outgoing.truncate(before);
                    self.unfit.push(Refusal { seq, why: error.to_string() });
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::filter::Filter;
    use crate::format::{Format, Style};
    use crate::model::names::{EventId, IncidentId};
    use crate::sink;

    fn event(seq: u64) -> Event {
        let (event_id, incident_id) = (EventId::new(format!("contoso/{seq}/1/2")), IncidentId::new(seq.to_string()));
        Event { event_id, sequence: seq, incident_id, ..Event::example("{}") }
    }

    #[test]
    fn a_refused_event_keeps_its_number_across_a_restart() {
        let config = Sink {
            kind: sink::Config::Stdout(serde_json::from_str("{}").expect("defaults")),
            style: Style::of(Format::Json),
            split: None,
            filter: Some(Filter::default()),
            max_event_size: None,
            tenants: None,
        };
        let numbers = |numbering: &mut Numbering, refused: Option<u64>| {
            let mut prepared = Prepared::default();
            (1..=4).for_each(|seq| prepared.add(Seq(seq), event(seq), refused == Some(seq), &config, numbering));
            prepared.outgoing.iter().map(|outgoing| outgoing.event.for_sink.sequence).collect::<Vec<_>>()
        };
        let mut running = Numbering::after(7);
        assert_eq!(numbers(&mut running, None), [Some(8), Some(9), Some(10), Some(11)]);
        let again = [Some(8), Some(10), Some(11)];
        assert_eq!(numbers(&mut running, Some(2)), again);
        assert_eq!(numbers(&mut Numbering::after(7), Some(2)), again, "after a restart");
    }
}
