//! Backups, and what they are for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ams_core::clock::{CountingEntropy, ManualClock, Timestamp};
use ams_core::engine::{Engine, Key, Outcome, Transaction, Write};
use ams_core::seq::Seq;
use ams_engine::{Existing, OpenError, Options, SqliteEngine, backup, restore, verify};
use tempfile::TempDir;

use crate::support::{append, open, read, room, unflushed};

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_millis(1_777_744_800_123))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_all_that_was_acknowledged_before_it_began() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let options = Options { flush_entries: 32, shards: 3, ..Options::default() };
    let engine = Arc::new(SqliteEngine::open(&data, options).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let (engine, stop, room) = (Arc::clone(&engine), Arc::clone(&stop), room(&format!("room-{writer}")));
            tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    append(&engine, &room, Some(&number.to_string()), &number.to_string()).await;
                    if number % 50 == 0 && writer == 5 {
                        engine.remove(&room).await.unwrap();
                        number = 0;
                    }
                }
            })
        })
        .collect();
    for round in 0..4 {
        let goal = 300 * (round + 1);
        while engine.stats().entries < goal {
            tokio::task::yield_now().await;
        }
        let mut before = Vec::new();
        for writer in 0..5 {
            before.push(engine.head(&room(&format!("room-{writer}"))).await.unwrap().seq);
        }
        let name = Key::new("test.round", "round");
        let write = Write::Put(name.clone(), round.to_string().into());
        engine.transact(Transaction { requirements: vec![], writes: vec![write] }).await.unwrap();
        let to = dir.path().join(format!("backup-{round}"));
        let (from, target) = (data.clone(), to.clone());
        tokio::task::spawn_blocking(move || backup(&from, &target, |_| {})).await.unwrap().unwrap();

        let checked = verify(&to, |_| {}).unwrap();
        let copy = open(&to);
        assert_eq!(copy.stats().recovered, checked.in_journal);
        for (writer, head) in before.into_iter().enumerate() {
            let entries = read(&copy, &room(&format!("room-{writer}"))).await;
            assert!(head.get() <= entries.len() as u64);
            assert!(entries.iter().zip(1..).all(|(entry, number)| entry.seq.get() == number));
        }
        let record = copy.get(&name).await.unwrap().unwrap();
        assert_eq!(record.body, round.to_string());
        // The copy goes on by itself, with every key it knows.
        let again = append(&copy, &room("room-0"), Some("1"), "1").await;
        assert_eq!(again, Outcome::Duplicate(Seq::FIRST));
        let head = copy.head(&room("room-1")).await.unwrap().seq;
        assert_eq!(append(&copy, &room("room-1"), None, "on").await, Outcome::Stored(head.next()));
        copy.close().await;
        let copy = open(&to);
        assert_eq!(copy.head(&room("room-1")).await.unwrap().seq, head.next());
        copy.close().await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    engine.close().await;
}

#[tokio::test]
async fn a_backup_refuses_what_is_no_data_directory_and_a_place_that_is_taken() {
    let dir = TempDir::new().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("to"));
    let error = backup(&data, &to, |_| {}).unwrap_err();
    assert!(matches!(error, OpenError::NotData { .. }), "{error:?}");
    open(&data).close().await;
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("precious"), "x").unwrap();
    let error = backup(&data, &to, |_| {}).unwrap_err();
    assert!(matches!(error, OpenError::Occupied { .. }), "{error:?}");
    std::fs::remove_file(to.join("precious")).unwrap();
    let made = backup(&data, &to, |_| {}).unwrap();
    assert!(!made.secrets);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
}

#[tokio::test]
async fn a_restore_brings_back_the_entries_the_records_and_the_secrets_under_a_new_epoch() {
    let dir = TempDir::new().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let (engine, one) = (SqliteEngine::open(&data, unflushed()).unwrap(), room("one"));
    std::fs::write(data.join("secrets.toml"), "pepper").unwrap();
    append(&engine, &one, None, "kept").await;
    let mut files = Vec::new();
    let made = backup(&data, &copy, |progress| files.push(progress.file.clone())).unwrap();
    assert!(made.secrets && made.bytes != 0);
    assert!(files.first().unwrap().ends_with("journal.db") && files.last().unwrap().ends_with("control.db"));
    append(&engine, &one, None, "lost").await;

    let attempt = |existing| restore(&copy, &data, existing, &clock(), &CountingEntropy::default(), |_| {});
    let error = attempt(Existing::MoveAside).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let old_epoch = engine.epoch().to_owned();
    engine.close().await;
    let error = attempt(Existing::Refuse).unwrap_err();
    assert!(matches!(error, OpenError::Occupied { .. }), "{error:?}");

    let restored = attempt(Existing::MoveAside).unwrap();
    assert_eq!((restored.verified.in_journal, restored.verified.entries, restored.secrets), (1, 0, true));
    assert_ne!(restored.epoch, old_epoch);
    let engine = open(&data);
    assert_eq!(engine.epoch(), restored.epoch);
    assert_eq!(read(&engine, &one).await.len(), 1);
    assert_eq!(std::fs::read_to_string(data.join("secrets.toml")).unwrap(), "pepper");
    engine.close().await;
    let aside = open(&restored.moved_to.unwrap());
    assert_eq!(read(&aside, &one).await.len(), 2);
    assert_eq!(aside.epoch(), old_epoch);
    aside.close().await;
    assert_eq!(verify(&copy, |_| {}).unwrap().epoch, old_epoch, "the backup stays as it is");

    let fresh = dir.path().join("fresh");
    restore(&copy, &fresh, Existing::Refuse, &clock(), &CountingEntropy::default(), |_| {}).unwrap();
    open(&fresh).close().await;
}

#[tokio::test]
async fn a_damaged_backup_is_found_before_anything_is_touched() {
    let dir = TempDir::new().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let engine = open(&data);
    for number in 0..300 {
        append(&engine, &room(&format!("room-{number}")), None, &"x".repeat(300)).await;
    }
    engine.close().await;
    backup(&data, &copy, |_| {}).unwrap();
    let file = copy.join("log-0.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().take(3_000).for_each(|byte| *byte = 0x55);
    std::fs::write(&file, bytes).unwrap();
    let clock = clock();
    let attempt = restore(&copy, &data, Existing::MoveAside, &clock, &CountingEntropy::default(), |_| {});
    let error = attempt.unwrap_err();
    let named = matches!(&error, OpenError::Damaged { file: found, .. } | OpenError::Sqlite { path: found, .. } if *found == file);
    assert!(named, "{error:?}");
    let engine = open(&data);
    assert_eq!(read(&engine, &room("room-7")).await.len(), 1);
    engine.close().await;
}
