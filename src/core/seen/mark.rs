//! What is remembered of an incident, and what a row says beside what was told before. Whether that makes an event is not for here.

use serde::{Deserialize, Serialize};

use crate::core::planted::{self, Mistake};
use crate::model::dialect::Dialect;
use crate::model::digest::Digest;
use crate::model::hash::ContentHash;
use crate::model::incident::{Extent, Fields, Header, Row};
use crate::model::moment::Moment;
use crate::model::timestamp::Timestamp;

/// Hashes remembered per incident at one time; the oldest gives way.
pub const HASHES_MAX: usize = 8;

/// What is remembered of one incident.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// The greatest `lastUpdateTime` seen.
    pub time: Timestamp,
    /// The contents seen at that time, newest last, [`HASHES_MAX`] at most.
    pub hashes: Vec<ContentHash>,
    /// The contents seen in rows without a usable time or ahead of theirs, newest last, [`HASHES_MAX`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub odd_hashes: Vec<ContentHash>,
    /// What was told of those of them that had a time, which lay ahead of theirs: each time once, newest last, [`HASHES_MAX`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Telling>,
    /// The dialect of the contents at that time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dialect: Dialect,
    /// How much of the revision at that time was told. All, where a program wrote this that did not look at that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extent: Extent,
    /// What `changes` compares.
    pub fields: Fields,
    /// And of its lists; none where a program wrote this that did not look at them, or where there was only a stub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// When this was last written, on our own clock: `remember` counts from here.
    pub written: Moment,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How much of its incident a row tells.
pub(super) fn extent(row: &Row) -> Extent {
    if planted::is(Mistake::PartIsWhole) { Extent::Whole } else { row.extent() }
}

/// What was told of one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Its `lastUpdateTime`.
    pub time: Timestamp,
    /// Who told of it last.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dialect: Dialect,
    /// How much.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extent: Extent,
}

/// What a row is beside what was told at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retold {
    /// Less than was told.
    Less,
    /// The same, in the words of the other API.
    Translated,
}

impl Mark {
    /// What was told at [`time`](Self::time); none where only odd contents are known.
    pub(super) fn telling(&self) -> Option<Telling> {
        let Self { time, dialect, extent, .. } = *self;
        (!self.hashes.is_empty()).then_some(Telling { time, dialect, extent })
    }

    /// What was told of a row when it was ahead of its time.
    pub(super) fn told_ahead(&self, header: &Header) -> Option<Telling> {
        self.ahead.iter().find(|told| told.time == header.last_update).copied()
    }

    /// Adds the content of an odd row, and what it told where it has a time.
    pub(super) fn add_odd(&mut self, row: &Row, ahead: Option<&Header>) {
        if !self.odd_hashes.contains(&row.hash) {
            push(&mut self.odd_hashes, row.hash);
        }
        if let Some(header) = ahead {
            let (time, dialect, extent) = (header.last_update, header.dialect, extent(row));
            self.ahead.retain(|told| told.time != time);
            push(&mut self.ahead, Telling { time, dialect, extent });
        }
    }
}

impl Telling {
    /// Whether this was told as a part, and a row of the same content shows that it was all.
    pub(super) fn is_all_of_it(&self, row: &Row) -> bool {
        self.extent == Extent::Part && extent(row) == Extent::Whole
    }

    /// What a row is beside this; none where it is of another time, where it tells more, and where contents have to be compared.
    pub(super) fn retold(&self, row: &Row, header: &Header) -> Option<Retold> {
        let Self { time, dialect, extent: told } = *self;
        if header.last_update != time {
            return None;
        }
        let says = extent(row);
        // What is missing in a part was told, and nobody took it away.
        if says == Extent::Part && says < told {
            return Some(Retold::Less);
        }
        let is_other = dialect != header.dialect && !planted::is(Mistake::OtherDialectIsNew);
        match told {
            _ if !is_other || told < says => None,
            // The whole is still to come: its place is kept.
            Extent::Part => Some(Retold::Less),
            Extent::Stub | Extent::Whole => Some(Retold::Translated),
        }
    }
}

/// Adds one to what is remembered; the oldest gives way.
pub(super) fn push<T>(list: &mut Vec<T>, one: T) {
    if list.len() == HASHES_MAX {
        list.remove(0);
    }
    list.push(one);
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    const TIME: &str = "2026-01-01T00:00:00Z";

    fn row(dialect: Dialect, extent: Extent) -> Row {
        let json = match dialect {
            Dialect::Defender => format!(r#"{{"incidentId":7,"lastUpdateTime":"{TIME}"}}"#),
            Dialect::Graph => format!(r#"{{"id":"7","lastUpdateDateTime":"{TIME}"}}"#),
        };
        let row = Row::new(RawValue::from_string(json).expect("JSON"));
        Row { truncated: extent == Extent::Stub, part: extent == Extent::Part, ..row }
    }

    #[test]
    fn a_row_of_a_known_time_is_held_against_how_much_was_told() {
        use Extent::{Part, Stub, Whole};
        let check = |told: Extent, says: Extent, of_the_same: Option<Retold>, of_the_other: Option<Retold>| {
            let telling = Telling { time: TIME.parse().expect("a time"), dialect: Dialect::Graph, extent: told };
            let retold = |dialect: Dialect| {
                let row = row(dialect, says);
                telling.retold(&row, row.head.usual().expect("usual"))
            };
            let found = [Dialect::Graph, Dialect::Defender].map(retold);
            assert_eq!(found, [of_the_same, of_the_other], "{told:?} was told, {says:?} comes");
            let earlier = Telling { time: Timestamp::default(), ..telling };
            let row = row(Dialect::Defender, says);
            assert_eq!(earlier.retold(&row, row.head.usual().expect("usual")), None);
        };
        let (less, translated) = (Some(Retold::Less), Some(Retold::Translated));
        check(Whole, Whole, None, translated);
        check(Whole, Part, less, less);
        check(Whole, Stub, None, translated);
        check(Part, Whole, None, None);
        check(Part, Part, None, less);
        check(Part, Stub, None, less);
        check(Stub, Whole, None, None);
        check(Stub, Part, None, None);
        check(Stub, Stub, None, translated);
    }

    #[test]
    fn a_mark_of_a_version_before_opens_and_one_of_all_reads_the_same_there() {
        let json = r#"{"time":7,"hashes":[1],"dialect":"graph","fields":{},"written":9}"#;
        let mark: Mark = serde_json::from_str(json).expect("an old one");
        assert_eq!(mark.extent, Extent::Whole);
        assert_eq!(serde_json::to_string(&mark).expect("JSON"), json);
        let telling = |dialect, extent| Telling { time: Timestamp::from_ticks(8), dialect, extent };
        let ahead = vec![telling(Dialect::Defender, Extent::Whole), telling(Dialect::Graph, Extent::Stub)];
        let part = Mark { extent: Extent::Part, ahead, ..mark };
        let json = serde_json::to_string(&part).expect("JSON");
        assert!(json.contains(r#""ahead":[{"time":8},{"time":8,"dialect":"graph","extent":"stub"}]"#), "{json}");
        assert!(json.contains(r#""extent":"part""#), "{json}");
        assert_eq!(serde_json::from_str::<Mark>(&json).expect("our own"), part);
    }
}
