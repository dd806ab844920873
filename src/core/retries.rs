//! What is in quarantine, tried again on its own, for ever: one window at a time, every few minutes.

use std::time::Duration;

use crate::core::poller::Settings;
use crate::core::quarantine::{Quarantine, Quarantined};
use crate::core::reading::{Reading, Refusals, Step};
use crate::model::incident::Row;
use crate::model::moment::Moment;
use crate::model::page::FetchError;
use crate::model::timestamp::Timestamp;

/// Between two tries, unless audits are more frequent.
const EVERY: Duration = Duration::from_secs(600);

/// The tries of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Retries {
    due: Moment,
    /// The window that was tried last.
    last: Timestamp,
    run: Option<(Quarantined, Reading)>,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It can be read again: it leaves the quarantine.
    Healed(Quarantine),
    /// It cannot.
    Same,
}

impl Retries {
    pub(crate) fn new(now: Moment) -> Self {
        Self { due: now, last: Timestamp::default(), run: None }
    }

    /// When the next try is due; none while nothing is in quarantine.
    pub(crate) fn due(&self, quarantine: &Quarantine) -> Option<Moment> {
        (!quarantine.is_empty()).then_some(self.due)
    }

    /// Nothing more before then.
    pub(crate) const fn due_at(&mut self, due: Moment) {
        self.due = due;
    }

    /// The try that is under way, or the next one.
    pub(crate) fn reading(&mut self, quarantine: &Quarantine, top: u32, refusals: Refusals) -> Option<&Reading> {
        if self.run.is_none() {
            let windows = quarantine.windows();
            let next = windows.iter().find(|window| self.last < window.from).or(windows.first())?;
            self.last = next.from;
            self.run = Some((next.clone(), Reading::new(&[next.window()], top, refusals, next.since)));
        }
        self.run.as_ref().map(|(_, reading)| reading)
    }

    pub(crate) fn read(&mut self, rows: &[Row], now: Moment) {
        if let Some((_, reading)) = &mut self.run {
            reading.read(rows, now);
        }
    }

    /// The call failed: a page is cut down as far as it goes, so that what can be read of the second is.
    pub(crate) fn failed(&mut self, error: &FetchError, others: Option<Moment>, now: Moment) -> bool {
        self.run.as_mut().is_some_and(|(_, reading)| reading.failed(error, others, now))
    }

    /// Ends the try if it has come to its end.
    pub(crate) fn finish(&mut self, quarantine: &Quarantine, settings: &Settings, now: Moment) -> Option<Outcome> {
        let (window, reading) = self.run.as_ref()?;
        let outcome = match reading.step() {
            Step::Read(_) => return None,
            Step::Quarantine(_) | Step::Broken(_) => Outcome::Same,
            Step::Complete => Outcome::Healed(quarantine.without(window.from, window.to)),
        };
        self.run = None;
        self.due = now + EVERY.min(settings.audit.every);
        Some(outcome)
    }
}
