//! The model of the store: atomic batches, of which a crash keeps a prefix, and a checkpoint beside them. What is new is decided
//! by the real judgement. What is in it beyond the last sync can be gone.

use std::collections::BTreeMap;

use crate::core::commit::{Brief, Committed};
use crate::core::courier::{Progress, Refusal};
use crate::core::poller::Known;
use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::quota::QuotaState;
use crate::core::seen::{self, Mark, Verdict};
use crate::dice::Dice;
use crate::mistakes::Planted;
use crate::model::event::Kind;
use crate::model::hash::ContentHash;
use crate::model::incident::Row;
use crate::model::moment::Moment;
use crate::model::names::{EventId, IncidentId, Seq, TenantName};
use crate::model::page::Page;
use crate::model::timestamp::Timestamp;
use crate::world::World;

/// Marks are kept for so long by the mistake of forgetting them early.
const FORGOTTEN_AFTER: std::time::Duration = std::time::Duration::from_secs(240);

/// The store of one tenant and its sinks.
#[derive(Debug)]
pub struct Ledger {
    /// How far it was read.
    pub position: Option<Position>,
    /// What cannot be read.
    pub quarantine: Quarantine,
    /// The quota as the last call left it.
    pub quota: Option<QuotaState>,
    /// What is remembered of each incident, with the event that was written with it.
    pub marks: BTreeMap<IncidentId, (Mark, Seq)>,
    /// Every event behind `base`.
    outbox: Vec<Entry>,
    base: u64,
    /// How far each sink confirmed.
    pub progress: Vec<Seq>,
    /// What each sink refused.
    pub refused: Vec<BTreeMap<Seq, String>>,
    /// The newest event that survives a crash.
    durable_end: u64,
    /// What undoes each batch that is not synced, oldest first.
    pending: Vec<Vec<Undo>>,
    /// Batches before the first that is pending.
    synced: u64,
    /// The disk takes nothing.
    pub is_full: bool,
    /// Grows whenever nobody knows any more what became of the batches that were not synced.
    pub epoch: u64,
    /// What a lost database is made again from.
    pub checkpoint: Option<Checkpoint>,
    /// Something changed since the checkpoint was written.
    pub is_dirty: bool,
    /// Where the reading under way stands, by mistake.
    pub stored_skip: u32,
    /// What undoes pages that are written when it suits, by mistake, and since when they wait.
    lazy: Vec<(u64, Vec<Undo>)>,
    book: BTreeMap<EventId, u32>,
    tenant: TenantName,
}

/// An event as far as anything here wants to know.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its `event_id`, as a number.
    pub key: u32,
    /// The incident's number; none of a neighbour tenant.
    pub incident: Option<usize>,
    /// Its time.
    pub last_update: Option<Timestamp>,
    /// Its content.
    pub hash: ContentHash,
    /// Whether it takes part in the order of its incident.
    pub is_ordered: bool,
}

/// The small file beside the database.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// With a cursor not later than the oldest event that some sink lacks.
    pub position: Option<Position>,
    quarantine: Quarantine,
    quota: Option<QuotaState>,
    end: u64,
}

/// A batch that is written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Batch {
    number: u64,
    epoch: u64,
}

/// The disk is full.
#[derive(Debug, Clone, Copy)]
pub struct Full;

#[derive(Debug)]
enum Undo {
    Position(Option<Position>),
    Quarantine(Quarantine),
    Quota(Option<QuotaState>),
    Mark(IncidentId, Option<Box<(Mark, Seq)>>),
    Outbox(usize),
    Progress(usize, Seq),
    Refused(usize, Seq),
}

impl Ledger {
    /// A store of so many sinks.
    pub fn new(sinks: usize) -> Self {
        Self {
            position: None,
            quarantine: Quarantine::default(),
            quota: None,
            marks: BTreeMap::new(),
            outbox: Vec::new(),
            base: 0,
            progress: vec![Seq(0); sinks],
            refused: vec![BTreeMap::new(); sinks],
            durable_end: 0,
            pending: Vec::new(),
            synced: 0,
            is_full: false,
            epoch: 0,
            checkpoint: None,
            is_dirty: false,
            stored_skip: 0,
            lazy: Vec::new(),
            book: BTreeMap::new(),
            tenant: TenantName::new("sim"),
        }
    }

