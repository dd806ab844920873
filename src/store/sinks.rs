//! What sinks say: that they are there, how far they got, what they refused. It writes that down; what may be cut because of
//! it is the outbox's business.

use crate::core::courier::{Progress, Refusal};
use crate::model::names::{Seq, SinkName};
use crate::store::body;
use crate::store::error::StoreError;
use crate::store::keys::Key;
use crate::store::ledger::{Ledger, Pending};
use crate::store::outbox::Outbox;
use crate::store::page::truncate;
use crate::store::values::Entry;

/// Bytes that are kept of a sink's words.
const WHY_MAX: usize = 900;

/// The sinks are these: new ones start before the oldest event, others are forgotten and returned.
pub(crate) fn register(
    names: &[SinkName],
    ledger: &Ledger,
    outbox: &mut Outbox,
    wrote: &mut bool,
) -> Result<Vec<SinkName>, StoreError> {
    let mut pending = Pending::default();
    let gone: Vec<SinkName> = outbox.sinks().filter(|sink| !names.contains(sink)).cloned().collect();
    let before = match ledger.keys(&Key::Event(Seq(0)), &Key::Event(Seq(u64::MAX))).next().transpose()? {
        Some(Key::Event(seq)) => Seq(seq.0.saturating_sub(1)),
        Some(_) | None => outbox.totals.end,
    };
    // New ones first: while there is no sink at all, everything counts as undelivered.
    for name in names {
        if outbox.progress_of(name).is_none() {
            outbox.progressed(name, &Progress { acknowledged: before, ..Progress::default() }, &mut pending);
        }
    }
    for sink in &gone {
        outbox.forget(ledger, sink, &mut pending)?;
    }
    *wrote |= pending.apply(ledger)?;
    Ok(gone)
}

/// A sink has all up to here but what it refused. Less than before changes nothing.
pub(crate) fn acknowledge(
    sink: &SinkName,
    progress: Progress,
    refused: Vec<Refusal>,
    ledger: &Ledger,
    outbox: &mut Outbox,
    wrote: &mut bool,
) -> Result<(), StoreError> {
    let Some(before) = outbox.progress_of(sink) else {
        return Err(StoreError::misused(format!("sink {sink} is not registered")));
    };
    let end = outbox.totals.end;
    let last = refused.iter().map(|refusal| refusal.seq).max().unwrap_or_default().max(progress.acknowledged);
    if end < last {
        return Err(StoreError::misused(format!("sink {sink} acknowledges {last}, the outbox ends at {end}")));
    }
    let mut pending = Pending::default();
    for mut refusal in refused {
        truncate(&mut refusal.why, WHY_MAX);
        // What was refused is written before the progress that leads past it.
        if !pending.has_room(2 * WHY_MAX) {
            *wrote |= pending.apply(ledger)?;
        }
        pending.put(&Key::Refused(sink.clone(), refusal.seq), &refusal);
    }
    if before < progress.acknowledged {
        outbox.progressed(sink, &progress, &mut pending);
    }
    *wrote |= pending.apply(ledger)?;
    Ok(())
}

/// Entries of what a sink refused are done with.
pub(crate) fn drop_refused(
    sink: &SinkName,
    seqs: &[Seq],
    ledger: &Ledger,
    outbox: &mut Outbox,
    wrote: &mut bool,
) -> Result<(), StoreError> {
    let mut pending = Pending::default();
    outbox.drop_refused(ledger, sink, seqs, &mut pending)?;
    *wrote |= pending.apply(ledger)?;
    Ok(())
}

/// What a sink refused is handed to it once more, oldest first: each event gets a position at the end of the outbox, for this
/// sink alone, in one batch with the end of its refusal. Returns those that were refused by this sink.
pub(crate) fn retry_refused(
    sink: &SinkName,
    mut seqs: Vec<Seq>,
    ledger: &Ledger,
    outbox: &mut Outbox,
    wrote: &mut bool,
) -> Result<Vec<Seq>, StoreError> {
    if outbox.progress_of(sink).is_none() {
        return Err(StoreError::misused(format!("sink {sink} is not registered")));
    }
    seqs.sort_unstable();
    seqs.dedup();
    let mut pending = Pending::default();
    let mut retried = Vec::new();
    for seq in seqs {
        if ledger.get::<Refusal>(&Key::Refused(sink.clone(), seq))?.is_none() {
            continue;
        }
        let Some(entry) = ledger.get::<Entry>(&Key::Event(seq))? else { continue };
        let entry = Entry { only: Some(sink.clone()), ..entry };
        let to = outbox.totals.end.next();
        body::copy(seq, to, &entry, ledger, &mut pending)?;
        outbox.add(to, &entry);
        outbox.totals.end = to;
        pending.put(&Key::Totals, &outbox.totals);
        outbox.drop_refused(ledger, sink, &[seq], &mut pending)?;
        retried.push(seq);
    }
    *wrote |= pending.apply(ledger)?;
    Ok(retried)
}
