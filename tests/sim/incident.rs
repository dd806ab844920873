//! An incident and its revisions: what a replica shows of it at a time, and what fails because of it.

use crate::model::dialect::Dialect;
use crate::model::incident::Row;
use crate::model::names::IncidentId;
use crate::model::page::Alerts;
use crate::model::timestamp::Timestamp;
use crate::world::NEVER;

/// One incident.
#[derive(Debug)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// When it was created.
    pub created: Timestamp,
    /// What it was and is, oldest first.
    pub revisions: Vec<Revision>,
    /// When it vanished.
    pub gone_at: u64,
    /// How much of a page's weight it is.
    pub weight: u32,
    /// Up to when it cannot be read in the way of `poison`; 0 for never.
    pub poisoned_until: u64,
    /// What fails because of it.
    pub poison: Poison,
    /// It was poisoned once.
    pub was_poisoned: bool,
}

/// What fails because of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// Every page that holds it.
    Page,
    /// Every page of Graph that holds it with its alerts.
    Within,
    /// The same, and the call for its alerts.
    Alerts,
}

/// One revision.
#[derive(Debug)]
pub struct Revision {
    /// `lastUpdateTime`, whether or not the row shows it.
    pub time: Timestamp,
    /// What the source answers.
    pub row: Row,
    /// The same in Graph, where that is ever asked.
    pub in_graph: Option<Row>,
    /// When it happened.
    pub born: u64,
    /// From when it is shown.
    pub visible_at: u64,
    /// Until then, nothing is shown.
    pub gap: bool,
    /// Answers that lied about it.
    pub lies: u8,
    /// It broke the assumption: only an audit has to find it.
    pub beyond: bool,
    /// Its row has no time, or one ahead of its birth.
    pub odd: bool,
    /// It was put into the outbox.
    pub recorded: bool,
    /// And its time is remembered.
    pub is_remembered: bool,
}

impl Revision {
    pub(crate) fn new(time: Timestamp, rows: (Row, Option<Row>), born: u64, (visible_at, gap): (u64, bool)) -> Self {
        Self {
            time,
            row: rows.0,
            in_graph: rows.1,
            born,
            visible_at,
            gap,
            lies: 0,
            beyond: false,
            odd: false,
            recorded: false,
            is_remembered: false,
        }
    }

    /// What an API answers, where it is ever asked.
    pub const fn row_in(&self, dialect: Dialect) -> &Row {
        match (dialect, &self.in_graph) {
            (Dialect::Graph, Some(row)) => row,
            (Dialect::Graph, None) | (Dialect::Defender, _) => &self.row,
        }
    }

    /// What either API answers: the same revision, whichever it is.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        [&self.row].into_iter().chain(&self.in_graph)
    }
}

impl Incident {
    /// Whether a page of an API fails that holds it.
    pub fn fails_a_page(&self, dialect: Dialect, alerts: Alerts, at: u64) -> bool {
        at < self.poisoned_until
            && match self.poison {
                Poison::Page => true,
                Poison::Within | Poison::Alerts => dialect == Dialect::Graph && alerts == Alerts::Within,
            }
    }

    /// Whether the call for its alerts fails.
    pub fn fails_its_alerts(&self, at: u64) -> bool {
        at < self.poisoned_until && self.poison == Poison::Alerts
    }

    /// Whether it can be read in no way at all.
    pub fn is_unreadable(&self, dialect: Dialect, at: u64) -> bool {
        at < self.poisoned_until
            && match self.poison {
                Poison::Page => true,
                Poison::Within => false,
                Poison::Alerts => dialect == Dialect::Graph,
            }
    }

    /// What a replica shows at a time.
    pub fn shown(&self, at: u64) -> Option<usize> {
        if self.gone_at <= at {
            return None;
        }
        for (n, revision) in self.revisions.iter().enumerate().rev() {
            if revision.visible_at <= at {
                return Some(n);
            }
            if revision.gap && revision.born <= at {
                return None;
            }
        }
        None
    }

    /// The newest revision, visible or not.
    pub fn newest(&self) -> &Revision {
        self.revisions.last().expect("an incident has a revision from the start")
    }

    /// Whether it is still there.
    pub const fn is_there(&self) -> bool {
        self.gone_at == NEVER
    }
}
