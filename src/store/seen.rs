//! The marks of incidents: read one, forget old ones. What they mean is `core::seen`'s business.

use crate::core::seen::Mark;
use crate::model::moment::Moment;
use crate::model::names::Seq;
use crate::store::command::Evicted;
use crate::store::error::StoreError;
use crate::store::keys::{Key, Prefix};
use crate::store::ledger::{Ledger, Pending};
use crate::store::outbox::Outbox;
use crate::store::values::{Damage, Remembered};

/// Marks that one step of an eviction looks at, so that nobody waits long behind it.
const EVICT_STEP: usize = 1000;

/// What is remembered under a key. A mark whose event was lost would keep it from being read again.
pub(crate) fn remembered(ledger: &Ledger, key: &Key, end: Seq) -> Result<Option<Mark>, StoreError> {
    match ledger.get::<Remembered>(key)? {
        Some(Remembered { seq, .. }) if end < seq => {
            Err(Damage { why: format!("event {seq} is remembered as seen, but the outbox ends at {end}") }.into())
        }
        remembered => Ok(remembered.map(|remembered| remembered.mark)),
    }
}

/// The event that a mark was written with.
pub(crate) fn event_of(ledger: &Ledger, key: &Key) -> Result<Option<Seq>, StoreError> {
    Ok(ledger.get::<Remembered>(key)?.map(|remembered| remembered.seq))
}

/// Forgets marks that were last written before a moment, among the next few.
pub(crate) fn evict(
    older_than: Moment,
    after: Option<&Key>,
    ledger: &Ledger,
    outbox: &mut Outbox,
    wrote: &mut bool,
) -> Result<Evicted, StoreError> {
    let mut pending = Pending::default();
    let mut evicted = Evicted::default();
    let mut looked_at = 0;
    for remembered in ledger.scan_after::<Remembered>(Prefix::Seen, after).take(EVICT_STEP) {
        let (key, Remembered { mark, .. }) = remembered?;
        if mark.written < older_than {
            pending.remove(&key);
            evicted.marks += 1;
        }
        looked_at += 1;
        evicted.after = (looked_at == EVICT_STEP).then_some(key);
    }
    if 0 < evicted.marks {
        outbox.totals.seen = outbox.totals.seen.saturating_sub(evicted.marks);
        pending.put(&Key::Totals, &outbox.totals);
    }
    *wrote |= pending.apply(ledger)?;
    Ok(evicted)
}
