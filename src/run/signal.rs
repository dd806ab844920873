//! Signals: SIGTERM and SIGINT stop, a second one stops at once, SIGHUP opens files anew.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Exit code of a process that a second signal ended: 128 and SIGINT.
const IMPATIENT: i32 = 130;

/// Listens until the first signal to stop, and in the background for the one after that.
pub(crate) async fn listen(stop: CancellationToken, reopen: watch::Sender<u64>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                tracing::info!("opening the files of the sinks anew");
                reopen.send_modify(|count| *count += 1);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping: what is in the air is finished first; once more to stop at once");
    stop.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::warn!("stopped at once; what was in the air is sent again at the next start");
    std::process::exit(IMPATIENT)
}