    /// What a poller goes on from.
    pub fn known(&self) -> Known {
        Known { position: self.position, quarantine: self.quarantine.clone(), has_listed: !self.marks.is_empty() }
    }

    /// The newest durable event.
    pub const fn newest(&self) -> Seq {
        Seq(self.durable_end)
    }

    /// The newest event, durable or not.
    pub fn end(&self) -> u64 {
        self.base + self.outbox.len() as u64
    }

    /// The oldest event less one.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// An event that is there.
    pub fn entry(&self, seq: u64) -> Option<Entry> {
        let place = seq.checked_sub(self.base + 1)?;
        self.outbox.get(usize::try_from(place).ok()?).copied()
    }

    /// How far the slowest sink is.
    pub fn delivered_to(&self) -> Seq {
        self.progress.iter().min().copied().unwrap_or_default()
    }

    /// Events that some sink lacks.
    pub fn waiting(&self) -> u64 {
        self.end() - self.delivered_to().0
    }

    /// Whether this revision is remembered: its time, and its content where `exact`.
    pub fn knows(&self, id: &IncidentId, time: Timestamp, row: &Row, exact: bool) -> bool {
        let Some((mark, _)) = self.marks.get(id) else { return false };
        mark.odd_hashes.contains(&row.hash)
            || time < mark.time
            || time == mark.time && !mark.hashes.is_empty() && (!exact || mark.hashes.contains(&row.hash))
    }

    /// Holds each row against its mark and puts what is new into the outbox, in one batch. The numbers of the events that are
    /// new are `end` before and after; their rows are returned too.
    pub fn commit_page(
        &mut self,
        page: Page,
        at: (u64, Moment),
        neighbour: &mut impl FnMut() -> bool,
        planted: Planted,
    ) -> Result<(Committed, Vec<Row>, Batch), Full> {
        self.room()?;
        let mut rows = page.rows;
        rows.sort_by_key(|row| row.last_update().map_or((true, Timestamp::default()), |time| (false, time)));
        let mut outcome = Committed::default();
        let (mut undo, mut undo_events, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let id = seen::id_of(&row);
            let mark = self.marks.get(&id);
            let news = match seen::judge(mark.map(|(mark, _)| mark), &row, page.date, at.1) {
                Verdict::New(news) => news,
                Verdict::Noted(next) => {
                    // Its event stays the one that was written with it.
                    let seq = mark.map(|(_, seq)| *seq).unwrap_or_default();
                    let before = self.marks.insert(id.clone(), (*next, seq));
                    undo.push(Undo::Mark(id, before.map(Box::new)));
                    continue;
                }
                Verdict::Known | Verdict::Stale | Verdict::TooSoon => continue,
            };
            outcome.unseen_rows += 1;
            outcome.oldest_unseen = outcome.oldest_unseen.into_iter().chain(news.unseen_time).min();
            let last_update = row.last_update();
            let event_id = EventId::of(&self.tenant, &id, last_update, row.hash);
            let key = self.key(&event_id);
            undo_events.push(Undo::Outbox(self.outbox.len()));
            let is_ordered = news.odd.is_none();
            self.outbox.push(Entry { key, incident: World::number_of(&id), last_update, hash: row.hash, is_ordered });
            let seq = Seq(self.end());
            outcome.events.push(Brief { event_id, kind: Kind::Updated, last_update, unseen_time: news.unseen_time });
            let before = self.marks.insert(id.clone(), (news.mark, seq));
            undo.push(Undo::Mark(id, before.map(Box::new)));
            let row_hash = row.hash;
            taken.push(row);
            if neighbour() {
                let event_id = EventId::new(format!("neighbour/{}", self.book.len()));
                let key = self.key(&event_id);
                undo_events.push(Undo::Outbox(self.outbox.len()));
                self.outbox.push(Entry { key, incident: None, last_update: None, hash: row_hash, is_ordered: false });
            }
        }
        if planted == Planted::SeenBeforeEvents {
            self.write(undo);
            return Ok((outcome, taken, self.write(undo_events)));
        }
        undo.extend(undo_events);
        if planted == Planted::CursorBeforeEvents {
            self.lazy.push((at.0, undo));
            return Ok((outcome, taken, Batch { number: 0, epoch: self.epoch }));
        }
        Ok((outcome, taken, self.write(undo)))
    }

