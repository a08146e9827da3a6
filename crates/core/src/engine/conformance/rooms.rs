//! Sentences about rooms.

use std::sync::Arc;

use bytes::Bytes;

use super::*;

/// Numbers go 1, 2, 3 in the order of the calls, each room by itself, whether or not anybody waits in between.
pub async fn entries_of_a_room_are_numbered_from_one_without_holes(subject: &dyn Subject) {
    let (engine, ada) = (subject.open(), author("ada", None));
    let (one, two) = (room("one"), room("two"));
    assert_eq!(head(&*engine, &one).await, 0);
    assert_eq!(read(&*engine, &one, 1, ALL).await, []);
    let mut waiting = Vec::new();
    for number in 0..50 {
        for room in [&one, &two] {
            let drafts = vec![draft(&ada, None, &format!("{room} {number}"))];
            waiting.push((number, start_append(&*engine, room, drafts)));
        }
    }
    for (number, outcome) in waiting {
        assert_eq!(outcome.await.expect("stored"), stored([number + 1]));
    }
    for room in [&one, &two] {
        assert_eq!(head(&*engine, room).await, 50);
        let bodies: Vec<Bytes> = read(&*engine, room, 1, ALL).await.into_iter().map(|entry| entry.body).collect();
        let wanted: Vec<Bytes> = (0..50).map(|number| format!("{room} {number}").into()).collect();
        assert_eq!(bodies, wanted);
    }
    engine.close().await;
}

/// The drafts of a batch stand side by side, whoever writes at the same time; an empty batch is answered too.
pub async fn a_batch_is_numbered_consecutively(subject: &dyn Subject) {
    let (engine, ada, one) = (subject.open(), author("ada", None), room("one"));
    let batch = |size: usize| (0..size).map(|_| draft(&ada, None, "x")).collect::<Vec<_>>();
    let waiting: Vec<_> = [3, 1, 0, 4].map(|size| start_append(&*engine, &one, batch(size))).into();
    let mut outcomes = Vec::new();
    for outcome in waiting {
        outcomes.push(outcome.await.expect("stored"));
    }
    assert_eq!(outcomes, [stored(1..=3), stored([4]), stored([]), stored(5..=8)]);
    assert_eq!(head(&*engine, &one).await, 8);
    engine.close().await;
}

/// Every field of an entry survives: author with and without stream and claim, key, kind, time, and any bytes of body.
pub async fn entries_come_back_exactly_as_they_were_written(subject: &dyn Subject) {
    let (engine, one) = (subject.open(), room("one"));
    let plain = Author { account: "".into(), proof: Proof::Link, stream: None, claim: None };
    let full = Author { claim: Some("{\"model\":\"ada\"}".into()), ..(*author("ada", Some("päpér"))).clone() };
    let empty_claim = Author { claim: Some(Bytes::new()), ..plain.clone() };
    let mut drafts = Vec::new();
    for (at, author) in [(-5, plain), (0, full), (1_777_744_800_123, empty_claim)] {
        for (kind, body) in [(Kind::Token, &b"\"\\u0000 \xf0\x9f\x8c\x8d\""[..]), (Kind::Metadata, b"{}")] {
            let (at, author) = (Timestamp::from_millis(at), Arc::new(author.clone()));
            drafts.push(Draft { at, author, key: None, kind, body: Bytes::copy_from_slice(body) });
        }
    }
    drafts[3].key = Some("a-key".parse().expect("a valid key"));
    drafts.push(Draft { body: vec![b'x'; 100_000].into(), ..drafts[0].clone() });
    append(&*engine, &one, drafts.clone()).await;
    let wanted: Vec<Entry> = drafts.into_iter().zip(1..).map(|(draft, seq)| draft.into_entry(Seq::new(seq))).collect();
    assert_eq!(read(&*engine, &one, 1, ALL).await, wanted);
    let last = wanted.last().map(|entry| (entry.seq, entry.at));
    let head = engine.head(&one).await.expect("a head");
    assert_eq!(Some((head.seq, head.at)), last);

    engine.close().await;
    if subject.persists() {
        let engine = subject.open();
        assert_eq!(read(&*engine, &one, 1, ALL).await, wanted);
        engine.close().await;
    }
}

