//! The model of the store: what is durable, decided by the real judgement. Everything here survives a crash.

use std::collections::BTreeMap;

use xdrelay::core::courier::Progress;
use xdrelay::core::poller::{Brief, Committed, Known, Position};
use xdrelay::core::quarantine::Quarantine;
use xdrelay::core::quota::QuotaState;
use xdrelay::core::seen::{self, Mark, Verdict};
use xdrelay::model::event::Kind;
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::{EventId, IncidentId, Seq, TenantName};
use xdrelay::model::page::Page;
use xdrelay::model::timestamp::Timestamp;

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) position: Option<Position>,
    pub(crate) quarantine: Quarantine,
    pub(crate) quota: Option<QuotaState>,
    pub(crate) outbox: Vec<Entry>,
    pub(crate) progress: Progress,
    marks: BTreeMap<IncidentId, Mark>,
}

pub(crate) struct Entry {
    pub(crate) event_id: EventId,
    pub(crate) incident: IncidentId,
    pub(crate) last_update: Option<Timestamp>,
}

impl Ledger {
    pub(crate) fn commit(&mut self, page: Page, now: Moment) -> Committed {
        let mut rows = page.rows;
        rows.sort_by_key(Row::last_update);
        let mut outcome = Committed::default();
        for row in rows {
            let id = seen::id_of(&row);
            let Verdict::New(news) = seen::judge(self.marks.get(&id), &row, page.date, now) else { continue };
            outcome.unseen_rows += 1;
            outcome.oldest_unseen = outcome.oldest_unseen.into_iter().chain(news.unseen_time).min();
            let event_id = EventId::of(&TenantName::new("sim"), &id, row.last_update(), row.hash);
            outcome.events.push(Brief {
                event_id: event_id.clone(),
                kind: Kind::Updated,
                last_update: row.last_update(),
                unseen_time: news.unseen_time,
            });
            self.outbox.push(Entry { event_id, incident: id.clone(), last_update: row.last_update() });
            self.marks.insert(id, news.mark);
        }
        outcome
    }

    pub(crate) fn known(&self) -> Known {
        Known { position: self.position, quarantine: self.quarantine.clone() }
    }

    pub(crate) fn newest(&self) -> Seq {
        Seq(self.outbox.len() as u64)
    }

    /// Whether this revision has been taken.
    pub(crate) fn knows(&self, id: u64, last_update: Timestamp) -> bool {
        self.marks.get(&IncidentId::new(id.to_string())).is_some_and(|mark| last_update <= mark.time)
    }
}
