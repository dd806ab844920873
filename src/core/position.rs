//! How far a tenant has been read, and the only ways on from there: after a complete sweep, and after a complete window. Never back,
//! and never by our own clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::planted::{self, Mistake};
use crate::model::timestamp::Timestamp;

/// How far a tenant has been read. Durable; on the source's clock throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Every revision that is current and older than this has been taken.
    pub cursor: Timestamp,
    /// Where reading began at the first run: no query asks for anything older.
    pub floor: Timestamp,
    /// The server's time at the start of the last complete sweep: what the next one may move the cursor to, less the
    /// overlap.
    pub swept: Option<Timestamp>,
    /// Up to when what the tail and the sweeps read has been looked at again.
    #[serde(default)]
    pub audited: Audited,
}

/// The source's time at the start of the last complete audit, near and deep; none where there was none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Audited {
    /// Of `audit_window`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Timestamp>,
    /// Of `deep_audit_window`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep: Option<Timestamp>,
}

impl Position {
    /// Where reading begins.
    pub const fn start(at: Timestamp) -> Self {
        Self { cursor: at, floor: at, swept: None, audited: Audited { near: None, deep: None } }
    }

    /// The position after a complete sweep that began at server time `started`.
    ///
    /// The cursor moves on agreement only: to what the sweep before allowed, and only where this one found no unseen (id,
    /// time) below that. Never to anything this sweep itself reckons with.
    #[must_use]
    pub fn after_sweep(self, started: Option<Timestamp>, oldest_unseen: Option<Timestamp>, overlap: Duration) -> Self {
        let overlap = match () {
            () if planted::is(Mistake::NoOverlap) => Duration::ZERO,
            () if planted::is(Mistake::HalfOverlap) => overlap / 2,
            () => overlap,
        };
        let one_is_enough = planted::is(Mistake::OneSweepMovesCursor);
        let reckoned_from = if one_is_enough { started } else { self.swept };
        let allowed = reckoned_from.map(|time| time.earlier(overlap).floor_to_second());
        let agreed = allowed.filter(|&allowed| one_is_enough || oldest_unseen.is_none_or(|unseen| allowed <= unseen));
        Self { cursor: self.cursor.max(agreed.unwrap_or_default()), swept: started.or(self.swept), ..self }
    }

    /// The position after a complete reading of a window that lies wholly before the overlap: it is settled.
    #[must_use]
    pub fn after_window(self, end: Timestamp) -> Self {
        Self { cursor: self.cursor.max(end), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAP: Duration = Duration::from_secs(1800);

    fn time(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_cursor_moves_to_what_the_sweep_before_allowed_and_no_further() {
        let first = Position::start(time(10_000)).after_sweep(Some(time(20_000)), None, OVERLAP);
        assert_eq!((first.cursor, first.swept), (time(10_000), Some(time(20_000))), "one sweep alone moves nothing");
        let second = first.after_sweep(Some(time(20_060)), None, OVERLAP);
        assert_eq!((second.cursor, second.swept), (time(18_200), Some(time(20_060))));
    }

    #[test]
    fn an_unseen_row_below_what_was_allowed_keeps_the_cursor() {
        let before = Position { swept: Some(time(20_000)), ..Position::start(time(10_000)) };
        assert_eq!(before.after_sweep(Some(time(20_060)), Some(time(18_199)), OVERLAP).cursor, time(10_000));
        assert_eq!(before.after_sweep(Some(time(20_060)), Some(time(18_200)), OVERLAP).cursor, time(18_200));
    }

    #[test]
    fn a_clock_that_is_not_trusted_leaves_the_mark_of_the_last_sweep() {
        let before = Position { swept: Some(time(20_000)), ..Position::start(time(10_000)) };
        let after = before.after_sweep(None, None, OVERLAP);
        assert_eq!((after.cursor, after.swept), (time(18_200), Some(time(20_000))));
    }

    #[test]
    fn the_cursor_never_moves_back() {
        let before = Position { swept: Some(time(9_000)), ..Position::start(time(10_000)) };
        assert_eq!(before.after_sweep(Some(time(9_060)), None, OVERLAP).cursor, time(10_000));
        assert_eq!(before.after_window(time(500)).cursor, time(10_000));
    }
}
