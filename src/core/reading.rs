//! One window read in full: in one piece where its pages join, else cut in two by time until each piece can be read, and
//! around what cannot. Knows nothing of cursors; concludes completeness and nothing else. Here is how far it got and what it needs
//! next; `pieces` has how the window is cut, `failure` what follows from a call that failed.
//!
//! A piece is cut where its pages do not join, where the server does not skip so far, and where a page fails for good while
//! others work: first by `lastUpdateTime` in whole seconds, within one second by `createdTime`. What is left of a page that
//! fails is one second: its rows are taken around those that fail, and the second goes to quarantine. Where the API lists alerts
//! apart, the rows that fail are asked for without theirs, and if none fails then, so is the whole second, which proves it read.
//!
//! An answer that says itself that rows are missing fails like any other, but for one thing: where every answer says so, rows are
//! taken as they come, nothing is cut and nothing concluded.

mod failure;
mod pieces;

use std::collections::BTreeSet;

use crate::core::cell::Cell;
use crate::core::pass::{self, Pass};
use crate::core::probe::{ANYTHING, OPEN_PROBE, PROBE};
use crate::core::quarantine::Quarantined;
use crate::core::reading::pieces::Piece;
use crate::core::scan::Scan;
use crate::model::incident::Row;
use crate::model::moment::Moment;
use crate::model::names::IncidentId;
use crate::model::page::{Alerts, FetchError, Query, Window};
use crate::model::timestamp::Timestamp;

/// What the server was found not to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refusals {
    /// It refuses `lt`: nothing can be cut.
    pub bounds: bool,
    /// It refuses bounds on `createdTime`.
    pub created: bool,
    /// It refuses to skip so many rows.
    pub skip: Option<u32>,
    /// It gives no more rows than this on a page, whatever is asked for.
    pub rows: Option<u32>,
}

/// A reading under way.
#[derive(Debug, Clone)]
pub struct Reading {
    mode: Mode,
    /// The piece that is being read.
    piece: Piece,
    /// Those that are left, the next one last.
    left: Vec<Piece>,
    refusals: Refusals,
    /// A page was shorter than what was asked for, and there were rows behind it.
    found_cap: Option<u32>,
    top: u32,
    top_max: u32,
    /// Pieces read to their end since an answer was too large.
    fitting: u32,
    /// The source's time when it began: where an open window is cut first.
    horizon: Timestamp,
    /// Nothing at all is not believed without asking for anything at all.
    doubts_nothing: bool,
    failures: u32,
    rejections: u32,
    failing_since: Option<Moment>,
    answered_at: Option<Moment>,
    /// Not two rows of this piece fit into an answer.
    is_too_large: bool,
    /// What the last scan of this piece found, where nothing in it failed.
    scanned: Option<BTreeSet<IncidentId>>,
    /// A page was found to fail for good.
    is_poisoned: bool,
    /// A row that fails may be asked for without its alerts.
    lists_alerts_apart: bool,
    /// Seconds that could be read only so, before.
    apart: BTreeSet<Timestamp>,
    /// And the last one now.
    found_apart: Option<Timestamp>,
    /// The last failure of this query was an answer that lacked rows.
    lacked: bool,
    /// Every answer lacks rows: what comes is taken, and nothing concluded.
    is_partial: bool,
    pages: u32,
    rows: u32,
    why: String,
}

/// What is done about the piece.
#[derive(Debug, Clone)]
enum Mode {
    /// It is read page by page.
    Pages(Pass),
    /// It is read around what fails.
    Rows(Scan),
    /// A call that harms nobody shows whether the source works; then on with what was before.
    Probing {
        before: Box<Self>,
        /// It did not work either: an outage, and not the page's fault.
        failed: bool,
    },
    /// There was no row, which is doubted: is there any at all?
    Doubting,
    /// It cannot be read: once that is durable, the reading goes around it.
    Unreadable(Box<Quarantined>),
    /// Nothing is left.
    Complete,
    /// Nothing may be concluded.
    Broken,
}

/// What a reading needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This call.
    Read(Query),
    /// This window durably in quarantine; then [`Reading::went_around`].
    Quarantine(Quarantined),
    /// Nothing: the whole window was read, but for what is in quarantine.
    Complete,
    /// Nothing: it cannot be read this way, so nothing may be concluded. The cause is for people.
    Broken(String),
}

