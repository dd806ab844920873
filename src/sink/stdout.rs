//! Events on standard output, one line each. Best effort: a pipe has no acknowledgement.

use serde::{Deserialize, Serialize};

/// A sink of kind `stdout` has no keys of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}
