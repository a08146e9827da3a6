//! Sessions that outlive their connections.

use std::time::Duration;

use ams_client::session::{Continuity, Ended, Event, Options, Patience, SendError, Session, Window};
use ams_client::wire::ServerFrame;
use ams_client::{Fatal, MagicLink, Tls};

use crate::fake::{Fake, Manner};

fn quick() -> Options {
    let patience = Patience { delay_min: Duration::from_millis(1), ..Patience::default() };
    Options { patience, ..Options::new([7; 16]) }
}

fn start(link: MagicLink, options: Options) -> Session {
    Session::start(link, Tls::default(), options)
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn own(fake: &Fake) -> Vec<String> {
    fake.log().into_iter().filter(|(writer, _)| writer != "peer").map(|(_, data)| data).collect()
}

async fn next_token(session: &mut Session) -> String {
    loop {
        if let Event::Frame(received) = session.events.next().await.unwrap()
            && let ServerFrame::Token(token) = received.frame
        {
            return token.data;
        }
    }
}

#[tokio::test]
async fn tokens_survive_broken_connections_once_and_in_order() {
    let fake = Fake::start([3, 1, 50, 2].map(Manner::BreakAfter)).await;
    let Session { writer, events, end } = start(fake.link(), quick());
    drop(events);
    for number in numbers(500) {
        writer.send(number).await.unwrap();
    }
    writer.flushed().await.unwrap();
    assert_eq!(own(&fake), numbers(500));
    assert_eq!(end.leave().await, Ended::Left);
    let names: Vec<_> = fake.attaches().iter().map(|attach| attach["stream_name"].clone()).collect();
    assert_eq!(names.len(), 5);
    assert!(names[1..].iter().all(|name| name == "made-up"), "{names:?}");
}

#[tokio::test]
async fn reading_goes_on_where_it_stopped() {
    let fake = Fake::start([Manner::BreakAfter(1)]).await;
    let mut session = start(fake.link(), quick());
    assert!(matches!(session.events.next().await.unwrap(), Event::Joined { continuity: Continuity::First, .. }));
    fake.say("before");
    assert_eq!(next_token(&mut session).await, "before");
    session.writer.send("breaks it").await.unwrap();
    assert!(matches!(session.events.next().await.unwrap(), Event::Lost { .. }));
    fake.say("meanwhile");
    let Event::Joined { continuity, .. } = session.events.next().await.unwrap() else { panic!("not joined") };
    assert_eq!(continuity, Continuity::Resumed);
    assert_eq!(next_token(&mut session).await, "meanwhile");
    assert_eq!(fake.attaches()[1]["since_seq"], 2);
}

#[tokio::test]
async fn a_refused_token_ends_the_session_even_in_full_flow() {
    let fake = Fake::start([Manner::CloseAfter(20, 4400, "token_too_large")]).await;
    let Session { writer, events, end: _end } = start(fake.link(), quick());
    drop(events);
    let refused = loop {
        if let Err(refused) = writer.send("x".repeat(60_000)).await {
            break refused;
        }
    };
    assert_eq!(refused, SendError::Ended(Ended::Fatal(Fatal::Refused("token_too_large".to_owned()))));
}

#[tokio::test]
async fn a_displaced_session_does_not_fight_for_its_name() {
    let fake = Fake::start([Manner::CloseAfter(1, 4001, "stream_displaced")]).await;
    let session = start(fake.link(), quick());
    session.writer.send("x").await.unwrap();
    assert_eq!(session.writer.flushed().await, Err(Ended::Fatal(Fatal::StreamDisplaced)));
    assert_eq!(fake.attaches().len(), 1);
}

#[tokio::test]
async fn a_wrong_link_ends_it_before_it_begins() {
    let fake = Fake::start([Manner::Refuse(4005, "conversation_not_found")]).await;
    let mut session = start(fake.link(), quick());
    assert_eq!(session.events.next().await.unwrap_err(), Ended::Fatal(Fatal::ConversationNotFound));
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let link = "http://127.0.0.1:1/acme/conversations/room?t=secret".parse().unwrap();
    let mut session = start(link, quick());
    assert!(matches!(session.events.next().await, Err(Ended::Unreachable(_))));
}

#[tokio::test]
async fn patience_waits_for_a_server_that_starts_later() {
    // Bound but not yet listening: the port is ours, and nobody answers.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let link = format!("http://{address}/acme/conversations/room?t=secret").parse().unwrap();
    let patience = Patience { first: Duration::from_secs(60), ..quick().patience };
    let mut session = start(link, Options { patience, ..quick() });
    assert!(matches!(session.events.next().await.unwrap(), Event::Lost { .. }));
    let _fake = Fake::on(socket.listen(16).unwrap(), []);
    while !matches!(session.events.next().await.unwrap(), Event::Joined { .. }) {}
}

#[tokio::test]
async fn a_server_without_our_additions_takes_tokens_unconfirmed() {
    let fake = Fake::start([Manner::Plain]).await;
    let Session { writer, mut events, end } = start(fake.link(), quick());
    events.next().await.unwrap();
    for number in numbers(10) {
        writer.send(number).await.unwrap();
    }
    writer.flushed().await.unwrap();
    assert_eq!(end.leave().await, Ended::Left);
    assert_eq!(own(&fake), numbers(10));
}

#[tokio::test]
async fn a_full_window_makes_the_writer_wait_and_nothing_is_dropped() {
    let fake = Fake::start([]).await;
    let window = Window { tokens_max: 2, bytes_max: 100 };
    let Session { writer, events, end } = start(fake.link(), Options { window, ..quick() });
    drop(events);
    for number in numbers(300) {
        writer.send(number).await.unwrap();
    }
    writer.flushed().await.unwrap();
    assert_eq!(own(&fake), numbers(300));
    end.leave().await;
}

#[tokio::test]
async fn a_token_too_large_is_refused_here() {
    let fake = Fake::start([]).await;
    let session = start(fake.link(), quick());
    let refused = session.writer.send("x".repeat(65_537)).await.unwrap_err();
    assert_eq!(refused, SendError::TooLarge { bytes: 65_537, max: 65_536 });
    session.writer.send("fits").await.unwrap();
    session.writer.flushed().await.unwrap();
}

#[tokio::test]
async fn leaving_works_while_nobody_reads_and_the_window_is_full() {
    let fake = Fake::start([]).await;
    let window = Window { tokens_max: 1, bytes_max: 100 };
    let Session { writer, mut events, end } = start(fake.link(), Options { window, ..quick() });
    events.next().await.unwrap();
    for number in numbers(300) {
        fake.say(&number);
    }
    writer.send("x").await.unwrap();
    assert_eq!(end.leave().await, Ended::Left);
}
