//! Sentences about records, and about the end.

use bytes::Bytes;

use super::*;
use crate::engine::{Key, Record, Requirement, TransactError, Transaction, Write};

const KIND: &str = "suite.thing";

fn key(name: &str) -> Key {
    Key::new(KIND, name)
}

fn put(name: &str, body: &str) -> Write {
    Write::Put(key(name), Bytes::copy_from_slice(body.as_bytes()))
}

fn writes(writes: impl IntoIterator<Item = Write>) -> Transaction {
    Transaction { requirements: Vec::new(), writes: writes.into_iter().collect() }
}

async fn get(engine: &dyn Engine, name: &str) -> Option<(u64, Bytes)> {
    let record = engine.get(&key(name)).await.expect("the engine reads");
    record.map(|Record { key, revision, body }| {
        assert_eq!((key.kind, &*key.name), (KIND, name));
        (revision, body)
    })
}

async fn scan(engine: &dyn Engine, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let records = engine.scan(KIND, prefix, after, limit).await.expect("the engine reads");
    records.into_iter().map(|record| record.key.name.into()).collect()
}

/// One unmet requirement, and nothing of the transaction happens; the first one that does not hold is named.
pub async fn a_transaction_is_applied_whole_or_not_at_all(subject: &dyn Subject) {
    let engine = subject.open();
    let first = writes([put("a", "1"), put("b", "1")]).absent(key("a"));
    engine.transact(first.clone()).await.expect("nothing stands against it");
    assert_eq!(get(&*engine, "a").await, Some((1, "1".into())));

    let Err(TransactError::Unmet(unmet)) = engine.transact(first).await else { panic!("there is an a by now") };
    assert_eq!(unmet, Requirement::Absent(key("a")));
    let stale = writes([put("a", "2"), Write::Delete(key("b")), put("c", "2")]);
    for unmet in [Requirement::Revision(key("b"), 2), Requirement::Revision(key("none"), 1)] {
        let mut transaction = stale.clone().unchanged(key("a"), 1);
        transaction.requirements.push(unmet.clone());
        let Err(TransactError::Unmet(found)) = engine.transact(transaction).await else {
            panic!("{unmet:?} is not met")
        };
        assert_eq!(found, unmet);
    }
    assert_eq!(get(&*engine, "a").await, Some((1, "1".into())));
    assert_eq!(get(&*engine, "c").await, None);

    engine.transact(stale.unchanged(key("a"), 1)).await.expect("all of it holds");
    assert_eq!(get(&*engine, "a").await, Some((2, "2".into())));
    assert_eq!(get(&*engine, "b").await, None);
    assert_eq!(get(&*engine, "c").await, Some((1, "2".into())));
    engine.transact(Transaction::default()).await.expect("nothing to do is no error");
    engine.close().await;
}

/// Every put is one more, in one transaction or in several; a record that was deleted begins again.
pub async fn revisions_count_the_changes_of_a_record(subject: &dyn Subject) {
    let engine = subject.open();
    for revision in 1..5 {
        engine.transact(writes([put("a", "same")])).await.expect("written");
        assert_eq!(get(&*engine, "a").await, Some((revision, "same".into())));
    }
    engine.transact(writes([put("a", "x"), put("a", "y")])).await.expect("written");
    assert_eq!(get(&*engine, "a").await, Some((6, "y".into())));
    engine.transact(writes([Write::Delete(key("a")), Write::Delete(key("a"))])).await.expect("written");
    assert_eq!(get(&*engine, "a").await, None);
    engine.transact(writes([put("a", "z")]).absent(key("a"))).await.expect("written");
    assert_eq!(get(&*engine, "a").await, Some((1, "z".into())));
    engine.close().await;
}

