//! Ctrl-C, and a request to terminate: a reason to say goodbye.

use crate::failure::{Exit, Failure};

/// Waits until somebody wants the program to stop.
pub(crate) async fn stop() -> Result<Exit, Failure> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => return Ok(Exit::Terminated),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(Exit::Interrupted)
}
