//! What a process leaves that never got to close anything.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ams_core::engine::{Engine, Outcome};
use ams_core::seq::Seq;
use ams_engine::{Options, SqliteEngine};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{append, copy_as_it_stands, draft, open, read, room, start_append, unflushed};

fn rows(file: &Path, table: &str) -> i64 {
    let connection = Connection::open(file).unwrap();
    connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), (), |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_start_moves_what_was_never_flushed_into_the_shards() {
    let dir = TempDir::new().unwrap();
    let (data, crashed) = (dir.path().join("data"), dir.path().join("crashed"));
    let engine = SqliteEngine::open(&data, unflushed()).unwrap();
    let rooms: Vec<_> = (0..10).map(|number| room(&format!("room-{number}"))).collect();
    for number in 0..200 {
        append(&engine, &rooms[number % 10], Some(&format!("k{number}")), &number.to_string()).await;
    }
    assert_eq!(engine.stats().unflushed_entries, 200);
    copy_as_it_stands(&data, &crashed);

    let after = open(&crashed);
    assert_eq!(after.stats().recovered, 200);
    for (number, room) in rooms.iter().enumerate() {
        assert_eq!(read(&after, room).await, read(&engine, room).await);
        let again = append(&after, room, Some(&format!("k{number}")), &number.to_string()).await;
        assert_eq!(again, Outcome::Duplicate(Seq::FIRST));
        let next = append(&after, room, None, "next").await;
        assert_eq!(next, Outcome::Stored(Seq::new(21)));
    }
    after.close().await;
    assert_eq!(rows(&crashed.join("journal.db"), "j"), 0);
    let again = open(&crashed);
    assert_eq!(again.stats().recovered, 0);
    again.close().await;
    engine.close().await;
}

#[tokio::test]
async fn a_crash_between_flush_and_trim_doubles_nothing() {
    let dir = TempDir::new().unwrap();
    let (data, crashed) = (dir.path().join("data"), dir.path().join("crashed"));
    let (engine, one) = (SqliteEngine::open(&data, unflushed()).unwrap(), room("one"));
    for number in 0..20 {
        append(&engine, &one, None, &number.to_string()).await;
    }
    engine.flush().await;
    assert_eq!(engine.stats().unflushed_entries, 0);
    copy_as_it_stands(&data, &crashed);
    assert_eq!(rows(&crashed.join("journal.db"), "j"), 20);
    // Rounds that the journal forgot must not be numbered again: the shard would take them for flushed.
    Connection::open(crashed.join("journal.db")).unwrap().execute("DELETE FROM j", ()).unwrap();

    for round in 0..3u64 {
        let after = open(&crashed);
        assert_eq!(after.stats().recovered, 0);
        assert_eq!(append(&after, &one, None, "next").await, Outcome::Stored(Seq::new(21 + round)));
        assert_eq!(read(&after, &one).await.len() as u64, 21 + round);
        after.close().await;
    }
    engine.close().await;
}

#[tokio::test]
async fn a_removal_survives_a_crash_before_it_is_purged() {
    let dir = TempDir::new().unwrap();
    let (data, crashed) = (dir.path().join("data"), dir.path().join("crashed"));
    let (engine, one) = (SqliteEngine::open(&data, Options { shards: 1, ..unflushed() }).unwrap(), room("one"));
    let many = (0..12_000).map(|_| draft(None, "old")).collect();
    start_append(&engine, &one, many).await.unwrap().unwrap();
    engine.flush().await;
    engine.remove(&one).await.unwrap();
    append(&engine, &one, None, "new").await;
    copy_as_it_stands(&data, &crashed);
    // The new entry may have been filed already, and the purge of the old ones begun; it cannot be through.
    assert!(1 < rows(&crashed.join("log-0.db"), "entry"), "the crash has to come before the purge is through");

    let after = open(&crashed);
    assert_eq!(read(&after, &one).await.len(), 1);
    // The purge goes on in the background.
    while rows(&crashed.join("log-0.db"), "room") != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rows(&crashed.join("log-0.db"), "entry"), 1);
    assert_eq!(read(&after, &one).await.len(), 1);
    after.close().await;
    engine.close().await;
}

const CHILD: &str = "AMS_ENGINE_TEST_DIR";

/// Not a test by itself: writes until it is killed, and says what was acknowledged.
#[tokio::test]
#[ignore = "is started by the test below"]
async fn child_that_writes_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let options = Options { flush_entries: 64, shards: 2, ..Options::default() };
    let engine = Arc::new(SqliteEngine::open(Path::new(&dir), options).unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|writer| {
            let (engine, room) = (Arc::clone(&engine), room(&format!("room-{}", writer % 3)));
            tokio::spawn(async move {
                for number in 0.. {
                    let key = format!("{}-{writer}-{number}", std::process::id());
                    let Outcome::Stored(seq) = append(&engine, &room, Some(&key), &key).await else { panic!("{key}") };
                    let line = format!("ack {room} {seq} {key}\n");
                    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_loses_and_doubles_nothing_that_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for _ in 0..4 {
        let name = "crash::child_that_writes_until_it_is_killed";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--ignored", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        for line in lines {
            let Ok(line) = line else { break };
            if let Some(line) = line.split("ack ").nth(1) {
                let fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
                // The last line of a killed process may be cut short.
                if let [room, seq, key] = &fields[..]
                    && key.split('-').count() == 3
                {
                    acknowledged.push((room.clone(), seq.parse::<u64>().unwrap(), key.clone()));
                }
                heard += 1;
                if heard == 500 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
    }
    assert!(2_000 <= acknowledged.len());
    let engine = open(dir.path());
    for number in 0..3 {
        let one = room(&format!("room-{number}"));
        let entries = read(&engine, &one).await;
        assert!(entries.iter().zip(1..).all(|(entry, number)| entry.seq.get() == number));
        let mut keys: Vec<_> = entries.iter().map(|entry| entry.key.clone().unwrap()).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), entries.len());
        for (_, seq, key) in acknowledged.iter().filter(|(room, ..)| *room == one.as_str()) {
            let entry = &entries[usize::try_from(*seq).unwrap() - 1];
            // The very last line may have lost digits of its key; it is still the beginning of the right one.
            assert!(entry.key.as_ref().unwrap().as_str().starts_with(key.as_str()), "{entry:?} {key}");
        }
    }
    engine.close().await;
}
