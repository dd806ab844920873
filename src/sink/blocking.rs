//! What blocks, beside the runtime: one piece of work at a time, and nobody waits for it for ever. It retries nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

/// Something that is worked on with blocking calls.
///
/// Work that was begun goes on to its end, even where its caller was dropped or gave up; what comes after waits for it,
/// so a disk that hangs costs one thread and not one for each attempt.
#[derive(Debug)]
pub(crate) struct Blocking<T> {
    thing: Arc<Mutex<T>>,
    limit: Duration,
}

/// Why work did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfinished {
    /// It took, with what was before it, longer than the limit.
    #[error("no answer within {}s", .0.as_secs())]
    Late(Duration),
    /// It panicked.
    #[error("an internal error, see the log")]
    Panicked,
}

impl<T: Send + 'static> Blocking<T> {
    /// `limit`: how long a caller waits.
    pub(crate) fn new(thing: T, limit: Duration) -> Self {
        Self { thing: Arc::new(Mutex::new(thing)), limit }
    }

    /// Does one piece of work and answers what it answers.
    pub(crate) async fn run<R, F>(&self, work: F) -> Result<R, Unfinished>
    where
        R: Send + 'static,
        F: FnOnce(&mut T) -> R + Send + 'static,
    {
        let thing = self.thing.clone();
        let done = async {
            let mut thing = thing.lock_owned().await;
            tokio::task::spawn_blocking(move || work(&mut thing)).await
        };
        match tokio::time::timeout(self.limit, done).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(Unfinished::Panicked),
            Err(_) => Err(Unfinished::Late(self.limit)),
        }
    }
}