/// A known key gives the old number for the same content, and says so for other content; neither uses up a number.
pub async fn a_repeat_is_a_duplicate_and_other_content_a_reuse(subject: &dyn Subject) {
    let (engine, ada, one) = (subject.open(), author("ada", None), room("one"));
    let send = async |key: Option<&str>, body: &str| append(&*engine, &one, vec![draft(&ada, key, body)]).await;
    assert_eq!(send(Some("k"), "a").await, stored([1]));
    assert_eq!(send(None, "a").await, stored([2]));
    assert_eq!(send(Some("k"), "a").await, [Outcome::Duplicate(Seq::new(1))]);
    assert_eq!(send(Some("k"), "b").await, [Outcome::KeyReused(Seq::new(1))]);
    assert_eq!(send(Some("k2"), "a").await, stored([3]));
    let other_kind = Draft { kind: Kind::Metadata, ..draft(&ada, Some("k"), "a") };
    assert_eq!(append(&*engine, &one, vec![other_kind]).await, [Outcome::KeyReused(Seq::new(1))]);
    let later = Draft { at: Timestamp::from_millis(9_000), ..draft(&ada, Some("k"), "a") };
    assert_eq!(append(&*engine, &one, vec![later]).await, [Outcome::Duplicate(Seq::new(1))]);
    assert_eq!(head(&*engine, &one).await, 3);
    engine.close().await;
}

/// A batch may repeat itself, and repeats of different calls that wait together are found as well.
pub async fn repeats_inside_one_batch_are_found(subject: &dyn Subject) {
    let (engine, ada, one) = (subject.open(), author("ada", None), room("one"));
    let batch = ["a", "b", "a"].map(|key| draft(&ada, Some(key), "x")).to_vec();
    let waiting: Vec<_> = (0..3).map(|_| start_append(&*engine, &one, batch.clone())).collect();
    let [first, second] = [1, 2].map(|number| Outcome::Duplicate(Seq::new(number)));
    let mut wanted = vec![Outcome::Stored(Seq::new(1)), Outcome::Stored(Seq::new(2)), first];
    for outcome in waiting {
        assert_eq!(outcome.await.expect("stored"), wanted);
        wanted = vec![first, second, first];
    }
    let mixed = vec![draft(&ada, Some("a"), "x"), draft(&ada, Some("c"), "x"), draft(&ada, Some("b"), "y")];
    let reused = Outcome::KeyReused(Seq::new(2));
    assert_eq!(append(&*engine, &one, mixed).await, [first, Outcome::Stored(Seq::new(3)), reused]);
    assert_eq!(head(&*engine, &one).await, 3);
    engine.close().await;
}

/// The same key of another account, another stream or another room is another key.
pub async fn a_key_belongs_to_its_author_stream_and_room(subject: &dyn Subject) {
    let engine = subject.open();
    let authors = [author("ada", None), author("ben", None), author("ada", Some("s")), author("ada", Some("t"))];
    for name in ["one", "two"] {
        for (author, number) in authors.iter().zip(1..) {
            let outcome = append(&*engine, &room(name), vec![draft(author, Some("k"), name)]).await;
            assert_eq!(outcome, stored([number]));
        }
        for (author, number) in authors.iter().zip(1..) {
            let outcome = append(&*engine, &room(name), vec![draft(author, Some("k"), name)]).await;
            assert_eq!(outcome, [Outcome::Duplicate(Seq::new(number))]);
        }
    }
    engine.close().await;
}

/// An engine that persists goes on where it stopped, and still knows every key.
pub async fn keys_and_entries_are_known_after_a_reopen(subject: &dyn Subject) {
    let (ada, one) = (author("ada", Some("s")), room("one"));
    let mut number = 0;
    let mut engine = subject.open();
    for round in 0..3 {
        for count in 0..20 {
            number += 1;
            let key = format!("{round}-{count}");
            assert_eq!(append(&*engine, &one, vec![draft(&ada, Some(&key), "x")]).await, stored([number]));
        }
        if subject.persists() {
            engine.close().await;
            engine = subject.open();
        }
        assert_eq!(head(&*engine, &one).await, number);
        let outcome = append(&*engine, &one, vec![draft(&ada, Some("0-4"), "x")]).await;
        assert_eq!(outcome, [Outcome::Duplicate(Seq::new(5))]);
        let outcome = append(&*engine, &one, vec![draft(&ada, Some("0-4"), "other")]).await;
        assert_eq!(outcome, [Outcome::KeyReused(Seq::new(5))]);
        assert_eq!(read(&*engine, &one, 1, ALL).await.len() as u64, number);
    }
    engine.close().await;
}

