//! What the receiver said of messages that do not count as delivered yet, and what that asks for. Knows no session.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::courier::{DeliverError, Refusal};
use crate::model::names::Seq;
use crate::sink::Outgoing;
use crate::sink::relp::frame::Answer;
use crate::sink::syslog::retry;

/// How often the message of an event may be rejected before it is for good.
const REJECTIONS_MAX: u32 = 3;

/// Which message this is: its position, and which part of its event; 0 where it is in one piece.
type Key = (Seq, usize);

fn key(outgoing: &Outgoing) -> Key {
    (outgoing.seq, outgoing.event.for_sink.part.as_ref().map_or(0, |part| part.number))
}

/// What the receiver said of messages that do not count as delivered yet, because one before them is not.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    taken: BTreeSet<Key>,
    /// How often, and the last words.
    rejected: BTreeMap<Key, (u32, String)>,
}

impl Verdicts {
    /// What lies before is done with: it counts as delivered, or was refused.
    pub(super) fn forget_before(&mut self, first: Seq) {
        self.taken = self.taken.split_off(&(first, 0));
        self.rejected = self.rejected.split_off(&(first, 0));
    }

    /// Whether the receiver has this message.
    pub(super) fn has(&self, outgoing: &Outgoing) -> bool {
        self.taken.contains(&key(outgoing))
    }

    pub(super) fn note(&mut self, outgoing: &Outgoing, answer: &Answer) {
        let key = key(outgoing);
        if answer.is_ok() {
            self.rejected.remove(&key);
            self.taken.insert(key);
        } else {
            let (count, words) = self.rejected.entry(key).or_default();
            *count += 1;
            *words = answer.to_string();
        }
    }

    /// The last event up to which the receiver has everything of these.
    pub(super) fn reached(&self, events: &[Outgoing]) -> Option<Seq> {
        let at_the_receiver = events.iter().take_while(|event| self.has(event));
        at_the_receiver.filter(|event| event.is_last()).last().map(Outgoing::reaches)
    }

    /// Every message was answered, and the first event does not count: what that asks for.
    pub(super) fn of_rejected(&self, events: &[Outgoing]) -> DeliverError {
        let mut refusals: Vec<Refusal> = Vec::new();
        for event in events {
            let Some((count, words)) = self.rejected.get(&key(event)) else { continue };
            // An event is refused once, however many of its parts are.
            if REJECTIONS_MAX <= *count && refusals.last().is_none_or(|last| last.seq != event.seq) {
                let why = format!("the receiver rejected it {count} times, at last with {words:?}");
                refusals.push(Refusal { seq: event.seq, why });
            }
        }
        match self.rejected.values().next() {
            Some(_) if !refusals.is_empty() => DeliverError::Refused(refusals),
            Some((_, words)) => retry(format!("the receiver rejects a message: {words}")),
            None => retry("the receiver is slow; what it has of an event in many parts is not sent again".into()),
        }
    }
}
