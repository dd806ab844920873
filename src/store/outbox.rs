//! The outbox: what the writer keeps in mind of it, and how it is cut behind the slowest sink. It must not read bodies.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::courier::{Progress, Refusal};
use crate::core::quota::QuotaState;
use crate::model::names::{Seq, SinkName, TenantKey};
use crate::model::timestamp::Timestamp;
use crate::store::body;
use crate::store::error::StoreError;
use crate::store::keys::{Key, Prefix};
use crate::store::ledger::{Ledger, Pending};
use crate::store::values::{Damage, Entry, Read, Totals};

/// Events whose oldest time is kept as one: what a rebuild repeats too much, at most, per tenant.
const BLOCK: u64 = 1024;
/// Positions that one step of cutting looks at, so that nobody waits long behind it.
const CUT_STEP: u64 = 256;
/// Removals in one batch.
const REMOVALS_MAX: usize = 4096;

/// What the writer knows of the outbox without asking the database. The database has all of it; [`load`](Self::load)
/// makes it anew.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) totals: Totals,
    /// Events that are there.
    pub(crate) events: u64,
    /// Bytes of their bodies, compressed.
    pub(crate) bytes: u64,
    sinks: BTreeMap<SinkName, Seq>,
    /// Up to here everything was cut, but for what is kept because a sink refused it.
    cut_to: Seq,
    /// Per block and tenant the oldest time in it, for blocks that are not wholly delivered.
    oldest: BTreeMap<u64, BTreeMap<TenantKey, Timestamp>>,
}

impl Outbox {
    /// Reads the index, checks every small value on the way, and clears chunks that belong to no event: of a large event
    /// that was being written when the process died.
    pub(crate) fn load(ledger: &Ledger) -> Result<Self, StoreError> {
        let totals: Totals = ledger
            .get(&Key::Totals)?
            .ok_or_else(|| Damage { why: "the totals of the database are missing".to_owned() })?;
        check_small(ledger, totals.end)?;
        clear_orphans(ledger, totals.end)?;
        let mut outbox = Self { totals, ..Self::default() };
        for progress in ledger.scan::<Progress>(Prefix::Progress) {
            if let (Key::Progress(sink), progress) = progress? {
                outbox.sinks.insert(sink, progress.acknowledged);
            }
        }
        let delivered = outbox.delivered_to();
        outbox.cut_to = delivered;
        let mut last = totals.cut;
        for entry in ledger.scan::<Entry>(Prefix::Events) {
            let (Key::Event(seq), entry) = entry? else { continue };
            if totals.cut < seq && seq != last.next() {
                return Err(Damage { why: format!("the outbox has nothing between events {last} and {seq}") }.into());
            }
            last = last.max(seq);
            outbox.add(seq, &entry);
            // Asked one by one: so many may have been refused that their list has no place in memory.
            if seq <= outbox.cut_to && !outbox.is_refused(ledger, seq)? {
                outbox.cut_to = Seq(seq.0.saturating_sub(1));
            }
        }
        if last != totals.end {
            return Err(Damage { why: format!("the outbox ends at event {last}, not {}", totals.end) }.into());
        }
        Ok(outbox)
    }

    /// An event more.
    pub(crate) fn add(&mut self, seq: Seq, entry: &Entry) {
        self.events += 1;
        self.bytes += entry.compressed;
        if let Some(time) = entry.last_update.filter(|_| self.delivered_to() < seq) {
            let oldest = self.oldest.entry(block(seq)).or_default().entry(entry.key.clone()).or_insert(time);
            *oldest = time.min(*oldest);
        }
    }

    /// A time not later than that of any event of this tenant that some sink lacks; none where no sink lacks any.
    pub(crate) fn oldest_undelivered(&self, tenant: &TenantKey) -> Option<Timestamp> {
        let from = self.delivered_to().next();
        if self.totals.end < from {
            return None;
        }
        self.oldest.range(block(from)..).filter_map(|(_, tenants)| tenants.get(tenant)).min().copied()
    }

    /// How far the slowest sink is. Without sinks nothing is delivered.
    pub(crate) fn delivered_to(&self) -> Seq {
        self.sinks.values().min().copied().unwrap_or_default()
    }

    pub(crate) fn progress_of(&self, sink: &SinkName) -> Option<Seq> {
        self.sinks.get(sink).copied()
    }

    pub(crate) fn sinks(&self) -> impl Iterator<Item = &SinkName> {
        self.sinks.keys()
    }

    /// A sink has come, or got further.
    pub(crate) fn progressed(&mut self, sink: &SinkName, progress: &Progress, pending: &mut Pending) {
        pending.put(&Key::Progress(sink.clone()), progress);
        self.sinks.insert(sink.clone(), progress.acknowledged);
    }

    /// Forgets a sink: its progress, and its refusals with the events that were kept for them alone.
    pub(crate) fn forget(&mut self, ledger: &Ledger, sink: &SinkName, pending: &mut Pending) -> Result<(), StoreError> {
        let refused = ledger.scan::<Refusal>(Prefix::Refused(sink)).map(|refusal| Ok(refusal?.1.seq));
        let refused = refused.collect::<Result<Vec<Seq>, StoreError>>()?;
        self.sinks.remove(sink);
        self.drop_refused(ledger, sink, &refused, pending)?;
        // Last, so that a crash half way leaves a sink to forget again.
        pending.remove(&Key::Progress(sink.clone()));
        Ok(())
    }

