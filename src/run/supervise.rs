//! Watches the loops: one that panics is reported and started again, and never takes another one with it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::core::backoff::Backoff;
use crate::store::error::StoreError;

/// First and longest pause before a loop that panicked is started again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The loops of a daemon.
#[derive(Default)]
pub(crate) struct Loops {
    set: JoinSet<Result<(), StoreError>>,
}

impl Loops {
    /// Runs a loop until it ends of itself. `make` makes it anew after a panic.
    pub(crate) fn spawn<F, R>(&mut self, who: String, stop: CancellationToken, seed: u64, make: F)
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        self.set.spawn(async move {
            let mut backoff = Backoff::new(PAUSE.0, PAUSE.1, seed);
            loop {
                match tokio::spawn(make()).await {
                    Ok(result) => return result,
                    Err(error) if error.is_cancelled() => return Ok(()),
                    Err(_) => {
                        let pause = backoff.pause();
                        tracing::error!(who, pause = ?pause, "a loop panicked; this is a defect, please report it; it is started again");
                        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                            return Ok(());
                        }
                    }
                }
            }
        });
    }

    /// The end of the next loop that ends; none when all have.
    pub(crate) async fn ended(&mut self) -> Option<Result<(), StoreError>> {
        self.set.join_next().await.map(|joined| joined.unwrap_or(Ok(())))
    }
}