/// Names sort by their bytes; kinds do not mix.
pub async fn a_scan_gives_names_in_order_after_a_name_up_to_a_limit(subject: &dyn Subject) {
    let engine = subject.open();
    let names =
        ["", "a", "a/", "a/1", "a/10", "a/2", "a0", "a\u{d7ff}x", "a\u{ffff}", "a\u{10ffff}", "a\u{10ffff}z", "b"];
    engine.transact(writes(names.iter().rev().map(|name| put(name, "{}")))).await.expect("written");
    let other = Write::Put(Key::new("suite.other", "a/3"), "{}".into());
    engine.transact(writes([other])).await.expect("written");

    assert_eq!(scan(&*engine, "", None, 100).await, names);
    assert_eq!(scan(&*engine, "a", None, 100).await, names[1..11]);
    assert_eq!(scan(&*engine, "a/", None, 100).await, ["a/", "a/1", "a/10", "a/2"]);
    assert_eq!(scan(&*engine, "a/", None, 2).await, ["a/", "a/1"]);
    assert_eq!(scan(&*engine, "a/", Some("a/1"), 2).await, ["a/10", "a/2"]);
    assert_eq!(scan(&*engine, "a/", Some("a/1x"), 9).await, ["a/2"]);
    assert_eq!(scan(&*engine, "a/", Some("Z"), 1).await, ["a/"]);
    assert_eq!(scan(&*engine, "a\u{10ffff}", None, 9).await, ["a\u{10ffff}", "a\u{10ffff}z"]);
    assert_eq!(scan(&*engine, "a/", Some("b"), 9).await, [""; 0]);
    assert_eq!(scan(&*engine, "zzz", None, 9).await, [""; 0]);
    engine.close().await;
}

/// An engine that persists finds its records again, with their revisions.
pub async fn records_are_found_after_a_reopen(subject: &dyn Subject) {
    if !subject.persists() {
        return;
    }
    let engine = subject.open();
    engine.transact(writes([put("a", "1"), put("a", "2"), put("b", "1")])).await.expect("written");
    engine.transact(writes([Write::Delete(key("b"))])).await.expect("written");
    engine.close().await;
    let engine = subject.open();
    assert_eq!(get(&*engine, "a").await, Some((2, "2".into())));
    assert_eq!(get(&*engine, "b").await, None);
    engine.close().await;
}

/// Many count in one record, each by reading and requiring what was read: no count is lost.
pub async fn concurrent_transactions_lose_no_update(subject: &dyn Subject) {
    const WRITERS: u64 = 6;
    const COUNTS: u64 = 10;
    let engine = subject.open();
    let writer = |_| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            let mut counted = 0;
            while counted < COUNTS {
                let known = get(&*engine, "count").await;
                let count = known.as_ref().map_or(0, |(_, body)| String::from_utf8_lossy(body).parse().unwrap_or(0));
                let next = writes([put("count", &(count + 1u64).to_string())]);
                let next = match known {
                    Some((revision, _)) => next.unchanged(key("count"), revision),
                    None => next.absent(key("count")),
                };
                match engine.transact(next).await {
                    Ok(()) => counted += 1,
                    Err(TransactError::Unmet(_)) => {}
                    Err(TransactError::Engine(error)) => panic!("{error}"),
                }
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    for writer in writers {
        writer.await.expect("a writer ends well");
    }
    let total = WRITERS * COUNTS;
    assert_eq!(get(&*engine, "count").await, Some((total, total.to_string().into())));
    engine.close().await;
}

/// Closing stores what waits; what comes after is refused, and closing again is no error.
pub async fn a_closed_engine_refuses_writes(subject: &dyn Subject) {
    let (engine, ada, one) = (subject.open(), author("ada", None), room("one"));
    engine.check().await.expect("an open engine is ready");
    let waiting: Vec<_> = (0..20).map(|_| start_append(&*engine, &one, vec![draft(&ada, None, "x")])).collect();
    engine.close().await;
    for (outcome, number) in waiting.into_iter().zip(1..) {
        assert_eq!(outcome.await.expect("what waited is stored"), stored([number]));
    }
    engine.close().await;
    let refused = start_append(&*engine, &one, vec![draft(&ada, None, "late")]).await;
    assert!(matches!(refused, Err(EngineError::Closed)), "{refused:?}");
    let refused = engine.transact(writes([put("a", "late")])).await;
    assert!(matches!(refused, Err(TransactError::Engine(EngineError::Closed))), "{refused:?}");
    assert!(matches!(engine.remove(&one).await, Err(EngineError::Closed)));
    assert!(matches!(engine.check().await, Err(EngineError::Closed)));
    if subject.persists() {
        let engine = subject.open();
        assert_eq!(head(&*engine, &one).await, 20);
        engine.close().await;
    }
}