impl Reading {
    /// A reading of these windows, oldest first, with `top` rows a page, that begins at the source's time `horizon`. With
    /// `doubts_nothing`, windows without a row are believed only where the source lists anything at all.
    pub fn new(windows: &[Window], top: u32, refusals: Refusals, horizon: Timestamp, doubts_nothing: bool) -> Self {
        let piece = |&window: &Window| Piece::of(Cell::of(window));
        let nowhere = Window { from: horizon, to: Some(horizon) };
        let mut reading = Self {
            mode: Mode::Complete,
            piece: piece(&nowhere),
            left: windows.iter().rev().map(piece).collect(),
            refusals,
            found_cap: None,
            top,
            top_max: top,
            fitting: 0,
            horizon,
            doubts_nothing: doubts_nothing && !windows.is_empty(),
            failures: 0,
            rejections: 0,
            failing_since: None,
            answered_at: None,
            is_too_large: false,
            scanned: None,
            is_poisoned: false,
            lists_alerts_apart: false,
            apart: BTreeSet::new(),
            found_apart: None,
            lacked: false,
            is_partial: false,
            pages: 0,
            rows: 0,
            why: String::new(),
        };
        reading.next_piece();
        reading
    }

    /// The same where the API lists alerts apart, or does not: the incident that makes a page fail is then asked for without its
    /// alerts, for whoever makes the calls to complete.
    #[must_use]
    pub fn listing_alerts_apart(self, lists_alerts_apart: bool) -> Self {
        Self { lists_alerts_apart, ..self }
    }

    /// The same where these seconds could be read only without their alerts before: they are read so at once, and nothing has to
    /// fail first. Before the first call only.
    pub fn expect_apart(&mut self, seconds: &BTreeSet<Timestamp>) {
        self.apart.clone_from(seconds);
        if matches!(self.mode, Mode::Pages(_)) {
            self.begin(self.piece);
        }
    }

    /// What is needed next.
    pub fn step(&self) -> Step {
        match &self.mode {
            Mode::Pages(pass) => match pass.step() {
                pass::Step::Read(query) => Step::Read(query),
                // `read` leaves no pass at its end.
                pass::Step::Complete | pass::Step::Broken => Step::Broken(self.why.clone()),
            },
            Mode::Rows(scan) => Step::Read(scan.query()),
            Mode::Probing { .. } => Step::Read(if self.refusals.bounds { OPEN_PROBE } else { PROBE }),
            Mode::Doubting => Step::Read(ANYTHING),
            Mode::Unreadable(quarantined) => Step::Quarantine((**quarantined).clone()),
            Mode::Complete => Step::Complete,
            Mode::Broken => Step::Broken(self.why.clone()),
        }
    }

    /// The call that [`step`](Self::step) asked for was answered with these rows.
    pub fn read(&mut self, rows: &[Row], now: Moment) {
        self.answered_at = Some(now);
        self.take(rows);
    }

    /// The call was answered with these rows, and the answer says itself that some are missing. `others` is when another call of
    /// this tenant was answered in full last.
    ///
    /// Returns whether there is another call to make at once.
    pub fn read_in_part(&mut self, rows: &[Row], why: &str, others: Option<Moment>, now: Moment) -> bool {
        self.why = why.to_owned();
        match &mut self.mode {
            Mode::Pages(_) | Mode::Rows(_) if self.is_partial => self.take(rows),
            Mode::Pages(_) | Mode::Rows(_) => {
                self.lacked = true;
                return self.cannot_be_read(others, now);
            }
            Mode::Probing { before, .. } if self.lacked => {
                // Nothing is answered in full, so no page is at fault.
                self.mode = (**before).clone();
                self.is_partial = true;
                (self.failures, self.rejections, self.failing_since) = (0, 0, None);
            }
            // The source works, and there is something.
            Mode::Probing { .. } => self.take(rows),
            Mode::Doubting if !rows.is_empty() => self.take(rows),
            Mode::Doubting | Mode::Unreadable(_) | Mode::Complete | Mode::Broken => return false,
        }
        true
    }

