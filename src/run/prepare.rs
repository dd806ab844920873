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
    /// Adds an event in as many records as the sink wants of it.
    pub(crate) fn add(&mut self, seq: Seq, event: Event, config: &Sink, numbering: &mut Numbering) {
        let mut event = match &config.filter {
            None => event,
            Some(filter) => match filter.pass(event) {
                Some(event) => event,
                None => return,
            },
        };
        event.for_sink.sequence = config.filter.as_ref().map(|_| numbering.number(seq));
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
