//! What happens when something is full, or much happens at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use ams_core::engine::{Engine, EngineError, Key, Outcome, PageLimit, TransactError, Transaction, Write};
use ams_core::seq::Seq;
use ams_engine::{Options, SqliteEngine};
use tempfile::TempDir;

use crate::support::{append, draft, read, room, start_append, unflushed};

#[tokio::test]
async fn a_full_queue_answers_busy_and_takes_more_once_it_is_empty() {
    let dir = TempDir::new().unwrap();
    let options = Options { queue_appends_max: 3, ..unflushed() };
    let (engine, one) = (SqliteEngine::open(dir.path(), options).unwrap(), room("one"));
    // The committer stands still inside this completion until the test lets it go.
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let hold = Box::new(move |_| {
        entered.send(()).unwrap();
        released.recv().unwrap();
    });
    engine.append(&one, vec![draft(None, "first")], hold);
    inside.recv().unwrap();
    let waiting: Vec<_> = (0..3).map(|_| start_append(&engine, &one, vec![draft(None, "x")])).collect();
    let refused = start_append(&engine, &one, vec![draft(None, "too many")]).await.unwrap();
    assert!(matches!(refused, Err(EngineError::Busy)), "{refused:?}");
    assert!(matches!(engine.remove(&one).await, Err(EngineError::Busy)));
    release.send(()).unwrap();
    for (outcome, number) in waiting.into_iter().zip(2..) {
        assert_eq!(outcome.await.unwrap().unwrap(), [Outcome::Stored(Seq::new(number))]);
    }
    assert_eq!(append(&engine, &one, None, "more").await, Outcome::Stored(Seq::new(5)));
    assert_eq!(engine.stats().busy, 1);
    engine.close().await;
}

#[tokio::test]
async fn a_completion_that_panics_takes_nobody_with_it() {
    let dir = TempDir::new().unwrap();
    let (engine, one) = (SqliteEngine::open(dir.path(), unflushed()).unwrap(), room("one"));
    engine.append(&one, vec![draft(None, "first")], Box::new(|_| panic!("on purpose")));
    assert_eq!(append(&engine, &one, None, "second").await, Outcome::Stored(Seq::new(2)));
    engine.close().await;
}

