//! What a sink asks of the courier by its error, in a word, and why. Include it by `#[path]`; no test is in here.

use xdrelay::core::courier::DeliverError;

/// The kind of an error, and its words: those of all refusals one after the other.
pub(crate) fn why(error: DeliverError) -> (&'static str, String) {
    match error {
        DeliverError::Retry { why, .. } => ("retry", why),
        DeliverError::Pause { why } => ("pause", why),
        DeliverError::Refused(refusals) => ("refused", refusals.into_iter().map(|refusal| refusal.why).collect()),
        DeliverError::RefusedBatch { why } => ("refused batch", why),
    }
}
