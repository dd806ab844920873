//! What systemd wants to hear: ready, stopping, and that every loop makes progress. Without systemd, nothing.

use sd_notify::NotifyState;

use crate::admin::board::Board;

/// The daemon reads and delivers.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] follows. With the time that `Type=notify-reload` asks for (sd_notify(3)).
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(time) => tell(&[NotifyState::Reloading, time]),
        Err(error) => tracing::debug!(%error, "systemd cannot be told of a reload"),
    }
}

/// The daemon is about to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog for as long as no loop is stuck. Never ends where there is one: systemd watches a daemon that stops, too.
pub(crate) async fn feed_watchdog(board: &Board) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(period / 3).await;
        if board.stuck().is_empty() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}
