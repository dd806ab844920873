//! How far an event has got that goes in several requests because it is split: a call that ends in its middle is gone on with
//! where it ended, and not from the first part again for ever.

use crate::model::names::Seq;
use crate::sink::Outgoing;

/// The parts of one event that the far side has, while it lacks others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::sink) struct Partly {
    event: Option<(Seq, usize)>,
}

impl Partly {
    /// These records without those that the far side has.
    pub(in crate::sink) fn rest<'a>(&self, events: &'a [Outgoing]) -> &'a [Outgoing] {
        match (self.event, events.first()) {
            (Some((seq, taken)), Some(first)) if first.seq == seq => &events[taken.min(events.len())..],
            (Some(_) | None, _) => events,
        }
    }

    /// The far side has these, which are the beginning of what [`rest`](Self::rest) gave.
    pub(in crate::sink) fn taken(&mut self, batch: &[Outgoing]) {
        let Some(last) = batch.last() else { return };
        let here = batch.iter().rev().take_while(|outgoing| outgoing.seq == last.seq).count();
        let before = self.event.filter(|(seq, _)| *seq == last.seq).map_or(0, |(_, taken)| taken);
        self.event = (!last.is_last()).then_some((last.seq, before + here));
    }
}

/// The position that this batch reaches beyond what was confirmed before it: none while its first event lacks parts.
pub(in crate::sink) fn reached(events: &[Outgoing], batch: &[Outgoing]) -> Option<Seq> {
    let (first, last) = (events.first()?, batch.last()?);
    Some(last.reaches()).filter(|reached| first.seq <= *reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::{ForSink, Part};
    use crate::model::event::Event;
    use crate::model::names::EventId;

    fn part(seq: u64, number: usize, of: usize) -> Outgoing {
        let part = Some(Part { number, of, alert: None, entity: None });
        let event_id = EventId::new(format!("contoso/{seq}/1/2#{number}"));
        let for_sink = ForSink { part, ..ForSink::default() };
        let event = Event { event_id, sequence: seq, for_sink, ..Event::example("null") };
        Outgoing { seq: Seq(seq), event, body: Vec::new() }
    }

    fn parts(seq: u64, of: usize) -> Vec<Outgoing> {
        (1..=of).map(|number| part(seq, number, of)).collect()
    }

    #[test]
    fn an_event_is_gone_on_with_where_it_ended() {
        let events = [parts(7, 2), parts(8, 5), parts(9, 1)].concat();
        let mut partly = Partly::default();
        partly.taken(&events[..3]);
        assert_eq!(reached(&events, &events[..3]), Some(Seq(7)));
        // The courier comes again with what is not confirmed.
        let later = &events[2..];
        assert_eq!(partly.rest(later).len(), 5);
        partly.taken(&partly.rest(later)[..2]);
        assert_eq!(reached(later, &partly.rest(later)[..1]), None, "the event still lacks parts");
        assert_eq!(partly.rest(later).len(), 3);
        partly.taken(&partly.rest(later)[..2]);
        assert_eq!(partly, Partly::default(), "whole");
        assert_eq!(partly.rest(&events[7..]).len(), 1);
        assert_eq!(partly.rest(&events).len(), 8, "another event is not shortened");
    }
}
