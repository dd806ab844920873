//! Events on standard output, one line each. Best effort: a pipe has no acknowledgement.

use std::io::{self, Write};
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::courier::DeliverError;
use crate::model::names::Seq;
use crate::sink::{OpenError, Outgoing, Settings, Sink};
use crate::transport::blocking::Blocking;

/// What is promised of delivery.
pub(crate) const GUARANTEE: &str = "best effort: an event counts when the operating system took its line; what the reader \
     at the other end of the pipe makes of it is not known";
/// Events and bytes in one call.
pub(crate) const BATCH_LIMIT: (usize, usize) = (100, 1 << 20);
/// How long a reader may take for one batch before it counts as stuck.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A sink of kind `stdout` has no keys of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(Stdout::open(self)))
    }

    fn guarantee(&self) -> &'static str {
        GUARANTEE
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        Some(("kind", "standard output".into()))
    }

    fn batch_limit(&self) -> (usize, usize) {
        BATCH_LIMIT
    }
}

/// Standard output.
#[derive(Debug)]
pub struct Stdout {
    stream: Blocking<io::Stdout>,
}

impl Stdout {
    /// Standard output of this process.
    pub fn open(_config: &Config) -> Self {
        Self { stream: Blocking::new(io::stdout(), WRITE_TIMEOUT) }
    }
}

/// `Ok` means that the operating system took the lines, not that anybody read them.
impl Sink for Stdout {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        let mut lines = Vec::with_capacity(events.iter().map(|event| event.body.len() + 1).sum());
        for event in events {
            lines.extend_from_slice(&event.body);
            lines.push(b'\n');
        }
        let last = events.last().map(Outgoing::reaches);
        Box::pin(async move {
            match self.stream.run(move |stream| stream.write_all(&lines).and_then(|()| stream.flush())).await {
                Ok(Ok(())) => Ok(last),
                Ok(Err(error)) => Err(failure(&error)),
                Err(unfinished) => Err(DeliverError::Retry {
                    why: format!("standard output takes nothing more: {unfinished}; is its reader stuck?"),
                    after: None,
                }),
            }
        })
    }
}

fn failure(error: &io::Error) -> DeliverError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        let why = "nobody reads standard output any more (its pipe is closed); start the reader and the daemon again";
        DeliverError::Pause { why: why.into() }
    } else {
        DeliverError::Retry { why: format!("cannot write to standard output: {error}"), after: None }
    }
}
