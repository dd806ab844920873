//! Windows that cannot be read: passes go around them and complete, and they are tried again on their own for ever. Knows
//! their bounds, and nothing of how they are read.

use serde::{Deserialize, Serialize};

use crate::model::names::IncidentId;
use crate::model::page::Window;
use crate::model::timestamp::Timestamp;

/// Windows in quarantine at most, per tenant. Where there are more, something else is wrong, and passes fail instead.
pub const WINDOWS_MAX: usize = 24;
/// Bytes of a cause that are kept.
const WHY_MAX: usize = 120;

/// One window that cannot be read, whole seconds wide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The lower bound, included.
    pub from: Timestamp,
    /// The upper bound, excluded.
    pub to: Timestamp,
    /// The source's time when it was found.
    pub since: Timestamp,
    /// The last failure, cut to a line.
    pub why: String,
    /// The incident that was listed before the first row that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<IncidentId>,
    /// The incident that was listed behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<IncidentId>,
}

/// All of a tenant, oldest first; they never overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quarantine(Vec<Quarantined>);

impl Quarantined {
    /// The same, with its cause cut to what is kept.
    #[must_use]
    pub fn new(window: (Timestamp, Timestamp), since: Timestamp, why: &str) -> Self {
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let end = (0..=WHY_MAX.min(why.len())).rev().find(|&end| why.is_char_boundary(end)).unwrap_or_default();
        let (from, to) = window;
        Self { from, to, since, why: why[..end].to_owned(), before: None, after: None }
    }

    /// Its window.
    pub const fn window(&self) -> Window {
        Window { from: self.from, to: Some(self.to) }
    }
}

impl Quarantine {
    /// The windows, oldest first.
    pub fn windows(&self) -> &[Quarantined] {
        &self.0
    }

    /// Whether nothing is in quarantine.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a revision of this time is in it.
    pub fn holds(&self, time: Timestamp) -> bool {
        self.0.iter().any(|window| window.from <= time && time < window.to)
    }

    /// The same with one window more. None where it is full.
    #[must_use]
    pub fn with(&self, window: Quarantined) -> Option<Self> {
        let mut windows = self.without(window.from, window.to).0;
        if WINDOWS_MAX <= windows.len() {
            return None;
        }
        windows.push(window);
        windows.sort_by_key(|window| window.from);
        Some(Self(windows))
    }

    /// The same without the windows that lie within these bounds.
    #[must_use]
    pub fn without(&self, from: Timestamp, to: Timestamp) -> Self {
        Self(self.0.iter().filter(|window| window.from < from || to < window.to).cloned().collect())
    }

    /// What is left of a window when one goes around the quarantine, oldest first.
    pub fn around(&self, window: Window) -> Vec<Window> {
        let mut parts = Vec::new();
        let mut from = window.from;
        for hole in &self.0 {
            if hole.to <= from || window.to.is_some_and(|to| to <= hole.from) {
                continue;
            }
            if from < hole.from {
                parts.push(Window { from, to: Some(hole.from) });
            }
            from = hole.to;
        }
        if window.to.is_none_or(|to| from < to) {
            parts.push(Window { from, to: window.to });
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn quarantined(from: u64, to: u64) -> Quarantined {
        Quarantined::new((time(from), time(to)), time(99), "it fails")
    }

    fn quarantine(windows: &[(u64, u64)]) -> Quarantine {
        let add = |quarantine: Quarantine, &(from, to): &_| quarantine.with(quarantined(from, to)).expect("room");
        windows.iter().fold(Quarantine::default(), add)
    }

    #[test]
    fn a_pass_goes_around_what_is_in_quarantine_and_misses_nothing_else() {
        let check = |holes: &[(u64, u64)], window: (u64, Option<u64>), expected: &[(u64, Option<u64>)]| {
            let window = Window { from: time(window.0), to: window.1.map(time) };
            let parts = quarantine(holes).around(window);
            let expected: Vec<_> =
                expected.iter().map(|&(from, to)| Window { from: time(from), to: to.map(time) }).collect();
            assert_eq!(parts, expected, "{holes:?}");
        };
        check(&[], (10, None), &[(10, None)]);
        check(&[(20, 21)], (10, None), &[(10, Some(20)), (21, None)]);
        check(&[(30, 31), (20, 21)], (10, Some(30)), &[(10, Some(20)), (21, Some(30))]);
        check(&[(5, 12)], (10, Some(20)), &[(12, Some(20))]);
        check(&[(10, 20)], (10, Some(20)), &[]);
        check(&[(20, 21), (21, 22)], (10, Some(22)), &[(10, Some(20))]);
    }

    #[test]
    fn a_window_is_added_once_and_taken_away_with_what_it_holds() {
        let two = quarantine(&[(30, 31), (10, 11), (10, 11)]);
        assert_eq!(two.windows().len(), 2);
        assert!(two.holds(time(10)) && !two.holds(time(11)));
        assert_eq!(two.without(time(10), time(11)), quarantine(&[(30, 31)]));
        assert!(two.without(time(0), time(100)).is_empty());
    }

    #[test]
    fn it_is_bounded_in_windows_and_in_words() {
        let full = (0..WINDOWS_MAX as u64).fold(Quarantine::default(), |quarantine, at| {
            quarantine.with(quarantined(at * 10, at * 10 + 1)).expect("room")
        });
        assert_eq!(full.with(quarantined(5000, 5001)), None);
        assert!(full.with(quarantined(0, 1)).is_some(), "one that is there already");
        let long = Quarantined::new((time(1), time(2)), time(3), &"ö\n".repeat(500));
        assert!(long.why.len() <= WHY_MAX && !long.why.contains('\n'));
    }
}
