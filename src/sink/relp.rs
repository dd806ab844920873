//! Stand-in: replaced on the branch of its own.

use serde::{Deserialize, Serialize};

use crate::sink::{OpenError, Settings, Sink};

/// The keys of a sink of kind `relp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Err(OpenError { why: "a stand-in".into() })
    }

    fn guarantee(&self) -> &'static str {
        "nothing"
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        None
    }

    fn batch_limit(&self) -> (usize, usize) {
        (100, 1 << 20)
    }
}