/// A page holds as many entries as either limit allows, and at least one.
pub async fn a_page_ends_at_the_first_limit_met(subject: &dyn Subject) {
    let (engine, ada, one) = (subject.open(), author("ada", None), room("one"));
    let drafts = (1..=10).map(|size| draft(&ada, None, &"x".repeat(size))).collect();
    append(&*engine, &one, drafts).await;
    let page = async |from, entries_max, bytes_max| {
        let page = read(&*engine, &one, from, PageLimit { entries_max, bytes_max }).await;
        page.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 3, usize::MAX).await, [1, 2, 3]);
    assert_eq!(page(4, usize::MAX, usize::MAX).await, [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(page(1, usize::MAX, 6).await, [1, 2, 3]);
    assert_eq!(page(1, usize::MAX, 7).await, [1, 2, 3, 4]);
    assert_eq!(page(1, 2, 7).await, [1, 2]);
    assert_eq!(page(9, 0, 0).await, [9]);
    assert_eq!(page(11, 5, 5).await, [0; 0]);
    assert_eq!(page(u64::MAX, 5, 5).await, [0; 0]);
    engine.close().await;
}

/// A time leads to the first entry that is not earlier.
pub async fn seeking_finds_the_first_entry_at_a_time(subject: &dyn Subject) {
    let (engine, ada, one) = (subject.open(), author("ada", None), room("one"));
    let times = [10, 10, 20, 30, 30, 30, 41];
    let draft = |at: &i64| Draft { at: Timestamp::from_millis(*at), ..draft(&ada, None, "x") };
    append(&*engine, &one, times.iter().map(draft).collect()).await;
    for (at, wanted) in
        [(-1, Some(1)), (10, Some(1)), (11, Some(3)), (30, Some(4)), (31, Some(7)), (41, Some(7)), (42, None)]
    {
        let found = engine.seek(&one, Timestamp::from_millis(at)).await.expect("a search");
        assert_eq!(found.map(Seq::get), wanted, "at {at}");
    }
    assert_eq!(engine.seek(&room("none"), Timestamp::default()).await.expect("a search"), None);
    engine.close().await;
}

/// Removal takes the entries and keys that were called before it, and nothing of other rooms or of later.
pub async fn a_removed_room_starts_again_at_one(subject: &dyn Subject) {
    let (mut engine, ada) = (subject.open(), author("ada", None));
    let (one, two) = (room("one"), room("two"));
    append(&*engine, &two, vec![draft(&ada, None, "stays")]).await;
    for round in 0..3 {
        let old: Vec<_> = (0..30).map(|number| draft(&ada, Some(&format!("k{number}")), "old")).collect();
        let before = start_append(&*engine, &one, old);
        let removal = engine.remove(&one);
        let after = start_append(&*engine, &one, vec![draft(&ada, Some("k1"), "new")]);
        assert_eq!(before.await.expect("stored"), stored(1..=30));
        removal.await.expect("removed");
        assert_eq!(after.await.expect("stored"), stored([1]), "round {round}");
        if subject.persists() && round == 1 {
            engine.close().await;
            engine = subject.open();
        }
        let bodies: Vec<Bytes> = read(&*engine, &one, 1, ALL).await.into_iter().map(|entry| entry.body).collect();
        assert_eq!(bodies, ["new"]);
        engine.remove(&one).await.expect("removed");
        assert_eq!(head(&*engine, &one).await, 0);
        assert_eq!(read(&*engine, &one, 1, ALL).await, []);
        assert_eq!(engine.seek(&one, Timestamp::default()).await.expect("a search"), None);
    }
    engine.remove(&room("unknown")).await.expect("nothing to remove");
    assert_eq!(read(&*engine, &two, 1, ALL).await.len(), 1);
    engine.close().await;
}

/// Many threads write to many rooms; each sees its own entries in its own order, and nobody's twice.
pub async fn many_rooms_and_threads_keep_every_order(subject: &dyn Subject) {
    const WRITERS: usize = 8;
    const ENTRIES: usize = 60;
    let engine = subject.open();
    let rooms: Arc<[RoomId]> = (0..5).map(|number| room(&format!("room-{number}"))).collect();
    let writer = |writer: usize| {
        let (engine, rooms) = (Arc::clone(&engine), Arc::clone(&rooms));
        tokio::spawn(async move {
            let me = author(&format!("writer-{writer}"), None);
            let mut numbers = vec![0; rooms.len()];
            for number in 0..ENTRIES {
                let place = (writer + number) % rooms.len();
                let drafts = vec![draft(&me, Some(&number.to_string()), &format!("{writer}:{number}"))];
                // Each append twice, as by a client that lost the answer.
                let twice = [drafts.clone(), drafts].map(|drafts| start_append(&*engine, &rooms[place], drafts));
                let [first, second] = twice;
                let first = first.await.expect("answered");
                let [Outcome::Stored(seq)] = first[..] else { panic!("{first:?} is not stored") };
                assert_eq!(second.await.expect("answered"), [Outcome::Duplicate(seq)]);
                assert!(numbers[place] < seq.get());
                numbers[place] = seq.get();
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    for writer in writers {
        writer.await.expect("a writer ends well");
    }
    let mut all = 0;
    for room in rooms.iter() {
        let entries = read(&*engine, room, 1, ALL).await;
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.seq.get()).collect();
        assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
        all += entries.len();
    }
    assert_eq!(all, WRITERS * ENTRIES);
    engine.close().await;
}