#[tokio::test]
async fn an_append_beyond_all_measure_is_refused_alone() {
    let dir = TempDir::new().unwrap();
    let options = Options { append_bytes_max: 1_000, ..unflushed() };
    let (engine, one) = (SqliteEngine::open(dir.path(), options).unwrap(), room("one"));
    let refused = start_append(&engine, &one, vec![draft(None, &"x".repeat(2_000))]).await.unwrap();
    assert!(matches!(refused, Err(EngineError::Storage(_))), "{refused:?}");
    assert_eq!(append(&engine, &one, None, "small").await, Outcome::Stored(Seq::FIRST));
    engine.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_appends_while_reads_go_on_and_recovers() {
    let dir = TempDir::new().unwrap();
    let options = Options { journal_bytes_max: 200_000, ..unflushed() };
    let (engine, one) = (SqliteEngine::open(dir.path(), options).unwrap(), room("one"));
    let body = "x".repeat(20_000);
    let mut number = 0;
    let refused = loop {
        match start_append(&engine, &one, vec![draft(Some(&format!("k{number}")), &body)]).await.unwrap() {
            Ok(_) => number += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, EngineError::StorageFull), "{refused:?}");
    assert!(5 < number, "{number}");
    assert_eq!(read(&engine, &one).await.len(), number);
    assert_eq!(engine.head(&one).await.unwrap().seq, Seq::new(number as u64));
    assert!(engine.stats().commits_failed != 0);
    let reopened = append(&engine, &one, Some("k0"), &body).await;
    assert_eq!(reopened, Outcome::Duplicate(Seq::FIRST), "repeats need no space");

    engine.flush().await;
    engine.check().await.unwrap();
    let next = append(&engine, &one, Some(&format!("k{number}")), &body).await;
    assert_eq!(next, Outcome::Stored(Seq::new(number as u64 + 1)), "the refused append left its key and number free");
    engine.close().await;
}

#[tokio::test]
async fn shards_that_cannot_be_written_stop_appends_at_a_bound_and_catch_up_later() {
    let dir = TempDir::new().unwrap();
    let options = Options { shards: 1, flush_entries: 5, unflushed_entries_max: 20, ..unflushed() };
    let (engine, one) = (SqliteEngine::open(dir.path(), options).unwrap(), room("one"));
    append(&engine, &one, Some("k"), "first").await;
    engine.flush().await;
    let shard = rusqlite::Connection::open(dir.path().join("log-0.db")).unwrap();
    shard.execute_batch("ALTER TABLE entry RENAME TO hidden").unwrap();
    let mut stored = 1;
    let refused = loop {
        match start_append(&engine, &one, vec![draft(None, "x")]).await.unwrap() {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, EngineError::Storage(_)), "{refused:?}");
    assert_eq!(stored, 21);
    assert!(engine.check().await.is_err());
    let page = engine.read(&one, Seq::new(2), crate::support::ALL).await.unwrap();
    assert_eq!(page.len(), 20);
    assert_eq!(append(&engine, &one, Some("k"), "first").await, Outcome::Duplicate(Seq::FIRST));

    shard.execute_batch("ALTER TABLE hidden RENAME TO entry").unwrap();
    while engine.check().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(append(&engine, &one, None, "x").await, Outcome::Stored(Seq::new(22)));
    assert_eq!(read(&engine, &one).await.len(), 22);
    assert!(engine.stats().flushes_failed != 0);
    engine.close().await;
}

#[tokio::test]
async fn records_that_cannot_be_written_are_refused_and_readiness_comes_back_by_itself() {
    let dir = TempDir::new().unwrap();
    let engine = SqliteEngine::open(dir.path(), unflushed()).unwrap();
    let key = Key::new("test", "a");
    let put =
        |body: &'static str| Transaction { requirements: vec![], writes: vec![Write::Put(key.clone(), body.into())] };
    engine.transact(put("1")).await.unwrap();
    let control = rusqlite::Connection::open(dir.path().join("control.db")).unwrap();
    control.execute_batch("ALTER TABLE record RENAME TO hidden").unwrap();
    assert!(matches!(engine.transact(put("2")).await, Err(TransactError::Engine(EngineError::Storage(_)))));
    control.execute_batch("ALTER TABLE hidden RENAME TO record").unwrap();
    engine.check().await.unwrap();
    assert_eq!(engine.get(&key).await.unwrap().unwrap().body, "1");
    engine.transact(put("2")).await.unwrap();
    assert_eq!(engine.get(&key).await.unwrap().unwrap().body, "2");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_every_entry_once_while_the_flusher_moves_them() {
    const ENTRIES: u64 = 3_000;
    let dir = TempDir::new().unwrap();
    let options = Options { flush_entries: 16, shards: 1, ..unflushed() };
    let engine = Arc::new(SqliteEngine::open(dir.path(), options).unwrap());
    let (one, ended) = (room("one"), Arc::new(AtomicBool::new(false)));
    let reader = |from_start: bool| {
        let (engine, one, ended) = (Arc::clone(&engine), one.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let limit = PageLimit { entries_max: 100, bytes_max: 1 << 20 };
            let mut next = Seq::FIRST;
            while next.get() <= ENTRIES {
                let before = engine.head(&one).await.unwrap().seq;
                let page = engine.read(&one, next, limit).await.unwrap();
                for entry in &page {
                    assert_eq!((entry.seq, &entry.body[..]), (next, next.to_string().as_bytes()));
                    next = next.next();
                }
                // What was durable before the read is in it.
                assert!(page.len() == 100 || before < next, "{before} {next}");
                if from_start && !ended.load(Ordering::Relaxed) {
                    next = Seq::FIRST;
                }
            }
        })
    };
    let readers = [reader(false), reader(true)];
    for number in 1..=ENTRIES {
        append(&engine, &one, None, &number.to_string()).await;
    }
    ended.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(1 < engine.stats().flushes);
    engine.close().await;
}

#[test]
fn nothing_is_taken_from_the_moment_that_close_is_called() {
    let dir = TempDir::new().unwrap();
    let engine = SqliteEngine::open(dir.path(), Options::default()).unwrap();
    drop(engine.close());
    let (done, told) = mpsc::channel();
    engine.append(&room("one"), vec![draft(None, "late")], Box::new(move |result| done.send(result).unwrap()));
    assert!(matches!(told.recv().unwrap(), Err(EngineError::Closed)));
}
