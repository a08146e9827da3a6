//! The data directory: who may open it, and what it refuses.

use ams_core::engine::Engine;
use ams_engine::{OpenError, Options, SqliteEngine};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{open, refusal};

#[tokio::test]
async fn a_second_engine_is_told_who_uses_the_directory() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let engine = open(&data);
    let error = refusal(&data);
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("data") && text.contains("in use by another ams"), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    engine.close().await;
    open(&data).close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_anything() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("some/data");
    let engine = open(&data);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in std::fs::read_dir(&data).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    engine.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_in_every_file() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).close().await;
    for file in ["journal.db", "log-0.db", "control.db"] {
        let path = dir.path().join(file);
        let connection = Connection::open(&path).unwrap();
        connection.execute("INSERT INTO schema_migrations VALUES (99, 'tomorrow')", ()).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(&error, OpenError::NewerSchema { file: found, found: 99, .. } if *found == path), "{error:?}");
        assert!(error.to_string().contains("99"), "{error}");
        connection.execute("DELETE FROM schema_migrations WHERE version = 99", ()).unwrap();
    }
    open(dir.path()).close().await;
}

#[tokio::test]
async fn a_missing_file_is_no_empty_file() {
    for file in ["journal.db", "log-1.db", "control.db"] {
        let dir = TempDir::new().unwrap();
        open(dir.path()).close().await;
        let path = dir.path().join(file);
        std::fs::remove_file(&path).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(&error, OpenError::Missing { file: found } if *found == path), "{error:?}");
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn the_number_of_shards_and_the_epoch_are_fixed_at_creation() {
    let dir = TempDir::new().unwrap();
    let engine = SqliteEngine::open(dir.path(), Options { shards: 2, ..Options::default() }).unwrap();
    let epoch = engine.epoch().to_owned();
    assert_eq!(epoch.len(), 8);
    engine.close().await;
    let engine = SqliteEngine::open(dir.path(), Options { shards: 9, ..Options::default() }).unwrap();
    assert_eq!(engine.epoch(), epoch);
    assert!(dir.path().join("log-1.db").exists() && !dir.path().join("log-2.db").exists());
    engine.close().await;
}

#[tokio::test]
async fn a_damaged_journal_is_refused_rather_than_skipped() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).close().await;
    let journal = Connection::open(dir.path().join("journal.db")).unwrap();
    journal.execute("INSERT INTO j VALUES (1000, x'0102')", ()).unwrap();
    drop(journal);
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("round 1000"), "{error}");
}
