//! Stand-in: replaced on the branch of its own.
