//! The data directory: what lies where, who may read it, and the lock that keeps a second server out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// Names the files of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Directory { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was acknowledged and is not in a shard yet.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// The logs of one share of the rooms.
    pub(crate) fn shard(&self, number: usize) -> PathBuf {
        self.path.join(format!("log-{number}.db"))
    }

    /// Records, and what is known of the directory itself.
    pub(crate) fn control(&self) -> PathBuf {
        self.path.join("control.db")
    }

    /// The server's peppers, written by the server; the engine only copies it.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path.join("secrets.toml")
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Makes the directory, for its owner alone, unless it is there.
    pub(crate) fn create(&self) -> Result<(), OpenError> {
        create_private(&self.path).map_err(OpenError::io(&self.path))
    }

    /// Keeps every other process out for as long as the returned file lives; the system lets go of it however this
    /// process ends.
    pub(crate) fn lock(&self) -> Result<File, OpenError> {
        let path = self.lock_file();
        let mut file = private_file().read(true).open(&path).map_err(OpenError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                let process = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(OpenError::InUse { dir: self.path.clone(), process });
            }
            Err(fs::TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
        }
        // Only for the message above, so a failure to write it is no failure.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(file)
    }

    /// Every database of the directory with its write-ahead log, in no order.
    pub(crate) fn bytes_on_disk(&self, shards: usize) -> u64 {
        let bases = [self.journal(), self.control()].into_iter().chain((0..shards).map(|number| self.shard(number)));
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        bases.map(|base| size(base.with_extension("db-wal")) + size(base)).sum()
    }
}

/// Options for a file that only its owner may read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a directory and its parents, for its owner alone.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Whether there is nothing in the directory, or no directory.
pub(crate) fn is_vacant(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