    /// Remembers how far the tenant was read.
    pub fn set_position(&mut self, position: Position) -> Result<Batch, Full> {
        self.room()?;
        let before = self.position.replace(position);
        Ok(self.write(vec![Undo::Position(before)]))
    }

    /// Remembers what cannot be read.
    pub fn set_quarantine(&mut self, quarantine: Quarantine) -> Result<Batch, Full> {
        self.room()?;
        let before = std::mem::replace(&mut self.quarantine, quarantine);
        Ok(self.write(vec![Undo::Quarantine(before)]))
    }

    /// Remembers the quota. Two readers charge in order and may tell us in another.
    pub fn set_quota(&mut self, state: QuotaState) -> Result<Batch, Full> {
        self.room()?;
        let before = self.quota.unwrap_or_default();
        let state = QuotaState { minute: state.minute.max(before.minute), hour: state.hour.max(before.hour) };
        let before = self.quota.replace(state);
        Ok(self.write(vec![Undo::Quota(before)]))
    }

    /// Remembers what a sink has and what it refused.
    pub fn acknowledge(&mut self, sink: usize, progress: Progress, refused: Vec<Refusal>) -> Result<Batch, Full> {
        self.room()?;
        let mut undo = Vec::new();
        for Refusal { seq, why } in refused {
            undo.push(Undo::Refused(sink, seq));
            self.refused[sink].insert(seq, why);
        }
        if self.progress[sink] < progress.acknowledged {
            undo.push(Undo::Progress(sink, self.progress[sink]));
            self.progress[sink] = progress.acknowledged;
        }
        Ok(self.write(undo))
    }

    /// The batch and everything before it is durable. False where nobody knows what became of it.
    pub fn sync(&mut self, batch: Batch) -> bool {
        if batch.epoch != self.epoch {
            return false;
        }
        let done = usize::try_from((batch.number + 1).saturating_sub(self.synced)).unwrap_or(usize::MAX);
        let done = done.min(self.pending.len());
        self.pending.drain(..done);
        self.synced += done as u64;
        self.is_dirty |= done != 0;
        self.reckon();
        true
    }

    /// Writes what waits longer than that, by mistake this late.
    pub fn write_lazily(&mut self, since: u64) {
        self.lazy.retain(|(at, _)| since < *at);
        self.reckon();
    }

    fn reckon(&mut self) {
        let all = self.pending.iter().chain(self.lazy.iter().map(|(_, undo)| undo));
        let unsynced = all.flatten().filter(|undo| matches!(undo, Undo::Outbox(_))).count();
        self.durable_end = self.end() - unsynced as u64;
    }

    /// The process dies, or the disk fills up: of what was not synced, a prefix survives. Returns how many batches are gone.
    pub fn lose_suffix(&mut self, dice: &mut Dice, whole: bool, planted: Planted) -> usize {
        let kept = if whole { self.pending.len() } else { dice.place(self.pending.len() + 1) };
        let gone: Vec<_> = self.pending.drain(..).skip(kept).collect();
        let count = gone.len();
        let lazy: Vec<_> = self.lazy.drain(..).map(|(_, undo)| undo).collect();
        for undo in lazy.into_iter().rev().flat_map(|batch| batch.into_iter().rev()) {
            self.undo(undo);
        }
        for undo in gone.into_iter().rev().flat_map(|batch| batch.into_iter().rev()) {
            self.undo(undo);
        }
        self.durable_end = self.end();
        self.epoch += 1;
        if planted == Planted::SeenInMemory {
            self.marks.clear();
        }
        count
    }