    /// Drops entries of what a sink refused, and each event that was kept for that alone.
    pub(crate) fn drop_refused(
        &mut self,
        ledger: &Ledger,
        sink: &SinkName,
        seqs: &[Seq],
        pending: &mut Pending,
    ) -> Result<(), StoreError> {
        for &seq in seqs {
            pending.remove(&Key::Refused(sink.clone(), seq));
            let mut others = self.sinks.keys().filter(|other| *other != sink);
            let kept = others.try_fold(false, |kept, other| -> Result<bool, StoreError> {
                Ok(kept || ledger.get::<Refusal>(&Key::Refused(other.clone(), seq))?.is_some())
            })?;
            if kept {
                continue;
            }
            if self.delivered_to() < seq {
                // A slower sink still needs it; the cut comes by again.
                self.cut_to = self.cut_to.min(Seq(seq.0.saturating_sub(1)));
            } else if seq <= self.cut_to
                && let Some(entry) = ledger.get::<Entry>(&Key::Event(seq))?
            {
                self.take_out(seq, &entry, pending);
                // Where all that was to be cut had been refused, no cut has come by yet that would say so.
                if self.totals.cut < self.cut_to {
                    self.totals.cut = self.cut_to;
                    pending.put(&Key::Totals, &self.totals);
                }
            }
            if REMOVALS_MAX < pending.count() {
                pending.apply(ledger)?;
            }
        }
        Ok(())
    }

    /// Whether there is anything to cut.
    pub(crate) fn has_cuttable(&self) -> bool {
        self.cut_to < self.delivered_to()
    }

    /// Cuts a little of what every sink is past. Says whether anything was written.
    pub(crate) fn cut_step(&mut self, ledger: &Ledger) -> Result<bool, StoreError> {
        let from = self.cut_to.next();
        let to = Seq(self.delivered_to().0.min(self.cut_to.0 + CUT_STEP));
        let refused = self.refused_between(ledger, from, to)?;
        let mut pending = Pending::default();
        let mut wrote = false;
        for entry in ledger.range::<Entry>(&Key::Event(from), &Key::Event(to)) {
            let (Key::Event(seq), entry) = entry? else { continue };
            if !refused.contains(&seq) {
                self.take_out(seq, &entry, &mut pending);
            }
            if REMOVALS_MAX < pending.count() {
                wrote |= pending.apply(ledger)?;
            }
        }
        self.cut_to = to;
        self.oldest = self.oldest.split_off(&block(to.next()));
        if self.totals.cut < to {
            self.totals.cut = to;
            pending.put(&Key::Totals, &self.totals);
        }
        Ok(wrote | pending.apply(ledger)?)
    }

    fn take_out(&mut self, seq: Seq, entry: &Entry, pending: &mut Pending) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.compressed);
        body::remove(seq, entry, pending);
    }

    fn is_refused(&self, ledger: &Ledger, seq: Seq) -> Result<bool, StoreError> {
        let mut sinks = self.sinks.keys();
        sinks.try_fold(false, |is, sink| Ok(is || ledger.has(&Key::Refused(sink.clone(), seq))?))
    }

    fn refused_between(&self, ledger: &Ledger, from: Seq, to: Seq) -> Result<BTreeSet<Seq>, StoreError> {
        let mut seqs = BTreeSet::new();
        for sink in self.sinks.keys() {
            for key in ledger.keys(&Key::Refused(sink.clone(), from), &Key::Refused(sink.clone(), to)) {
                if let Key::Refused(_, seq) = key? {
                    seqs.insert(seq);
                }
            }
        }
        Ok(seqs)
    }
}

const fn block(seq: Seq) -> u64 {
    seq.0 / BLOCK
}

/// Reads every value whose loss would not be noticed before it does harm. Marks and bodies are checked when they are read:
/// there are too many to look at all of them at every start.
fn check_small(ledger: &Ledger, end: Seq) -> Result<(), StoreError> {
    for pair in ledger.scan::<Read>(Prefix::Positions) {
        let (_, read) = pair?;
        if end < read.end {
            let why = format!("a cursor knows of event {}, the outbox ends at {end}", read.end);
            return Err(Damage { why }.into());
        }
    }
    ledger.scan::<u64>(Prefix::Sequences).try_for_each(|pair| pair.map(drop))?;
    ledger.scan::<QuotaState>(Prefix::Quotas).try_for_each(|pair| pair.map(drop))
}

/// Orphans can only lie beyond the end: positions are given out in order, and an entry comes in one batch with the new end.
fn clear_orphans(ledger: &Ledger, end: Seq) -> Result<(), StoreError> {
    let mut pending = Pending::default();
    for key in ledger.keys(&Key::Chunk(end.next(), 0), &Key::Chunk(Seq(u64::MAX), u32::MAX)) {
        pending.remove(&key?);
        if REMOVALS_MAX < pending.count() {
            pending.apply(ledger)?;
        }
    }
    if pending.apply(ledger)? {
        ledger.sync()?;
    }
    Ok(())
}
