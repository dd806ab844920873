//! The pieces that a window falls into: which one is read next, and how one is cut in two where it cannot be read in one. Decides
//! nothing about calls that fail: `failure` does.

use std::time::Duration;

use crate::core::cell::Cell;
use crate::core::pass::Pass;
use crate::core::reading::{Mode, Reading};
use crate::model::page::{Alerts, Window};
use crate::model::timestamp::Timestamp;

const SECOND: Duration = Duration::from_secs(1);
/// Pieces of one reading at a time.
const PIECES_MAX: usize = 256;
/// How often a piece that can be cut no further is read again before it goes to quarantine.
pub(super) const AGAIN_MAX: u32 = 8;
/// Pages that had to be made smaller grow again after so many pieces.
const GROW_AFTER: u32 = 4;

/// A piece of the window, and how often it was read in vain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) cell: Cell,
    pub(super) again: u32,
    pub(super) alerts: Alerts,
}

impl Piece {
    pub(super) const fn of(cell: Cell) -> Self {
        Self { cell, again: 0, alerts: Alerts::Within }
    }
}

impl Reading {
    pub(super) fn next_piece(&mut self) {
        (self.failures, self.rejections, self.failing_since) = (0, 0, None);
        (self.scanned, self.is_too_large) = (None, false);
        self.fitting += 1;
        if GROW_AFTER <= self.fitting {
            (self.fitting, self.top) = (0, (self.top * 2).min(self.top_max));
        }
        match self.left.pop() {
            Some(piece) => self.begin(piece),
            None if self.is_partial => self.mode = Mode::Broken,
            None if self.doubts_nothing && self.rows == 0 => self.mode = Mode::Doubting,
            None => self.mode = Mode::Complete,
        }
    }

    pub(super) fn begin(&mut self, piece: Piece) {
        let piece = self.without_what_goes_apart(piece);
        self.piece = piece;
        let pass = Pass::new(piece.cell, self.top, self.refusals.rows, !self.refusals.bounds);
        self.mode = Mode::Pages(pass.asking(piece.alerts));
    }

    /// The part of a piece before the first second that could be read only without its alerts, or that second; the rest is left.
    fn without_what_goes_apart(&mut self, piece: Piece) -> Piece {
        let Window { from, to } = piece.cell.window;
        let holds = |second: &&Timestamp| from <= **second && to.is_none_or(|to| second.later(SECOND) <= to);
        let is_whole = piece.cell.created.is_none() && !self.refusals.bounds;
        let Some(&second) = self.apart.iter().find(holds).filter(|_| is_whole) else { return piece };
        let end = second.later(SECOND);
        if from < second {
            self.left.push(Piece::of(Cell::of(Window { from: second, to })));
            return Piece::of(Cell::of(Window { from, to: Some(second) }));
        }
        if to == Some(end) {
            return Piece { alerts: Alerts::Apart, ..piece };
        }
        self.left.push(Piece::of(Cell::of(Window { from: end, to })));
        Piece { alerts: Alerts::Apart, ..Piece::of(Cell::of(Window { from, to: Some(end) })) }
    }

    /// Two pieces instead of one, or the same once more where there are no two.
    pub(super) fn cut(&mut self, why: &str) {
        let Mode::Pages(pass) = &self.mode else { return };
        if self.refusals.bounds {
            return self.give_up(why);
        }
        let Piece { cell, again, alerts } = self.piece;
        let by_creation = || cell.halves_by_creation(pass.times()).filter(|_| !self.refusals.created);
        match cell.halves(pass.times(), self.horizon).or_else(by_creation) {
            Some(halves) => self.begin_with(halves),
            None if again < AGAIN_MAX => {
                let next = pass.again(self.top, self.refusals.rows);
                self.piece = Piece { cell, again: again + 1, alerts };
                self.mode = Mode::Pages(next);
            }
            None => self.is_unreadable(why.to_owned()),
        }
    }

    /// The first page of a bounded window is full: smaller windows instead, where there are any.
    pub(super) fn cut_behind_page(&mut self) {
        let Mode::Pages(pass) = &self.mode else { return };
        let cell = self.piece.cell;
        let by_creation = || cell.halves_by_creation(pass.times()).filter(|_| !self.refusals.created);
        if let Some(parts) = cell.parts_behind(pass.times(), self.horizon).or_else(by_creation) {
            self.begin_with(parts);
        }
    }

    pub(super) fn begin_with(&mut self, (older, newer): (Cell, Cell)) {
        if PIECES_MAX <= self.left.len() {
            return self.give_up("it falls into too many pieces");
        }
        let alerts = self.piece.alerts;
        self.left.push(Piece { alerts, ..Piece::of(newer) });
        self.begin(Piece { alerts, ..Piece::of(older) });
    }
}
