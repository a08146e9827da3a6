//! What can go wrong with a data directory, and how SQLite's errors become the engine's.

use std::io;
use std::path::{Path, PathBuf};

use ams_core::engine::EngineError;

/// Why a data directory could not be opened, copied or put back.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error("the data directory {} is in use by another ams{}", dir.display(), process_text(*process))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that took the lock, as far as it can be told.
        process: Option<u32>,
    },
    /// A later version of this program wrote it.
    #[error(
        "{} has schema version {found}, but this ams knows versions up to {known}: use the ams that wrote it, or a later one",
        file.display()
    )]
    NewerSchema {
        /// The file.
        file: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A file that belongs to the directory is not there. Going on without it would lose what it held.
    #[error("{} is missing from the data directory; put it back, or restore a backup", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The path is not a data directory of this program.
    #[error("{} is not an ams data directory", dir.display())]
    NotData {
        /// The path.
        dir: PathBuf,
    },
    /// What is stored cannot be read.
    #[error("{} is damaged: {what}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// There is something where the result should go.
    #[error("{} exists and is not empty", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Its answer.
        source: rusqlite::Error,
    },
}

fn process_text(process: Option<u32>) -> String {
    process.map(|id| format!(" (process {id})")).unwrap_or_default()
}

impl OpenError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
        move |source| OpenError::Io { path: path.to_owned(), source }
    }

    pub(crate) fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> OpenError {
        move |source| OpenError::Sqlite { path: path.to_owned(), source }
    }
}

/// What an error of SQLite means to those above.
pub(crate) fn storage(error: rusqlite::Error) -> EngineError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => EngineError::StorageFull,
        _ => EngineError::storage(error),
    }
}

/// Stored bytes do not have the form this program gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are not readable: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);
