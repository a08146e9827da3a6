//! Copying a data directory while a server runs, and putting a copy back.
//!
//! These work on the directory, not through a running server: a backup beside one, a restore only without one.

use std::path::Path;

use ams_core::clock::{SystemClock, SystemEntropy};

pub use ams_engine::{Backup, Existing, OpenError, Progress, Restored, Verified, backup, verify};

/// Puts a backup in the place of a data directory; see [`ams_engine::restore`].
///
/// # Errors
/// When the backup is not whole, a server uses `data`, something is there and is not to be moved, or the system
/// refuses. Nothing was changed then.
pub fn restore(
    backup: &Path,
    data: &Path,
    existing: Existing,
    progress: impl FnMut(&Progress),
) -> Result<Restored, OpenError> {
    ams_engine::restore(backup, data, existing, &SystemClock, &SystemEntropy, progress)
}
