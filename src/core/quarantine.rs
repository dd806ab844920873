//! Windows that cannot be read: passes go around them and complete, and they are tried again on their own for ever. Knows
//! their bounds, and nothing of how they are read.

use serde::{Deserialize, Serialize};

use crate::core::cell::END_OF_TIME;
use crate::model::names::IncidentId;
use crate::model::page::Window;
use crate::model::timestamp::Timestamp;

/// Windows in quarantine at most, per tenant. Where there are more, something else is wrong, and passes fail instead.
pub const WINDOWS_MAX: usize = 16;
/// Bytes of a cause that are kept, and of an id. All windows of a tenant have to fit into one value of the store.
const WHY_MAX: usize = 80;
const ID_MAX: usize = 40;

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
    /// The incident that was listed before the first row that cannot be read, its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The incident that was listed behind it, its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// All of a tenant, oldest first; they never overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quarantine(Vec<Quarantined>);

impl Quarantined {
    /// The same, with its cause cut to what is kept.
    #[must_use]
    pub fn new(window: (Timestamp, Timestamp), since: Timestamp, why: &str) -> Self {
        let (from, to) = window;
        Self { from, to, since, why: plain(why, WHY_MAX), before: None, after: None }
    }

    /// The same, with the incidents that are listed next to what cannot be read.
    #[must_use]
    pub fn between(self, before: Option<&IncidentId>, after: Option<&IncidentId>) -> Self {
        let beginning = |id: &IncidentId| plain(id.as_str(), ID_MAX);
        Self { before: before.map(beginning), after: after.map(beginning), ..self }
    }

    /// Its window.
    pub const fn window(&self) -> Window {
        // `const` knows no comparison of ours.
        let has_end = self.to.ticks() < END_OF_TIME.ticks();
        Window { from: self.from, to: if has_end { Some(self.to) } else { None } }
    }
}

/// The beginning of a text in characters that need no escape anywhere.
fn plain(text: &str, bytes_max: usize) -> String {
    let is_plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>');
    text.chars().map(|c| if is_plain(&c) { c } else { ' ' }).take(bytes_max).collect()
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
        let id = IncidentId::new("\"\u{1f600}".repeat(500));
        let worst = |at| {
            let window = Quarantined::new((time(at), time(at + 1)), END_OF_TIME, &"ö\n\"\\<".repeat(500));
            window.between(Some(&id), Some(&id))
        };
        let full = (0..WINDOWS_MAX as u64)
            .fold(Quarantine::default(), |quarantine, at| quarantine.with(worst(at * 10)).expect("room"));
        let encoded = serde_json::to_vec(&full).expect("JSON").len();
        assert!(encoded < 6000, "{encoded} bytes have to fit into one value");
    }
}
