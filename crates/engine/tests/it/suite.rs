//! The suite that every engine passes, against files: once as configured by default, once so small that every limit is
//! met all the time.

use std::sync::Arc;

use ams_core::engine::Engine;
use ams_core::engine::conformance::Subject;
use ams_engine::{Options, SqliteEngine};
use tempfile::TempDir;

struct Files {
    dir: TempDir,
    options: Options,
}

impl Files {
    fn new(options: Options) -> Self {
        Files { dir: TempDir::new().unwrap(), options }
    }
}

impl Subject for Files {
    fn open(&self) -> Arc<dyn Engine> {
        Arc::new(SqliteEngine::open(&self.dir.path().join("data"), self.options.clone()).unwrap())
    }

    fn persists(&self) -> bool {
        true
    }
}

mod as_configured {
    ams_core::engine_conformance!(super::Files::new(ams_engine::Options::default()));
}

mod with_a_flush_after_every_entry {
    fn tiny() -> ams_engine::Options {
        ams_engine::Options {
            shards: 2,
            round_appends_max: 3,
            flush_entries: 1,
            unflushed_entries_max: 2,
            readers: 1,
            record_cache_bytes_max: 200,
            ..ams_engine::Options::default()
        }
    }

    ams_core::engine_conformance!(super::Files::new(tiny()));
}
