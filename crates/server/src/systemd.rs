//! What systemd is told, when it asked to be told: ready, stopping, still alive.

use sd_notify::NotifyState;
use tokio::task::AbortHandle;

/// Tells systemd that requests are answered now.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Tells systemd that the end has begun.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Says twice in each watchdog period that tasks still run; `None` when systemd does not watch.
pub(crate) fn watch() -> Option<AbortHandle> {
    let period = sd_notify::watchdog_enabled()? / 2;
    let task = tokio::spawn(async move {
        loop {
            tokio::time::sleep(period).await;
            notify(&[NotifyState::Watchdog]);
        }
    });
    Some(task.abort_handle())
}

fn notify(state: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET nobody asked, and that is no error; with it, a failure only means that systemd waits.
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "could not notify systemd");
    }
}