    /// The database is lost; the checkpoint makes it again.
    pub fn lose_database(&mut self, planted: Planted, server_time: Timestamp) {
        let mut from = self.checkpoint.clone().unwrap_or(Checkpoint {
            position: None,
            quarantine: Quarantine::default(),
            quota: None,
            end: self.base,
        });
        if planted == Planted::CheckpointMissing {
            from.position = Some(Position::start(server_time.floor_to_second()));
        }
        // The two sweeps that agree begin anew.
        self.position = from.position.map(|position| Position { swept: None, ..position });
        self.quarantine = from.quarantine;
        self.quota = from.quota;
        self.marks.clear();
        self.outbox.clear();
        (self.base, self.durable_end) = (from.end, from.end);
        self.progress.fill(Seq(from.end));
        self.refused.iter_mut().for_each(BTreeMap::clear);
        self.pending.clear();
        self.lazy.clear();
        self.epoch += 1;
    }

    /// Writes the checkpoint from what is durable.
    pub fn write_checkpoint(&mut self, planted: Planted) {
        self.is_dirty = false;
        let from = self.delivered_to().0 + 1;
        let oldest =
            (from..=self.end()).filter_map(|seq| self.entry(seq)?.incident.and(self.entry(seq)?.last_update)).min();
        let position = self.position.map(|position| {
            let safe = position.cursor.min(oldest.unwrap_or(position.cursor)).max(position.floor);
            let cursor = if planted == Planted::CheckpointIsCursor { position.cursor } else { safe };
            Position { cursor, ..position }
        });
        self.checkpoint =
            Some(Checkpoint { position, quarantine: self.quarantine.clone(), quota: self.quota, end: self.end() });
    }

    /// Whether nothing waits for a sync.
    pub fn is_synced(&self) -> bool {
        self.pending.is_empty()
    }

    /// Forgets marks far too early.
    pub fn evict_early(&mut self, now: Moment) {
        self.marks.retain(|_, (mark, _)| now.since(mark.written) < FORGOTTEN_AFTER);
    }

    /// Drops the older half for everybody.
    pub fn drop_oldest(&mut self, kept: u64) {
        let to = Seq(self.durable_end.saturating_sub(kept));
        for progress in &mut self.progress {
            *progress = to.max(*progress);
        }
    }

    /// How many `event_id`s there were.
    pub fn keys(&self) -> usize {
        self.book.len()
    }

    /// The number of a revision's `event_id`, if it ever had an event.
    pub fn key_of(&self, id: &IncidentId, row: &Row) -> Option<u32> {
        self.book.get(&EventId::of(&self.tenant, id, row.last_update(), row.hash)).copied()
    }

    fn key(&mut self, event_id: &EventId) -> u32 {
        let next = self.book.len() as u32;
        *self.book.entry(event_id.clone()).or_insert(next)
    }

    const fn room(&self) -> Result<(), Full> {
        if self.is_full { Err(Full) } else { Ok(()) }
    }

    fn write(&mut self, undo: Vec<Undo>) -> Batch {
        self.pending.push(undo);
        Batch { number: self.synced + self.pending.len() as u64 - 1, epoch: self.epoch }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Position(before) => self.position = before,
            Undo::Quarantine(before) => self.quarantine = before,
            Undo::Quota(before) => self.quota = before,
            Undo::Mark(id, Some(before)) => {
                self.marks.insert(id, *before);
            }
            Undo::Mark(id, None) => {
                self.marks.remove(&id);
            }
            Undo::Outbox(length) => self.outbox.truncate(length),
            Undo::Progress(sink, before) => self.progress[sink] = before,
            Undo::Refused(sink, seq) => {
                self.refused[sink].remove(&seq);
            }
        }
    }
}
