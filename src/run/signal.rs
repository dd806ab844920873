//! Signals: SIGTERM and SIGINT stop, a second one stops at once, SIGHUP opens files anew and reads the configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Exit code of a process that a second signal ended: 128 and SIGINT.
const IMPATIENT: i32 = 130;

/// The signals that mean something to us. From its making on none of them ends the process by itself.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// To be made before anybody can know of this process: a SIGHUP that nobody listens for ends it.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Listens until the first signal to stop, and then for the one after that.
    pub(crate) async fn listen(mut self, stop: CancellationToken, hang_ups: watch::Sender<u64>) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => {
                    tracing::info!("opening the files of the sinks anew");
                    hang_ups.send_modify(|count| *count += 1);
                }
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        tracing::info!("stopping: what is in the air is finished first; once more to stop at once");
        stop.cancel();
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::warn!("stopped at once; what was in the air is sent again at the next start");
        std::process::exit(IMPATIENT)
    }
}
