//! The numbers that one sink's events carry where a filter keeps others away: without a gap, and the same ones when events are
//! sent again.

use std::collections::BTreeMap;

use crate::model::names::Seq;

/// Numbers given out behind what is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbering {
    /// The number of the last event that is acknowledged.
    base: u64,
    given: BTreeMap<Seq, u64>,
}

impl Numbering {
    /// Goes on behind this number, which is durable with the sink's progress.
    pub fn after(base: u64) -> Self {
        Self { base, given: BTreeMap::new() }
    }

    /// The number of an event. Events are numbered in the order of their positions; one that was numbered before keeps its number.
    pub fn number(&mut self, seq: Seq) -> u64 {
        if let Some(number) = self.given.get(&seq) {
            return *number;
        }
        let number = self.given.range(..seq).next_back().map_or(self.base, |(_, number)| *number) + 1;
        self.given.insert(seq, number);
        number
    }

    /// Everything up to here is acknowledged: the last number among it.
    pub fn acknowledged(&mut self, to: Seq) -> u64 {
        let waiting = self.given.split_off(&to.next());
        if let Some((_, number)) = self.given.last_key_value() {
            self.base = *number;
        }
        self.given = waiting;
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gap_and_do_not_change() {
        let mut numbering = Numbering::after(7);
        assert_eq!([3, 9, 12].map(|seq| numbering.number(Seq(seq))), [8, 9, 10]);
        assert_eq!(numbering.acknowledged(Seq(10)), 9);
        assert_eq!([12, 13].map(|seq| numbering.number(Seq(seq))), [10, 11], "sent again");
        assert_eq!(numbering.acknowledged(Seq(11)), 9, "nothing new");
        let mut later = Numbering::after(9);
        assert_eq!([12, 13].map(|seq| later.number(Seq(seq))), [10, 11], "after a restart");
        assert_eq!(numbering.acknowledged(Seq(20)), 11);
    }
}
