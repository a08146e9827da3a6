//! A copy of a data directory, taken while the server runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup as Copying, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::database;
use crate::directory::{self, Directory, create_private, is_vacant, private_file, sync_names};
use crate::error::OpenError;
use crate::start::get_meta;

/// Pages that are copied between two calls of the progress function.
const STEP_PAGES: i32 = 1_024;
/// How long to wait when another process holds a lock for a moment.
const LOCKED_PAUSE: Duration = Duration::from_millis(10);

/// How far a backup, a restore or a verification is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The file that is worked on.
    pub file: PathBuf,
    /// Pages of it that are done.
    pub done: u64,
    /// Pages it has, as far as is known.
    pub total: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of its databases.
    pub bytes: u64,
    /// Whether the server's secrets are in it: then whoever has the backup has them too. Without them, a restored server
    /// needs the same peppers from its configuration, or nobody's credentials and links work.
    pub secrets: bool,
}

/// Copies a data directory into `to`, which must not exist or be empty. The server may run and write meanwhile:
/// everything that it acknowledged before this call is in the copy, and some of what it acknowledged during it.
///
/// The copy is a data directory itself. It appears under its name only once it is complete, and only its owner may read
/// it. While a file is copied its write-ahead log grows, since it keeps what the copy still reads.
///
/// # Errors
/// When `data` is no data directory, `to` is occupied, or the system refuses; then there is no `to`.
pub fn backup(data: &Path, to: &Path, mut progress: impl FnMut(&Progress)) -> Result<Backup, OpenError> {
    let source = Directory::new(data);
    let shards = shard_count(&source)?;
    refuse_occupied(to)?;
    let partial = sibling(to, &format!(".partial-{}", std::process::id()))?;
    let secrets = copy_or_clean(&source, shards, &partial, &mut progress)?;
    fs::rename(&partial, to).map_err(OpenError::io(to))?;
    sync_parent(to)?;
    Ok(Backup { path: to.to_owned(), bytes: Directory::new(to).bytes_on_disk(shards), secrets })
}

/// Copies everything into a directory that nobody else knows; leaves nothing behind after a failure.
pub(crate) fn copy_or_clean(
    source: &Directory,
    shards: usize,
    to: &Path,
    progress: &mut dyn FnMut(&Progress),
) -> Result<bool, OpenError> {
    let copied = copy(source, shards, &Directory::new(to), progress);
    if copied.is_err() {
        // The failure itself is what matters; what is left has a name that says what it is.
        let _ = fs::remove_dir_all(to);
    }
    copied
}

fn copy(
    source: &Directory,
    shards: usize,
    to: &Directory,
    progress: &mut dyn FnMut(&Progress),
) -> Result<bool, OpenError> {
    create_private(to.path()).map_err(OpenError::io(to.path()))?;
    // The journal first: what leaves it while it is copied is in a shard by then, and the shards come after.
    copy_database(&source.journal(), &to.journal(), progress)?;
    for number in 0..shards {
        copy_database(&source.shard(number), &to.shard(number), progress)?;
    }
    copy_database(&source.control(), &to.control(), progress)?;
    let secrets = copy_secrets(&source.secrets(), &to.secrets())?;
    sync_names(to.path()).map_err(OpenError::io(to.path()))?;
    Ok(secrets)
}

fn copy_secrets(from: &Path, to: &Path) -> Result<bool, OpenError> {
    let mut source = match fs::File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(OpenError::io(from)(error)),
    };
    let mut target = private_file().open(to).map_err(OpenError::io(to))?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(OpenError::io(to))?;
    Ok(true)
}

fn copy_database(from: &Path, to: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<(), OpenError> {
    let source = open_source(from)?;
    private_file().open(to).map_err(OpenError::io(to))?;
    let mut copied = || -> rusqlite::Result<()> {
        // One snapshot for the whole file: without it, every commit of the server would make the copy begin again.
        source.execute_batch("BEGIN")?;
        source.query_row("SELECT COUNT(*) FROM sqlite_schema", (), |_| Ok(()))?;
        let mut target = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let copying = Copying::new(&source, &mut target)?;
        loop {
            let step = copying.step(STEP_PAGES)?;
            let pages = copying.progress();
            let number = |pages: i32| u64::try_from(pages).unwrap_or_default();
            let (total, left) = (number(pages.pagecount), number(pages.remaining));
            progress(&Progress { file: from.to_owned(), done: total.saturating_sub(left), total });
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::park_timeout(LOCKED_PAUSE),
            }
        }
        drop(copying);
        // Without a write-ahead log a copy can be read from any medium, also one that cannot be written.
        target.query_row("PRAGMA journal_mode=DELETE", (), |_| Ok(()))
    };
    copied().map_err(OpenError::sqlite(from))?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(OpenError::io(to))
}

/// Opens a file that a server may be using at this moment, to read it.
pub(crate) fn open_source(path: &Path) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing { file: path.to_owned() });
    }
    let open = || -> rusqlite::Result<Connection> {
        // A reader of a write-ahead log takes part in its locks, which are in a file that it must be able to write.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.execute_batch("PRAGMA busy_timeout=5000; PRAGMA query_only=ON;")?;
        Ok(connection)
    };
    open().map_err(OpenError::sqlite(path))
}

/// How many shards a directory has; an error if it is none, or one that was never completed.
pub(crate) fn shard_count(directory: &Directory) -> Result<usize, OpenError> {
    let path = directory.control();
    if !path.exists() {
        return Err(OpenError::NotData { dir: directory.path().to_owned() });
    }
    let control = open_source(&path)?;
    let read = || -> rusqlite::Result<Option<usize>> {
        if database::version(&control)? == 0 || get_meta(&control, "state")?.is_none() {
            return Ok(None);
        }
        Ok(get_meta(&control, "shards")?.and_then(|count| count.parse().ok()))
    };
    let count = read().map_err(OpenError::sqlite(&path))?;
    count.ok_or_else(|| OpenError::NotData { dir: directory.path().to_owned() })
}

/// An error when something is there already.
pub(crate) fn refuse_occupied(path: &Path) -> Result<(), OpenError> {
    match is_vacant(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Occupied { path: path.to_owned() }),
        Err(error) => Err(OpenError::io(path)(error)),
    }
}

/// A path beside another one, with a longer name.
pub(crate) fn sibling(path: &Path, suffix: &str) -> Result<PathBuf, OpenError> {
    let nameless = || OpenError::io(path)(io::Error::new(io::ErrorKind::InvalidInput, "the path has no name"));
    let mut name = path.file_name().ok_or_else(nameless)?.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}

/// Makes the name of a path durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    directory::sync_names(parent).map_err(OpenError::io(parent))
}