    fn take(&mut self, rows: &[Row]) {
        self.pages += 1;
        (self.failures, self.rejections, self.failing_since) = (0, 0, None);
        match &mut self.mode {
            Mode::Pages(pass) => {
                self.rows = self.rows.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
                pass.read(rows);
                let known = self.refusals.rows.unwrap_or(self.top);
                self.found_cap = pass.most().filter(|&most| most != known);
                match pass.step() {
                    pass::Step::Complete => {
                        let is_apart = self.piece.alerts == Alerts::Apart;
                        self.found_apart = is_apart.then_some(self.piece.cell.window.from);
                        self.next_piece();
                    }
                    pass::Step::Broken => self.cut("rows moved between the pages, so the reading proves nothing"),
                    // Rows leave a bounded window while its pages are read, and may change places; what fits into one page
                    // has no places.
                    pass::Step::Read(_) if pass.is_more_than_a_page() && !self.refusals.bounds => {
                        self.cut_behind_page()
                    }
                    pass::Step::Read(query) if self.refusals.skip.is_some_and(|most| most <= query.skip) => {
                        self.cut("the API does not skip as many rows as there are");
                    }
                    pass::Step::Read(_) => {}
                }
            }
            Mode::Rows(scan) => {
                scan.read(rows);
                self.end_of_scan();
            }
            Mode::Probing { before, failed } => {
                let was_outage = *failed;
                self.mode = (**before).clone();
                if !was_outage {
                    // The source works, so it is the page.
                    self.go_around();
                }
            }
            Mode::Doubting if rows.is_empty() => {
                self.give_up("the API lists no incident at all, though it listed some before");
            }
            Mode::Doubting => self.mode = Mode::Complete,
            Mode::Unreadable(_) | Mode::Complete | Mode::Broken => {}
        }
    }

    /// The call failed. `others` is when another call of this tenant was answered last.
    ///
    /// Returns whether there is another call to make at once.
    pub fn failed(&mut self, error: &FetchError, others: Option<Moment>, now: Moment) -> bool {
        self.why = error.to_string();
        match error {
            FetchError::TooLarge { .. } => self.too_large(),
            FetchError::Rejected { .. } => self.rejected(),
            FetchError::Unavailable { .. } | FetchError::Garbled { .. } => {
                // A probe that fails says nothing of what it was made for.
                self.lacked &= self.is_probing();
                self.cannot_be_read(others, now)
            }
            FetchError::Throttled { .. }
            | FetchError::Unauthorized { .. }
            | FetchError::Refused { .. }
            | FetchError::NotFound => false,
        }
    }

    /// How many rows came on a short page that was not the end, where the last answer showed one. One may be a lie.
    pub const fn found_cap(&self) -> Option<u32> {
        // Where rows are missing a page is short for that reason.
        if self.is_partial { None } else { self.found_cap }
    }

    /// The second that the last answer completed, where it could be read only without its alerts.
    pub const fn found_apart(&self) -> Option<Timestamp> {
        self.found_apart
    }

    /// Whether it is asked whether the source works.
    pub const fn is_probing(&self) -> bool {
        matches!(self.mode, Mode::Probing { .. })
    }

    /// Whether it is asked whether there is anything at all.
    pub const fn is_doubting(&self) -> bool {
        matches!(self.mode, Mode::Doubting)
    }

    /// Whether the rows of the call that is asked for are of any interest.
    pub const fn wants_rows(&self) -> bool {
        matches!(self.mode, Mode::Pages(_) | Mode::Rows(_))
    }

    /// What [`Step::Quarantine`] named is durable in quarantine.
    pub fn went_around(&mut self) {
        self.next_piece();
    }

    /// There is no room in quarantine for what [`Step::Quarantine`] named.
    pub fn quarantine_is_full(&mut self) {
        self.give_up(&format!("more windows cannot be read than fit into quarantine, the last because {}", self.why));
    }

    /// What the server was found not to do.
    pub const fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// Pages read so far.
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// Rows read so far, those that two pages share counted twice.
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    fn give_up(&mut self, why: &str) {
        self.why = why.to_owned();
        self.mode = Mode::Broken;
    }

    fn is_unreadable(&mut self, why: String) {
        if self.is_partial {
            // Rows that come and go with the answers tell nothing of what can be read.
            return self.next_piece();
        }
        let quarantined = Quarantined::new(self.piece.cell.bounds(), self.horizon, &why);
        self.why = why;
        self.mode = Mode::Unreadable(Box::new(quarantined));
    }
}
