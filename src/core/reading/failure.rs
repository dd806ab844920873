//! What follows from a call that failed: whether the page is at fault or the source, what the server is found not to do, and how
//! what cannot be read is gone around. An outage concludes nothing.

use std::time::Duration;

use crate::core::pass::ROWS_MIN;
use crate::core::planted::{self, Mistake};
use crate::core::quarantine::Quarantined;
use crate::core::reading::pieces::{AGAIN_MAX, Piece};
use crate::core::reading::{Mode, Reading};
use crate::core::scan::Scan;
use crate::model::moment::Moment;
use crate::model::page::Alerts;

/// Failures of one query before it matters whether others work.
const FAILURES_MAX: u32 = 3;
/// The same once a page was found to fail for good: that its pieces fail too is no surprise.
const FAILURES_MAX_SUSPECTED: u32 = 2;
/// For so long an answer proves that the source works, once a page was found to fail for good.
const PROOF_LASTS: Duration = Duration::from_secs(30);
/// Refusals of one query before something is concluded from them: one may be a whim of something in between.
const REJECTIONS_MAX: u32 = 2;

impl Reading {
    pub(super) fn too_large(&mut self) -> bool {
        match &mut self.mode {
            Mode::Pages(pass) => {
                let shrunk = pass.shrink();
                if shrunk {
                    self.fitting = 0;
                    self.top = (self.top / 2).max(ROWS_MIN);
                }
                self.is_too_large |= !shrunk;
                shrunk || self.go_around()
            }
            Mode::Rows(_) => self.go_around(),
            Mode::Doubting => {
                // What is too large is there.
                self.mode = Mode::Complete;
                true
            }
            Mode::Probing { .. } | Mode::Unreadable(_) | Mode::Complete | Mode::Broken => false,
        }
    }

    /// An answer with 400: what is refused is told from what was asked, many rows to skip or the time of creation. Where it was
    /// neither, a probe tells whether bounds are refused or the page.
    pub(super) fn rejected(&mut self) -> bool {
        let skip = match &self.mode {
            Mode::Pages(pass) => pass.skip(),
            Mode::Rows(scan) => scan.query().skip,
            Mode::Probing { .. } | Mode::Doubting => 0,
            Mode::Unreadable(_) | Mode::Complete | Mode::Broken => return false,
        };
        self.rejections += 1;
        if self.rejections < REJECTIONS_MAX {
            return true;
        }
        self.rejections = 0;
        if self.top <= skip {
            self.refusals.skip = Some(self.refusals.skip.map_or(skip, |least| least.min(skip)));
            return self.skips_no_further();
        }
        match &self.mode {
            Mode::Probing { before, .. } if self.refusals.bounds => {
                self.mode = (**before).clone();
                false
            }
            Mode::Probing { .. } => {
                self.refusals.bounds = true;
                self.mode = Mode::Broken;
                true
            }
            Mode::Pages(_) | Mode::Rows(_) if self.piece.cell.created.is_some() => {
                self.refusals.created = true;
                self.is_unreadable(self.why.clone());
                true
            }
            Mode::Pages(_) | Mode::Rows(_) => self.probe(),
            Mode::Doubting | Mode::Unreadable(_) | Mode::Complete | Mode::Broken => false,
        }
    }

    fn skips_no_further(&mut self) -> bool {
        if let Mode::Rows(scan) = &mut self.mode {
            scan.end();
            self.end_of_scan();
        } else {
            self.cut("the API does not skip as many rows as there are");
        }
        true
    }

    fn probe(&mut self) -> bool {
        let before = std::mem::replace(&mut self.mode, Mode::Complete);
        self.mode = Mode::Probing { before: Box::new(before), failed: false };
        true
    }

    /// A page that fails while others work is the page's fault; where none works, it is the source's, and one waits.
    pub(super) fn cannot_be_read(&mut self, others: Option<Moment>, now: Moment) -> bool {
        if let Mode::Probing { failed, .. } = &mut self.mode {
            *failed = true;
            return false;
        }
        self.failures += 1;
        let since = *self.failing_since.get_or_insert(now);
        let most = if self.is_poisoned { FAILURES_MAX_SUSPECTED } else { FAILURES_MAX };
        if self.failures < most {
            return false;
        }
        if matches!(self.mode, Mode::Doubting) {
            // Something is listed that cannot be read, so it is not nothing.
            self.mode = Mode::Complete;
            return true;
        }
        let answered_at = self.answered_at.max(others);
        let lately = answered_at.is_some_and(|at| now.since(at) < PROOF_LASTS);
        if answered_at.is_some_and(|at| since < at) || (self.is_poisoned && lately) {
            return self.go_around();
        }
        self.probe()
    }

    /// The page fails for good: cut it, and in the end read around what fails.
    pub(super) fn go_around(&mut self) -> bool {
        self.is_poisoned = true;
        (self.failures, self.failing_since) = (0, None);
        match &mut self.mode {
            // Nothing can be cut, so nothing can be concluded; but what can be read is.
            Mode::Pages(_) if self.refusals.bounds => self.scan(),
            Mode::Pages(_) if planted::is(Mistake::PoisonIsDropped) => self.next_piece(),
            Mode::Pages(pass) => {
                // What fails comes behind the last row that could be read; where there is none, it is cut in the middle.
                let last = pass.times().last().copied();
                match self.piece.cell.halves(last.as_slice(), self.horizon) {
                    Some(halves) => self.begin_with(halves),
                    None => self.scan(),
                }
            }
            Mode::Rows(scan) => {
                scan.failed();
                self.end_of_scan();
            }
            Mode::Probing { .. } | Mode::Doubting | Mode::Unreadable(_) | Mode::Complete | Mode::Broken => {
                return false;
            }
        }
        true
    }

    fn scan(&mut self) {
        self.mode = Mode::Rows(Scan::new(self.piece.cell, self.top, self.lists_alerts_apart));
    }

    pub(super) fn end_of_scan(&mut self) {
        let Mode::Rows(scan) = &self.mode else { return };
        if !scan.is_over() {
            return;
        }
        let Piece { cell, again, .. } = self.piece;
        if self.refusals.bounds {
            let why =
                format!("a page fails for good, and the API refuses the bounds that would go around it: {}", self.why);
            return self.give_up(&why);
        }
        if self.lists_alerts_apart && scan.has_left_out_nothing() && again < AGAIN_MAX {
            // It comes without its alerts: so read, its pages prove what those of any other piece do, and places count less.
            return self.begin(Piece { cell, again: again + 1, alerts: Alerts::Apart });
        }
        if self.is_too_large && scan.has_no_hole() && self.scanned.as_ref() == Some(scan.ids()) {
            // Too large for two rows at a time, and twice the same one by one.
            return self.next_piece();
        }
        if scan.has_no_hole() && again < AGAIN_MAX {
            self.scanned = Some(scan.ids().clone());
            return self.begin(Piece { again: again + 1, ..Piece::of(cell) });
        }
        if self.is_partial {
            return self.next_piece();
        }
        let (before, after) = scan.neighbours();
        let quarantined = Quarantined::new(cell.bounds(), self.horizon, &self.why);
        self.mode = Mode::Unreadable(Box::new(quarantined.between(before.as_ref(), after.as_ref())));
    }
}
