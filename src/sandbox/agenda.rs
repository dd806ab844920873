//! When the next thing happens by itself. Decides nothing about what it happens to.

use std::time::Duration;

use rand::RngExt;

use crate::model::timestamp::Timestamp;
use crate::sandbox::knobs::Pace;
use crate::sandbox::names::Dice;

/// What can happen by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A new incident.
    Create,
    /// A change.
    Update,
    /// One is resolved.
    Resolve,
    /// A resolved one is active again.
    Reopen,
    /// One is merged into another.
    Merge,
    /// An alert changes and `lastUpdateTime` does not.
    EditAlertOnly,
    /// One is gone.
    Vanish,
}

/// The next time of each act.
#[derive(Debug)]
pub struct Agenda(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    act: Act,
    mean: Duration,
    next: Timestamp,
}

impl Agenda {
    /// Life begins at `start`.
    pub fn new(pace: Pace, start: Timestamp, dice: &mut Dice) -> Self {
        let means = [
            (Act::Create, pace.create),
            (Act::Update, pace.update),
            (Act::Resolve, pace.resolve),
            (Act::Reopen, pace.reopen),
            (Act::Merge, pace.merge),
            (Act::EditAlertOnly, pace.edit_alert_only),
            (Act::Vanish, pace.vanish),
        ];
        let entries = means.into_iter().filter(|(_, mean)| !mean.is_zero());
        Self(entries.map(|(act, mean)| Entry { act, mean, next: start.later(gap(mean, dice)) }).collect())
    }

    /// The earliest act that is due by `to`, and its time. It is put down again for later.
    pub fn next_due(&mut self, to: Timestamp, dice: &mut Dice) -> Option<(Act, Timestamp)> {
        let entry = self.0.iter_mut().min_by_key(|entry| entry.next).filter(|entry| entry.next <= to)?;
        let due = entry.next;
        entry.next = due.later(gap(entry.mean, dice));
        Some((entry.act, due))
    }

    /// Nothing happens up to `to`.
    pub fn skip_to(&mut self, to: Timestamp, dice: &mut Dice) {
        for entry in &mut self.0 {
            entry.next = entry.next.max(to.later(gap(entry.mean, dice)));
        }
    }
}

/// From half to one and a half times the mean.
fn gap(mean: Duration, dice: &mut Dice) -> Duration {
    let nanos = u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX / 4).clamp(1_000, u64::MAX / 4);
    Duration::from_nanos(dice.random_range(nanos / 2..nanos + nanos / 2))
}
