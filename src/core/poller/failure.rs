//! What follows from a call that failed, or from an answer that lacks rows: how long its reader waits, and what the other one does
//! about it.

use std::time::Duration;

use crate::core::poller::{Poller, Reader};
use crate::core::quota::Quota;
use crate::model::moment::Moment;
use crate::model::page::{FetchError, Page};

/// First and longest pause after a failure that may pass by itself.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// First and longest pause where somebody has to do something first.
pub(super) const REFUSED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// After so many failures of the tail a sweep has a look at once.
const TAIL_FAILURES_MAX: u32 = 3;
/// What a 429 without any hint is taken for: one window of the minute's quota.
const THROTTLED: Duration = Duration::from_secs(60);
/// No hint of a server keeps us away for longer.
const THROTTLED_MAX: Duration = Duration::from_secs(3600);

impl Poller {
    /// An answer that says itself that rows are missing: those that came are taken, and for the rest it is a failure.
    pub(super) fn read_in_part(&mut self, reader: Reader, page: Page, why: &str, now: Moment) {
        self.health.failed(reader, FetchError::Unavailable { after: None, why: why.to_owned() }, now);
        if self.position.is_none() {
            return self.begin(now);
        }
        self.completeness.listed(&page);
        match reader {
            Reader::Tail => {
                // It concludes nothing from what is missing, and what is not is as fresh as ever.
                self.hand(reader).retry.reset();
                self.tail_read(page, now);
                self.tail_fails(now);
            }
            Reader::Sweep => {
                let wants_rows = self.completeness.wants_rows();
                let others = self.health.reader(Reader::Tail).answered_at;
                let at_once = self.completeness.read_in_part(&page, why, others, now);
                let pause = self.hand(reader).retry.pause();
                self.sweep_fails(at_once, pause, now);
                if wants_rows {
                    self.commit_of_sweep(page);
                }
            }
        }
    }

    pub(super) fn failed(&mut self, reader: Reader, error: &FetchError, now: Moment, quota: &mut Quota) {
        self.health.failed(reader, error.clone(), now);
        let shrunk = reader == Reader::Tail && self.tail.failed(error);
        let interval = self.interval();
        let hand = self.hand(reader);
        let pause = match error {
            // The list may be asked, which shows when the other quota has calls again: that costs a call a minute.
            FetchError::Throttled { of_one: true, .. } => hand.retry.pause(),
            FetchError::Throttled { after, of_one: false, .. } => {
                let pause = after.unwrap_or(THROTTLED).min(THROTTLED_MAX).max(hand.retry.pause());
                quota.block_until(now + pause);
                pause
            }
            FetchError::Unavailable { after, .. } => {
                hand.retry.pause().max(after.unwrap_or_default().min(THROTTLED_MAX))
            }
            FetchError::Garbled { .. } => hand.retry.pause(),
            // The token was thrown away: once, at once. Twice in a row it is not the token.
            FetchError::Unauthorized { .. } if !std::mem::replace(&mut hand.token_retried, true) => Duration::ZERO,
            FetchError::Unauthorized { .. } | FetchError::Refused { .. } => hand.refused.pause(),
            FetchError::Rejected { .. } | FetchError::NotFound => hand.refused.pause(),
            FetchError::TooLarge { .. } if shrunk => interval,
            FetchError::TooLarge { .. } => hand.refused.pause(),
        };
        match reader {
            Reader::Tail => {
                self.tail.due_at(now + pause);
                self.tail_fails(now);
            }
            Reader::Sweep => {
                let others = self.health.reader(Reader::Tail).answered_at;
                let at_once = self.completeness.failed(error, others, now);
                self.sweep_fails(at_once, pause, now);
            }
        }
    }

    /// What the tail cannot read is for the sweep to find and to go around.
    fn tail_fails(&mut self, now: Moment) {
        if self.health.reader(Reader::Tail).failures == TAIL_FAILURES_MAX
            && self.health.reader(Reader::Sweep).failures == 0
        {
            self.completeness.sweeps.hurry(now);
        }
    }

    fn sweep_fails(&mut self, at_once: bool, pause: Duration, now: Moment) {
        if at_once && !self.completeness.is_probing() {
            // The page is at fault and the source is not.
            self.hand(Reader::Sweep).retry.reset();
        }
        if at_once {
            // Another way is tried: that is no failure yet.
            self.health.has_another_way(Reader::Sweep);
        }
        self.completeness.due_at(if at_once { now } else { now + pause });
    }
}
