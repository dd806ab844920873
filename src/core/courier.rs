//! Sends one sink's part of the outbox on and reckons how far it got. Policy of delivery is here and nowhere else: batches,
//! retries, pauses, bisection. Sinks never retry.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::names::Seq;

/// What is durable of a sink: how far it got, and what it refused on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Everything up to here is at the far side, was refused for good, or is not for this sink.
    pub acknowledged: Seq,
}

/// One event a sink refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which.
    pub seq: Seq,
    /// The sink's words.
    pub why: String,
}

/// What a failed delivery asks of the courier. `why` is for people and names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// Transient: everything that is not acknowledged is sent again, for ever, with backoff.
    #[error("{why}")]
    Retry {
        /// The cause.
        why: String,
        /// What the far side asked for, `Retry-After`.
        after: Option<Duration>,
    },
    /// Credentials or configuration: keep everything, say so loudly, try again slowly.
    #[error("{why}")]
    Pause {
        /// The cause and the remedy.
        why: String,
    },
    /// These events, for good. Whatever else was in the batch and is not acknowledged is sent again without them.
    #[error("{} events refused for good, the first because {}", .0.len(), .0.first().map_or("", |refusal| refusal.why.as_str()))]
    Refused(Vec<Refusal>),
    /// The batch, for good, and nobody says which event: the courier sends smaller ones until it knows.
    #[error("{why}")]
    RefusedBatch {
        /// The far side's words.
        why: String,
    },
}
