//! What a world is about, so that rare things come together, and what that does to its plan.

use std::time::Duration;

use crate::core::settings::Start;
use crate::dice::Dice;
use crate::fault::Fault;
use crate::plan::{Plan, SECOND};

/// What a world is about, so that rare things come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// Anything.
    Mixture,
    /// Nothing but the overlap protects: very late rows on a quiet source.
    Late,
    /// A long way back while everything moves.
    CatchUp,
    /// Incidents that cannot be read.
    Poison,
    /// A sink that is away, kills, lost databases.
    Loss,
    /// Pages that lie, caps, refusals of what we would like to ask.
    Pages,
    /// The same on a source that lies to a whole sweep, and no long way back: two sweeps must agree.
    Liar,
    /// What only an audit finds.
    Audit,
    /// Failing calls, as many as may be.
    Calls,
    /// All that the quota gives, for hours.
    Hunger,
}

impl Plan {
    /// What a world is about comes first.
    pub(crate) fn focus_on(&mut self, dice: &mut Dice) {
        let (on, off): (&[Fault], &[Fault]) = match self.focus {
            Focus::Mixture => (&[], &[]),
            Focus::Hunger => (
                &[Fault::Kill],
                &[
                    Fault::Outage,
                    Fault::Suspend,
                    Fault::Downtime,
                    Fault::Throttled,
                    Fault::ThrottledHint,
                    Fault::Forbidden,
                ],
            ),
            Focus::Late => (
                &[Fault::LateRow],
                &[Fault::Outage, Fault::Suspend, Fault::BulkEdit, Fault::BulkCreate, Fault::Downtime, Fault::NoDate],
            ),
            Focus::CatchUp => (&[Fault::Downtime, Fault::Kill, Fault::Vanish, Fault::BulkEdit], &[]),
            Focus::Poison => (&[Fault::Poison], &[Fault::TooLarge]),
            Focus::Loss => (
                &[Fault::Kill, Fault::LostSuffix, Fault::LostDatabase, Fault::SinkDown],
                &[Fault::Poison, Fault::PoisonForever, Fault::PageCap],
            ),
            Focus::Pages => (&[Fault::Vanish, Fault::ShortLie, Fault::EmptyLie], &[]),
            Focus::Liar => (
                &[Fault::ShortLie, Fault::EmptyLie],
                &[
                    Fault::PageCap,
                    Fault::TopIgnored,
                    Fault::Downtime,
                    Fault::Outage,
                    Fault::Suspend,
                    Fault::LostDatabase,
                    Fault::Poison,
                    Fault::PoisonForever,
                ],
            ),
            Focus::Audit => (&[Fault::QuietEdit, Fault::TooLateRow], &[]),
            Focus::Calls => (
                &[Fault::ServerError, Fault::Timeout, Fault::CutBody, Fault::Garbled, Fault::Throttled, Fault::Kill],
                &[],
            ),
        };
        self.faults = on.iter().fold(self.faults, |faults, &fault| faults.with(fault));
        self.faults = off.iter().fold(self.faults, |faults, &fault| faults.without(fault));
        match self.focus {
            Focus::Mixture | Focus::Pages => {}
            Focus::Liar => {
                self.settings.start = Start::Now;
                self.source.lying = 250;
                self.source.incidents = 20;
                self.faulty = 4000 * SECOND;
            }
            Focus::Late => {
                self.source.late = 500;
                self.source.pace = 30 * SECOND;
                self.source.incidents = 5;
                self.settings.sweep_every = Duration::from_secs(10);
                self.settings.overlap = Duration::from_secs(180);
                self.faulty = 4000 * SECOND;
            }
            Focus::CatchUp => {
                self.source.incidents = 250;
                self.source.history = dice.pick(&[1, 4, 20]) * 86_400 * SECOND;
                self.source.pace = dice.pick(&[2, 5]) * SECOND;
                self.settings.page_size = dice.pick(&[6, 10, 25]);
                self.settings.start = Start::Back(Duration::from_nanos(self.source.history));
                self.faulty = 9000 * SECOND;
            }
            Focus::Hunger => {
                self.source.incidents = 280;
                self.source.incidents_max = 300;
                self.source.history = 20 * 86_400 * SECOND;
                self.source.pace = 4 * SECOND;
                self.settings.interval = None;
                self.settings.page_size = 6;
                self.settings.start = Start::Back(Duration::from_nanos(self.source.history));
                self.faulty = 8000 * SECOND;
            }
            Focus::Poison => self.source.pace = dice.pick(&[5, 20]) * SECOND,
            Focus::Loss => {
                self.kills = 8;
                self.source.pace = 20 * SECOND;
                self.faulty = 6000 * SECOND;
            }
            Focus::Audit => {
                // With the minimum alone an audit takes hours, as it may.
                self.settings.interval = self.settings.interval.or(Some(Duration::from_secs(5)));
                self.faulty = 4000 * SECOND;
                self.source.pace = dice.pick(&[5, 20]) * SECOND;
            }
            Focus::Calls => {
                self.source.failing = dice.pick(&[50, 150]);
                self.source.pace = 10 * SECOND;
            }
        }
    }
}
