//! One connection.

use ams_client::wire::ServerFrame;
use ams_client::{Closed, ConnectError, Connection, Credential, Handshake, Identity, Tls, Wish};

use crate::fake::{Fake, Manner};

#[tokio::test]
async fn a_connection_joins_writes_reads_and_closes() {
    let fake = Fake::start([]).await;
    let identity = Identity { stream_name: Some("me".to_owned()), ..Identity::default() };
    let wish = Wish { identity, receipts: true, ..Wish::default() };
    let mut connection = Connection::open(&fake.link(), &wish, &Tls::default()).await.unwrap();
    assert_eq!(connection.joined().stream_name, "me");
    assert!(connection.is_numbered());

    connection.send("hello \u{0}\u{1F600}\"", Some("k1")).await.unwrap();
    let ServerFrame::XReceipt(receipt) = connection.receive().await.unwrap().frame else { panic!("no receipt") };
    assert_eq!((receipt.seq, receipt.key.as_deref()), (1, Some("k1")));
    fake.say("and you?");
    let ServerFrame::Token(token) = connection.receive().await.unwrap().frame else { panic!("no token") };
    assert_eq!(token.data, "and you?");
    connection.close().await;
    assert_eq!(fake.log()[0].1, "hello \u{0}\u{1F600}\"");
    assert_eq!(fake.attaches()[0]["receipts"], true);
}

#[tokio::test]
async fn a_refusal_is_told_as_the_close_it_is() {
    let fake = Fake::start([Manner::Refuse(4001, "invalid_magic_link")]).await;
    let refused = Connection::open(&fake.link(), &Wish::default(), &Tls::default()).await.unwrap_err();
    let ConnectError::Closed(closed) = refused else { panic!("{refused:?}") };
    assert_eq!(closed, Closed { code: 4001, reason: "invalid_magic_link".to_owned() });
}

#[tokio::test]
async fn what_does_not_begin_with_joined_is_no_server_of_ours() {
    let fake = Fake::start([Manner::Say(r#"{"type":"hello"}"#)]).await;
    let refused = Connection::open(&fake.link(), &Wish::default(), &Tls::default()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::NotJoined), "{refused:?}");
}

#[tokio::test]
async fn headers_need_a_credential() {
    let fake = Fake::start([]).await;
    let wish = Wish { handshake: Handshake::Headers, ..Wish::default() };
    let refused = Connection::open(&fake.link(), &wish, &Tls::default()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::HeadersWithoutCredential), "{refused:?}");
}

#[tokio::test]
async fn a_credential_travels_in_the_first_frame() {
    let fake = Fake::start([]).await;
    let identity = Identity { credential: Some(Credential::new("ams_sk_x\n")), ..Identity::default() };
    let wish = Wish { identity, ..Wish::default() };
    let _connection = Connection::open(&fake.link(), &wish, &Tls::default()).await.unwrap();
    assert_eq!(fake.attaches()[0]["credential"], "ams_sk_x");
}
