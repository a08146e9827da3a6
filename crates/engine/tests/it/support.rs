//! What several tests here need.

use std::path::Path;
use std::sync::Arc;

use ams_core::author::{Author, Proof};
use ams_core::clock::Timestamp;
use ams_core::engine::{Draft, Engine, EngineError, Outcome, PageLimit};
use ams_core::entry::{Entry, Kind};
use ams_core::ids::RoomId;
use ams_core::seq::Seq;
use ams_engine::{OpenError, Options, SqliteEngine};
use tokio::sync::oneshot;

pub(crate) const ALL: PageLimit = PageLimit { entries_max: usize::MAX, bytes_max: usize::MAX };

/// Options under which nothing leaves the journal unless a test asks for it.
pub(crate) fn unflushed() -> Options {
    Options { flush_interval: std::time::Duration::from_secs(3_600), ..Options::default() }
}

pub(crate) fn open(dir: &Path) -> SqliteEngine {
    SqliteEngine::open(dir, Options::default()).unwrap()
}

pub(crate) fn refusal(dir: &Path) -> OpenError {
    SqliteEngine::open(dir, Options::default()).unwrap_err()
}

pub(crate) fn room(name: &str) -> RoomId {
    name.parse().unwrap()
}

pub(crate) fn draft(key: Option<&str>, body: &str) -> Draft {
    let author = Author { account: "acc_ada".into(), proof: Proof::Link, stream: None, claim: None };
    Draft {
        at: Timestamp::from_millis(1),
        author: Arc::new(author),
        key: key.map(|key| key.parse().unwrap()),
        kind: Kind::Token,
        body: body.to_owned().into(),
    }
}

/// Hands a batch over now; what it gives resolves when its fate is known.
pub(crate) fn start_append(
    engine: &SqliteEngine,
    room: &RoomId,
    drafts: Vec<Draft>,
) -> oneshot::Receiver<Result<Vec<Outcome>, EngineError>> {
    let (done, outcome) = oneshot::channel();
    engine.append(room, drafts, Box::new(move |result| drop(done.send(result))));
    outcome
}

pub(crate) async fn append(engine: &SqliteEngine, room: &RoomId, key: Option<&str>, body: &str) -> Outcome {
    start_append(engine, room, vec![draft(key, body)]).await.unwrap().unwrap()[0]
}

pub(crate) async fn read(engine: &SqliteEngine, room: &RoomId) -> Vec<Entry> {
    engine.read(room, Seq::FIRST, ALL).await.unwrap()
}

/// Copies the files of a directory as a crash at this moment would leave them: nothing is closed or moved before.
pub(crate) fn copy_as_it_stands(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        // Shared memory of the write-ahead log means nothing without the process that wrote it.
        if !path.to_string_lossy().ends_with("-shm") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}
