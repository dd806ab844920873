//! What the handles tell the writer, one variant per verb. Plain data and the place for the answer.

use tokio::sync::oneshot;

use crate::core::commit::Committed;
use crate::core::courier::{Progress, Refusal};
use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::quota::QuotaState;
use crate::model::moment::Moment;
use crate::model::names::{Seq, SinkName, TenantKey};
use crate::store::Endpoint;
use crate::store::error::StoreError;
use crate::store::keys::Key;
use crate::store::page::PageBatch;

/// Where the answer goes, once what was told is durable.
pub(crate) type Tell<T> = oneshot::Sender<Result<T, StoreError>>;

/// One verb.
#[derive(Debug)]
pub(crate) enum Command {
    SetPosition { tenant: TenantKey, position: Position, may_go_back: bool, tell: Tell<()> },
    SetQuarantine { tenant: TenantKey, quarantine: Quarantine, tell: Tell<()> },
    CommitPage { batch: PageBatch, tell: Tell<Committed> },
    SetQuota { tenant: TenantKey, endpoint: Endpoint, state: QuotaState, tell: Tell<()> },
    RegisterSinks { names: Vec<SinkName>, tell: Tell<Vec<SinkName>> },
    Acknowledge { sink: SinkName, progress: Progress, refused: Vec<Refusal>, tell: Tell<()> },
    RetryRefused { sink: SinkName, seqs: Vec<Seq>, tell: Tell<Vec<Seq>> },
    DropRefused { sink: SinkName, seqs: Vec<Seq>, tell: Tell<()> },
    Evict { older_than: Moment, after: Option<Key>, tell: Tell<Evicted> },
    Close { tell: Tell<()> },
}

/// A step of an eviction.
#[derive(Debug, Default)]
pub(crate) struct Evicted {
    pub(crate) marks: u64,
    /// Where the next step goes on; none where this was the last.
    pub(crate) after: Option<Key>,
}
