//! What blocks, as files and keys do, beside the runtime: one piece of work at a time, and nobody waits for it for ever. It retries
//! nothing.

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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_that_hangs_is_left_alone_and_nothing_overtakes_it() {
        let (go_on, wait) = mpsc::channel();
        let limit = Duration::from_millis(20);
        let mut list = Blocking::new(Vec::new(), limit);
        let hanging = list.run(move |list: &mut Vec<u8>| {
            list.push(wait.recv().expect("a word"));
        });
        assert_eq!(hanging.await, Err(Unfinished::Late(limit)));
        assert_eq!(list.run(|list| list.push(2)).await, Err(Unfinished::Late(limit)), "it has not begun");
        go_on.send(1).expect("heard");
        list.limit = Duration::from_secs(60);
        assert_eq!(list.run(|list| list.push(3)).await, Ok(()));
        assert_eq!(list.run(|list| list.clone()).await, Ok(vec![1, 3]));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_the_end() {
        let count = Blocking::new(0, Duration::from_secs(60));
        assert_eq!(count.run(|_| assert!(std::hint::black_box(false), "on purpose")).await, Err(Unfinished::Panicked));
        assert_eq!(count.run(|count| *count + 1).await, Ok(1));
    }
}
