//! Watches the loops: one that panics is reported and started again, and never takes another one with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::core::backoff::Backoff;
use crate::run::herald::{Facts, Herald, Topic, Whom};
use crate::store::error::StoreError;

/// First and longest pause before a loop that panicked is started again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The loops of a daemon. Clones are the same loops.
#[derive(Clone)]
pub(crate) struct Loops {
    running: TaskTracker,
    herald: Arc<Herald>,
    /// The first failure, which only the store makes.
    failure: watch::Sender<Option<StoreError>>,
}

impl Loops {
    pub(crate) fn new(herald: Arc<Herald>) -> Self {
        Self { running: TaskTracker::new(), herald, failure: watch::Sender::new(None) }
    }

    /// Runs a loop until it ends of itself. `make` makes it anew after a panic. What is logged in it is of `span`.
    pub(crate) fn spawn<F, R>(&self, who: String, span: Span, stop: CancellationToken, seed: u64, make: F)
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let (failure, herald) = (self.failure.clone(), self.herald.clone());
        self.running.spawn(async move {
            let mut backoff = Backoff::new(PAUSE.0, PAUSE.1, seed);
            loop {
                match tokio::spawn(make().instrument(span.clone())).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => return fail(&failure, error),
                    Err(error) if error.is_cancelled() => return,
                    Err(_) => {
                        let pause = backoff.pause();
                        let facts = Facts { pause_seconds: Some(pause.as_secs_f64()), ..Facts::default() };
                        herald.happened(Whom::Part(&who), Topic::Restarted, 1, &facts);
                        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                            return;
                        }
                    }
                }
            }
        });
    }

    /// Somebody beside the loops has found that the store fails.
    pub(crate) fn fail(&self, error: StoreError) {
        fail(&self.failure, error);
    }

    /// The first failure. Never ends while there is none.
    pub(crate) async fn failed(&self) -> StoreError {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            // The sender is ours.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Until all have ended, or one has failed.
    pub(crate) async fn ended(&self) -> Result<(), StoreError> {
        self.running.close();
        tokio::select! {
            biased;
            error = self.failed() => Err(error),
            () = self.running.wait() => Ok(()),
        }
    }
}

fn fail(failure: &watch::Sender<Option<StoreError>>, error: StoreError) {
    failure.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert(error);
        is_first
    });
}
