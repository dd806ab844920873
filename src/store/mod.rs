//! The ledger in sled: cursor, seen marks, outbox, progress and quota state, committed in atomic batches.
