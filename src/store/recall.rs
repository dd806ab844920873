//! Reading back for people: what was refused, page by page, what is remembered of one incident. The verbs that change any of
//! it go through the writer.

use crate::core::courier::{Progress, Refusal};
use crate::core::seen::Mark;
use crate::model::names::{IncidentId, Seq, SinkName, TenantKey};
use crate::store::Store;
use crate::store::command::Command;
use crate::store::error::StoreError;
use crate::store::keys::{Key, Prefix};
use crate::store::values::Remembered;

/// Refused events that one command of the writer takes: each may be an incident of megabytes.
const RETRY_STEP: usize = 16;

impl Store {
    /// The sinks that are known here, configured or not.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn sinks(&self) -> Result<Vec<SinkName>, StoreError> {
        self.shared.read(|ledger| {
            let sinks = ledger.scan::<Progress>(Prefix::Progress).filter_map(|pair| match pair {
                Ok((Key::Progress(sink), _)) => Some(Ok(sink)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            });
            sinks.collect()
        })
    }

    /// What a sink refused for good behind a position, oldest first, so many at most.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn refused_after(&self, sink: &SinkName, after: Seq, limit: usize) -> Result<Vec<Refusal>, StoreError> {
        self.shared.read(|ledger| {
            let after = Key::Refused(sink.clone(), after);
            let refused = ledger.scan_after::<Refusal>(Prefix::Refused(sink), Some(&after));
            refused.take(limit).map(|pair| pair.map(|(_, refusal)| refusal)).collect()
        })
    }

    /// How many events a sink refused for good.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn refused_count(&self, sink: &SinkName) -> Result<u64, StoreError> {
        let all = |seq| Key::Refused(sink.clone(), Seq(seq));
        self.shared.read(|ledger| ledger.keys(&all(0), &all(u64::MAX)).try_fold(0, |count, key| key.map(|_| count + 1)))
    }

    /// Why a sink refused an event; none where it did not.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn refusal(&self, sink: &SinkName, seq: Seq) -> Result<Option<Refusal>, StoreError> {
        self.shared.read(|ledger| ledger.get(&Key::Refused(sink.clone(), seq)))
    }

    /// Hands a sink once more what it refused: the same events, byte for byte, for this sink alone and behind everything
    /// that is in the outbox now, in their order. Returns those that it had refused; the others are left alone.
    ///
    /// # Errors
    /// [`StoreError::Misused`] for a sink that is not registered; else as [`state`](Self::state).
    pub async fn retry_refused(&self, sink: &SinkName, mut seqs: Vec<Seq>) -> Result<Vec<Seq>, StoreError> {
        seqs.sort_unstable();
        let mut retried = Vec::with_capacity(seqs.len());
        for seqs in seqs.chunks(RETRY_STEP) {
            let (sink, seqs) = (sink.clone(), seqs.to_vec());
            retried.extend(self.ask(|tell| Command::RetryRefused { sink, seqs, tell }).await?);
        }
        Ok(retried)
    }

    /// What is remembered of an incident; none where nothing is.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn mark(&self, tenant: &TenantKey, incident: &IncidentId) -> Result<Option<Mark>, StoreError> {
        let key = Key::seen(tenant, incident);
        Ok(self.shared.read(|ledger| ledger.get::<Remembered>(&key))?.map(|remembered| remembered.mark))
    }
}
