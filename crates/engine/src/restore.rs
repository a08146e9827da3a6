//! Putting a backup in the place of a data directory.

use std::fs;
use std::path::{Path, PathBuf};

use ams_core::clock::{Clock, Entropy};

use crate::backup::{Progress, copy_or_clean, refuse_occupied, shard_count, sibling, sync_parent};
use crate::database::{self, CONTROL};
use crate::directory::{Directory, is_vacant};
use crate::error::OpenError;
use crate::start::{fresh_epoch, set_meta};
use crate::verify::{Verified, verify};

/// What to do when there is a data directory already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Give up.
    Refuse,
    /// Give it another name and keep it.
    MoveAside,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was in the backup, looked through before anything was touched.
    pub verified: Verified,
    /// The new epoch: clients that knew later entries learn from it that the logs are not those they saw.
    pub epoch: String,
    /// Where the directory that was there before is now.
    pub moved_to: Option<PathBuf>,
    /// Whether the backup had the server's secrets. Without them the server needs the same peppers from elsewhere.
    pub secrets: bool,
}

/// Puts a backup in the place of a data directory, under a new epoch. The backup is looked through first and stays as it
/// is; the directory appears only once it is complete.
///
/// # Errors
/// When the backup is not whole, a server uses `data`, something is there and is not to be moved, or the system
/// refuses. Nothing was changed then.
pub fn restore(
    backup: &Path,
    data: &Path,
    existing: Existing,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    mut progress: impl FnMut(&Progress),
) -> Result<Restored, OpenError> {
    let verified = verify(backup, &mut progress)?;
    let (source, target) = (Directory::new(backup), Directory::new(data));
    let occupied = !is_vacant(data).map_err(OpenError::io(data))?;
    // Held to the end, so that no server starts on what is about to be moved.
    let lock = if occupied && target.control().exists() { Some(target.lock()?) } else { None };
    if occupied && (existing == Existing::Refuse || lock.is_none()) {
        // Something that is no data directory is nobody's to move.
        refuse_occupied(data)?;
    }
    let partial = sibling(data, &format!(".restoring-{}", std::process::id()))?;
    let shards = shard_count(&source)?;
    let secrets = copy_or_clean(&source, shards, &partial, &mut progress)?;
    let epoch = fresh_epoch(entropy);
    let control = Directory::new(&partial).control();
    let renamed = || -> Result<Option<PathBuf>, OpenError> {
        {
            let connection = database::connect(&control, &CONTROL).map_err(OpenError::sqlite(&control))?;
            set_meta(&connection, "epoch", &epoch).map_err(OpenError::sqlite(&control))?;
        }
        let moved_to = if occupied { Some(move_aside(data, clock)?) } else { None };
        if let Err(error) = fs::rename(&partial, data) {
            if let Some(moved_to) = &moved_to {
                // As it was before; should this fail too, the error below names the directory to look beside.
                let _ = fs::rename(moved_to, data);
            }
            return Err(OpenError::io(data)(error));
        }
        Ok(moved_to)
    };
    let moved_to = renamed().inspect_err(|_| drop(fs::remove_dir_all(&partial)))?;
    sync_parent(data)?;
    drop(lock);
    Ok(Restored { verified, epoch, moved_to, secrets })
}

fn move_aside(data: &Path, clock: &dyn Clock) -> Result<PathBuf, OpenError> {
    let now = clock.now().to_string().replace([':', '.'], "-");
    let aside = sibling(data, &format!(".before-{now}"))?;
    fs::rename(data, &aside).map_err(OpenError::io(data))?;
    Ok(aside)
}
